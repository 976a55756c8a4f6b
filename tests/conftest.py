"""Prints the figures that tests measured (and do not assert) at the end of the run."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every `record_property` of a passed test, as a line of its own."""
    rows = [
        (report.nodeid.rpartition("::")[2], name, value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
    ]
    if rows:
        terminalreporter.section("measured")
        for test, name, value in rows:
            terminalreporter.write_line(f"{name} = {value}   ({test})")
