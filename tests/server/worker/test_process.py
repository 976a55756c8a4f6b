"""What the kernel is told of a child, seen from outside the child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead_server.worker import process

CHILD = """
import time
from fairlead_server.worker.process import become_child
become_child()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_ignores_what_a_terminal_sends(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Only its supervisor ends it."""
    child.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)


def test_a_child_goes_before_its_supervisor_when_memory_runs_out(child: subprocess.Popen[bytes]) -> None:
    """The kernel's score is raised, as far as we may."""
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == str(process.OOM_SCORE_ADJ)


def test_a_child_dies_with_its_parent() -> None:
    """Also where nobody closes its link: the kernel sees to it."""
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        end = time.monotonic() + 5
        while _runs(pid) and time.monotonic() < end:
            time.sleep(0.01)
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether there is such a process that is more than its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_resident_bytes_are_those_of_this_process() -> None:
    """A Python process holds some megabytes."""
    held = process.resident_bytes()
    assert 2**20 < held < 2**36
    assert held % os.sysconf("SC_PAGE_SIZE") == 0
