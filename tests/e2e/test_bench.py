"""hack/bench as it is typed, on the row that needs neither a generator nor a peer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("one machine")]

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_run_measures_what_was_asked_for_and_writes_it_down(tmp_path: Path) -> None:
    """A real server, started from nothing until it answers: one row with its goal, in all three files."""
    command = ["hack/bench", "--quick", "--peers", "none", "ready-edge", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["failures"] == []
    first = found["rows"][0]
    assert (first["measure"], first["subject"], first["unit"]) == ("ready-edge", "fairlead", "s")
    assert first["goal"] == "at most 3 s"
    assert 0 < first["value"] < 100
    assert "| ready: edge |" in done.stdout
    assert "| ready: edge |" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "picture.svg").read_text().startswith("<svg")
