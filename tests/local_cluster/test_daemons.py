from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local_cluster import daemons
from local_cluster.errors import Unavailable


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "RUN", tmp_path)


def test_a_process_is_ended_by_its_pid_and_forgotten() -> None:
    """It lives until it is ended; ending it again does nothing."""
    number = daemons.start("it", [sys.executable, "-c", "import time; time.sleep(60)"])
    assert daemons.pid("it") == number
    for _ in range(2):
        daemons.end("it")
    assert daemons.pid("it") is None
    assert not Path(f"/proc/{number}").exists()


def test_a_pid_that_is_another_process_now_is_left_alone(tmp_path: Path) -> None:
    """Numbers come back, after a restart of the machine, say: it is the time of birth that tells."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "it.pid").write_text(f"{other.pid} 1")
        assert daemons.pid("it") is None
        daemons.end("it")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait(10)


def test_waiting_ends_with_the_process() -> None:
    """One that ends before it is ready is told with the end of its log, not waited for."""
    daemons.start("it", [sys.executable, "-c", "print('no such flag'); raise SystemExit(1)"])
    with pytest.raises(Unavailable, match="it ended at once: no such flag"):
        daemons.wait("it", lambda: False, 30)


def test_waiting_has_an_end() -> None:
    """One that is never ready is told, too."""
    daemons.start("it", [sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(Unavailable, match=r"it was not ready within 0\.3 s"):
            daemons.wait("it", lambda: False, 0.3)
    finally:
        daemons.end("it")
