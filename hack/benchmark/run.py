"""One run: subjects made ready, measures in rounds, and what was read written down as it comes."""

from __future__ import annotations

import dataclasses
import datetime
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark import machine, models, results
from benchmark.arguments import Asked
from benchmark.figures import Figure
from benchmark.load.tools import ToolMissing, tool, version
from benchmark.measure import Bench, Measure
from benchmark.measures.registry import Entry
from benchmark.progress import Progress
from benchmark.results import Described, Results
from benchmark.rows import rows_of, with_causes
from benchmark.subject import Subject

CAUSES = Path(__file__).with_name("causes.toml")


Chosen = tuple[Measure, Entry]


def run(
    asked: Asked, subjects: Sequence[Subject], entries: Sequence[Entry], scratch: Path, progress: Progress
) -> Results:
    """Measure what was asked for; the results are also in the output folder, after each measure anew."""
    chosen = [entry for entry in entries if set(entry.names) & set(asked.rows) and _has_tools(entry, progress)]
    measures = [(entry.make([name for name in entry.names if name in asked.rows]), entry) for entry in chosen]
    bench = _bench(asked, subjects, measures, scratch, progress)
    figures: list[Figure] = []
    found = _results(asked, bench, figures, chosen, progress)
    for read in _rounds(list(rounds(measures, asked.rounds)), bench, progress):
        figures += read
        found = _results(asked, bench, figures, chosen, progress)
        results.write(found, asked.output)
    return found


def _bench(
    asked: Asked, subjects: Sequence[Subject], measures: Sequence[Chosen], scratch: Path, progress: Progress
) -> Bench:
    """With the models made, and the subjects installed that a measure wants."""
    needed = dict.fromkeys(model for measure, _ in measures for model in measure.needs)
    everybody = any(entry.beside for _, entry in measures)
    wanted = [subject for subject in subjects if everybody or subject.role == "fairlead"]
    progress.say(f"makes the models {', '.join(needed)}")
    return Bench(
        subjects={subject.name: subject for subject in _prepared(wanted, progress)},
        models=models.build(needed, scratch / "models"),
        scratch=scratch,
        threads=asked.threads,
        seconds=asked.seconds,
        quick=asked.quick,
        say=progress.say,
        fail=progress.fail,
    )


def _rounds(plan: Sequence[Sequence[Chosen]], bench: Bench, progress: Progress) -> Iterator[list[Figure]]:
    """The figures of one measure after the other. What is left is told by how long each took the last time."""
    took_s: dict[Entry, float] = {}
    for number, due in enumerate(plan):
        progress.next_round(sum(took_s.get(entry, 0.0) for later in plan[number:] for _, entry in later))
        for measure, entry in due:
            begun = time.monotonic()
            yield list(_read(measure, bench if entry.beside else _alone(bench)))
            took_s[entry] = time.monotonic() - begun


def rounds(measures: Sequence[Chosen], count: int) -> Iterator[list[Chosen]]:
    """Interleaved: every round has all measures, less those that need no more rounds (A B C, A B C, A C)."""
    for number in range(count):
        yield [(measure, entry) for measure, entry in measures if number < entry.most_rounds]


def _alone(bench: Bench) -> Bench:
    """Without peers and limits."""
    own = {name: subject for name, subject in bench.subjects.items() if subject.role == "fairlead"}
    return dataclasses.replace(bench, subjects=own)


def _read(measure: Measure, bench: Bench) -> Iterator[Figure]:
    """What one round of one measure brings, up to where it breaks."""
    try:
        yield from measure.round(bench)
    except Exception as fault:  # the other measures go on, and the exit status tells it
        bench.fail(f"{', '.join(measure.names)}: {type(fault).__name__}: {fault}")


def _has_tools(entry: Entry, progress: Progress) -> bool:
    try:
        for name in entry.tools:
            tool(name)
    except ToolMissing as fault:
        progress.fail(f"{', '.join(entry.names)}: {fault}")
        return False
    return True


def _prepared(subjects: Sequence[Subject], progress: Progress) -> Iterator[Subject]:
    for subject in subjects:
        try:
            if subject.missing():
                progress.say(f"{subject.name}: {subject.missing()}; installs it")
                subject.prepare()
            missing = subject.missing()
        except Exception as fault:  # an installer can fail in any way: the other subjects go on
            missing = str(fault)
        if missing:
            progress.fail(f"{subject.name}: {missing}")
        else:
            yield subject


def _results(
    asked: Asked, bench: Bench, figures: Sequence[Figure], chosen: Sequence[Entry], progress: Progress
) -> Results:
    roles = {subject.name: subject.role for subject in bench.subjects.values()}
    tools = dict.fromkeys(name for entry in chosen for name in entry.tools)
    run = {
        "rounds": str(asked.rounds),
        "seconds a load": f"{asked.seconds:g}",
        "ONNX Runtime threads a run": str(asked.threads),
        "generators": ", ".join(version(name) for name in tools) or "none",
    }
    return Results(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        run=run,
        machine=machine.facts(),
        subjects=tuple(Described(one.name, one.role, one.settings) for one in bench.subjects.values()),
        rows=tuple(with_causes(rows_of(figures, roles), causes())),
        failures=tuple(progress.failures),
    )


def causes() -> Mapping[str, str]:
    """Where the time of a missed goal goes, by measure, as profiles have found it."""
    return {str(measure): str(text) for measure, text in tomllib.loads(CAUSES.read_text()).items()}
