"""Results -> Markdown: what it must show, all figures, who was measured with which settings, and on what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmark.figures import Row
from benchmark.goals import TITLES
from benchmark.results import Results

_MET = {True: "yes", False: "**no**", None: ""}


def markdown(results: Results) -> str:
    """The whole report, which begins with a heading of the second level."""
    parts = [_goals(results.rows), _all(results.rows), _subjects(results), _facts(results), _failures(results)]
    return "\n".join(line for part in parts for line in part)


def number(value: float) -> str:
    """Three digits that count; whole above a thousand."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def title(row: Row) -> str:
    name = TITLES.get(row.measure, row.measure)
    return f"{name}: {row.part}" if row.part else name


def _goals(rows: Sequence[Row]) -> Iterator[str]:
    """The rows with a goal, and one line for each measure that has none."""
    yield from ("## What it must show", "")
    yield from _table(("measure", "Fairlead", "against", "ratio", "goal", "met"), (_goal(row) for row in _main(rows)))
    missed = [row for row in rows if row.cause]
    yield from (f"- {title(row)} ({row.goal}): {row.cause}" for row in missed)
    yield from [""] if missed else []


def _main(rows: Sequence[Row]) -> Iterator[Row]:
    """What is judged, and, of measures without a goal, all that Fairlead shows in them."""
    judged = {row.measure for row in rows if row.goal}
    for row in rows:
        if row.goal or (row.measure not in judged and row.subject.startswith("fairlead")):
            yield row


def _goal(row: Row) -> Sequence[str]:
    name = title(row) if row.subject == "fairlead" else f"{title(row)} ({row.subject})"
    against = f"{row.against}: {number(row.value / row.ratio)} {row.unit}" if row.ratio else row.against
    met = _MET[row.met] or ("nothing to compare with" if row.goal else "told")
    return name, f"{number(row.value)} {row.unit}", against, _ratio(row), row.goal, met


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f}"


def _all(rows: Sequence[Row]) -> Iterator[str]:
    yield from ("## All figures", "")
    lines = []
    told = set()
    for row in rows:
        key = (row.measure, row.part, row.subject)
        if key not in told:  # a figure with several goals has several rows
            told.add(key)
            spread = f"{number(min(row.rounds))} to {number(max(row.rounds))}" if len(row.rounds) > 1 else ""
            lines.append((title(row), row.subject, f"{number(row.value)} {row.unit}", spread, row.note))
    yield from _table(("measure", "subject", "median", "spread", "note"), lines)


def _subjects(results: Results) -> Iterator[str]:
    yield from ("## Who was measured", "")
    lines = ((one.name, one.role, one.settings) for one in results.subjects)
    yield from _table(("subject", "role", "settings"), lines)


def _facts(results: Results) -> Iterator[str]:
    yield from ("## On what", "")
    yield f"- date: {results.date}"
    for name, value in {**results.machine, **results.run}.items():
        yield f"- {name}: {value}"
    yield ""


def _failures(results: Results) -> Iterator[str]:
    if results.failures:
        yield from ("## Asked for and not measured", "")
        yield from (f"- {' '.join(failure.split())}" for failure in results.failures)
        yield ""


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield "|" + "---|" * len(head)
    yield from map(_line, lines)
    yield ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
