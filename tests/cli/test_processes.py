import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead_cli.processes import Part, session


@pytest.fixture
def held(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


def start(folder: Path, held: int, program: str, grace_s: float = 5.0) -> Part:
    command = [sys.executable, "-c", program]
    return Part("it", command, folder / "it.log", environment=os.environ, grace_s=grace_s, hold=held)


def wait(part: Part) -> int:
    deadline = time.monotonic() + 15
    while (status := part.status()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status


def test_the_log_holds_what_the_part_says_and_the_run_before_is_kept(tmp_path: Path, held: int) -> None:
    """Output and errors are in one file; its end can be asked for; one older file stays."""
    for word in ("first", "second"):
        part = start(tmp_path, held, f"import sys; print({word!r}); sys.stdout.flush(); sys.exit('bad')")
        assert wait(part) == 1
    assert part.tail(1) == "bad"
    assert part.tail() == "second\nbad"
    assert (tmp_path / "it.log.1").read_text() == "first\nbad\n"


def test_ending_waits_for_the_part_and_tells_how_long(tmp_path: Path, held: int) -> None:
    """The part finishes what it does at SIGTERM; meanwhile the caller hears the seconds."""
    program = """
import signal, sys, time
def end(*_):
    time.sleep(0.5)
    print("finished", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("here", flush=True)
time.sleep(60)
"""
    part = start(tmp_path, held, program)
    while "here" not in part.log.read_text():
        time.sleep(0.02)
    heard: list[float] = []
    part.end(lambda passed: heard.append(passed) or False)  # type: ignore[func-returns-value]
    assert part.status() == 0
    assert part.tail(1) == "finished"
    assert heard == sorted(heard) != []
    assert session(part.pid) == []


def test_who_hurries_does_not_wait_for_the_grace(tmp_path: Path, held: int) -> None:
    """`waiting` answering True ends a part that ignores SIGTERM at once."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    part = start(tmp_path, held, program, grace_s=60.0)
    while not part.log.read_text():
        time.sleep(0.02)
    began = time.monotonic()
    part.end(lambda passed: passed > 0.2)
    assert part.status() == 128 + 9
    assert time.monotonic() - began < 10
