"""What one run leaves: report.json, and the same for people as report.md. Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

JSON, MARKDOWN = "report.json", "report.md"


class Outcome(msgspec.Struct, frozen=True):
    """Of one test. `outcome` is pytest's word."""

    test: str
    outcome: str
    seconds: float
    reason: str = ""


class Figure(msgspec.Struct, frozen=True):
    model: str
    name: str
    value: float
    unit: str
    note: str = ""


class Report(msgspec.Struct, frozen=True):
    """`failures` are figures that could not be had."""

    date: str
    machine: Mapping[str, str]
    tests: tuple[Outcome, ...]
    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """A test that was skipped is one that did not run."""
        ran = bool(self.tests) and all(test.outcome == "passed" for test in self.tests)
        return ran and bool(self.figures) and not self.failures


def write(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    (folder / MARKDOWN).write_text("\n".join(_lines(report)) + "\n")


def _lines(report: Report) -> Iterator[str]:
    passed = sum(test.outcome == "passed" for test in report.tests)
    yield f"# GPU check of {report.date}: {'passed' if report.passed else 'FAILED'}"
    yield ""
    yield from (f"- {name}: {value}" for name, value in report.machine.items())
    yield from ("", "## Figures", "", "| model | figure | value | |", "|---|---|---|---|")
    yield from (f"| {one.model} | {one.name} | {one.value:,.4g} {one.unit} | {one.note} |" for one in report.figures)
    yield from (f"\nNot measured: {failure}" for failure in report.failures)
    yield from (
        "",
        f"## Tests: {passed} of {len(report.tests)} passed",
        "",
        "| test | outcome | s | |",
        "|---|---|---|---|",
    )
    for test in report.tests:
        yield f"| {test.test} | {test.outcome} | {test.seconds:g} | {test.reason.replace('|', ' ')} |"
