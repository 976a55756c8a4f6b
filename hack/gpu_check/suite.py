"""Runs tests/gpu in this process and notes how each test ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_check.report import Outcome

FOLDER = Path(__file__).parents[2] / "tests" / "gpu"


class _Notes:
    """A pytest plugin: the worst of a test's three phases is how it ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.outcomes.get(report.nodeid)
        if before is None or report.outcome != "passed":
            reason = "" if report.outcome == "passed" else " ".join(str(report.longrepr).split())[-500:]
            took = report.duration + (before.seconds if before else 0.0)
            self.outcomes[report.nodeid] = Outcome(report.nodeid, report.outcome, round(took, 2), reason)


def run() -> tuple[Outcome, ...]:
    notes = _Notes()
    status = pytest.main(["-p", "no:cacheprovider", "-m", "gpu", "-q", str(FOLDER)], plugins=[notes])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        notes.outcomes["tests/gpu"] = Outcome("tests/gpu", "failed", 0.0, f"pytest ended with status {int(status)}")
    return tuple(notes.outcomes.values())
