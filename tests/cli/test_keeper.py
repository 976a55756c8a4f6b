import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead_cli.keeper import descendants

# A part that leaves a daemon behind: its own session, its parent gone. It writes both pids.
PART = """
import os, signal, sys, time
ignore, behaviour, file = sys.argv[1] == "ignore", sys.argv[2], sys.argv[3]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(file + ".daemon", "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
while not os.path.exists(file + ".daemon"):
    time.sleep(0.01)
if ignore:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(file, "w").write(str(os.getpid()))
time.sleep(60) if behaviour == "stay" else sys.exit(3)
"""


class Kept:
    """A keeper and its part, started by this process."""

    def __init__(self, folder: Path, *, ignore: bool = False, stay: bool = True, grace_s: float = 5.0, held: int = -1):
        self.file = folder / "part"
        words = ("ignore" if ignore else "obey", "stay" if stay else "end", str(self.file))
        self.keeper = subprocess.Popen(
            [
                *(sys.executable, "-m", "fairlead_cli.keeper", str(os.getpid()), str(grace_s), str(held)),
                *(sys.executable, "-c", PART, *words),
            ],
            start_new_session=True,
            pass_fds=(held,) if held >= 0 else (),
        )

    def pids(self) -> list[int]:
        """Of the part and of the daemon that it left."""
        until(lambda: self.file.exists() and bool(self.file.read_text()))
        return [int(self.file.read_text()), int(self.file.with_name("part.daemon").read_text())]


def until(what: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_part_that_ends_takes_what_it_left_with_it(tmp_path: Path) -> None:
    """The keeper gives the part's own status, and ends a daemon of another session that the part started."""
    kept = Kept(tmp_path, stay=False)
    pids = kept.pids()
    assert kept.keeper.wait(15) == 3
    assert not any(map(alive, pids))


def test_sigterm_reaches_the_part(tmp_path: Path) -> None:
    """A part that obeys SIGTERM has ended by it, and its daemon too."""
    kept = Kept(tmp_path)
    pids = kept.pids()
    kept.keeper.terminate()
    assert kept.keeper.wait(15) == 128 + signal.SIGTERM
    assert not any(map(alive, pids))


def test_a_part_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    """The grace time is kept, and is the limit."""
    kept = Kept(tmp_path, ignore=True, grace_s=0.5)
    pids = kept.pids()
    began = time.monotonic()
    kept.keeper.terminate()
    assert kept.keeper.wait(15) == 128 + signal.SIGKILL
    assert time.monotonic() - began >= 0.5
    assert not any(map(alive, pids))


def test_a_second_sigterm_cuts_the_grace_short(tmp_path: Path) -> None:
    """Who asks twice does not want to wait."""
    kept = Kept(tmp_path, ignore=True, grace_s=60.0)
    pids = kept.pids()

    def ended() -> bool:  # two signals that come at once are one to the kernel
        kept.keeper.terminate()
        return kept.keeper.poll() is not None

    until(ended, 30)
    assert kept.keeper.returncode == 128 + signal.SIGKILL
    assert not any(map(alive, pids))


@pytest.mark.parametrize("victim", ["starter", "keeper"])
def test_nothing_outlives_a_killed_starter(tmp_path: Path, victim: str) -> None:
    """When the starter is killed all is ended; when the keeper itself is killed, at least the part is."""
    program = f"""
import sys, pathlib, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_keeper
kept = test_keeper.Kept(pathlib.Path({str(tmp_path)!r}))
print(kept.keeper.pid, *kept.pids(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        keeper, part, daemon = map(int, starter.stdout.readline().split())
        os.kill(starter.pid if victim == "starter" else keeper, signal.SIGKILL)
        gone = [keeper, part, daemon] if victim == "starter" else [keeper, part]
        until(lambda: not any(map(alive, gone)))
        starter.kill()
        if victim == "keeper":
            os.kill(daemon, signal.SIGKILL)


def test_a_starter_that_is_gone_already_is_noticed() -> None:
    """A keeper whose starter died before it could be watched starts nothing."""
    command = [sys.executable, "-m", "fairlead_cli.keeper", "1", "5", "-1", "false"]
    assert subprocess.run(command, timeout=15).returncode == 1


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The name and the cause go to the log."""
    command = [sys.executable, "-m", "fairlead_cli.keeper", str(os.getpid()), "5", "-1", str(tmp_path / "no")]
    ended = subprocess.run(command, timeout=15, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (127, f"{tmp_path / 'no'}: No such file or directory\n")


def test_the_keeper_alone_holds_what_is_to_be_held(tmp_path: Path) -> None:
    """The descriptor is open in the keeper and closed in the part."""
    file = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    kept = Kept(tmp_path, held=file)
    part = kept.pids()[0]
    os.close(file)

    def holds(pid: int) -> bool:
        links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
        return str(tmp_path / "lock") in links

    assert holds(kept.keeper.pid)
    assert not holds(part)
    kept.keeper.terminate()
    kept.keeper.wait(15)


def test_descendants_are_found_below_their_ancestor() -> None:
    """A child and its child are found, others are not."""
    with subprocess.Popen(["sh", "-c", "sleep 30 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        below = int(shell.stdout.readline())
        assert descendants(shell.pid) == [below]
        assert {shell.pid, below} <= set(descendants(os.getpid()))
        os.kill(below, signal.SIGKILL)
