"""The end-to-end tests rely on xdist's groups: a group's tests share one process, and its Ray, MLflow and pool."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("group", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("a", "b")])
def test(group, number):
    pathlib.Path(f"{group}-{number}").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_the_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    """pytest 9.2 with xdist 3.8 spreads them over all processes, and says nothing."""
    (tmp_path / "test_two_groups.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    processes = collections.defaultdict(set)
    for file in tmp_path.glob("[ab]-*"):
        processes[file.name[0]].add(file.read_text())
    assert {group: len(found) for group, found in processes.items()} == {"a": 1, "b": 1}
