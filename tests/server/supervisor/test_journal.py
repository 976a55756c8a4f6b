"""The journal survives a kill at any byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.supervisor import journal
from fairlead_server.supervisor.journal import Journal

NOTHING = Signature((), ())


def test_what_was_written_is_known_after_a_restart(tmp_path: Path) -> None:
    """Proofs with what was measured, and what is condemned, with the reason."""
    first = Journal.open(tmp_path / "j", "r1")
    first.prove("u1", "sha256:d", NOTHING, Profile(bytes=7))
    assert first.died("u2", "trial", "SIGSEGV") == ""
    assert first.died("u2", "trial", "SIGSEGV") != ""
    second = Journal.open(tmp_path / "j", "r1")
    proof = second.proof("u1")
    assert proof is not None
    assert proof.profile.bytes == 7
    assert second.knows("sha256:d")
    assert second.condemned("u2") == "its trial died 2 times of it, last: SIGSEGV"


def test_deaths_in_workers_need_one_more(tmp_path: Path) -> None:
    """Three in workers condemn; deaths in trials are counted apart."""
    held = Journal.open(tmp_path / "j", "r")
    held.died("u", "trial", "x")
    assert [bool(held.died("u", "worker", "x")) for _ in range(3)] == [False, False, True]


def test_another_runtime_needs_another_proof(tmp_path: Path) -> None:
    """What was measured in one version of the runtime says nothing of another."""
    Journal.open(tmp_path / "j", "r1").prove("u", "d", NOTHING, Profile())
    assert Journal.open(tmp_path / "j", "r2").proof("u") is None


def test_a_kill_at_any_byte_leaves_whole_records(tmp_path: Path) -> None:
    """However much of the last write reached the disk, what came before is read, and the next write is whole."""
    path = tmp_path / "j"
    held = Journal.open(path, "r")
    held.prove("u1", "d", NOTHING, Profile())
    before = path.read_bytes()
    held.prove("u2", "d", NOTHING, Profile())
    after = path.read_bytes()
    for size in range(len(before), len(after) + 1):
        path.write_bytes(after[:size])
        found = Journal.open(path, "r")
        assert found.proof("u1") is not None
        assert (found.proof("u2") is not None) is (size == len(after))
        found.prove("u3", "d", NOTHING, Profile())
        assert Journal.open(path, "r").proof("u3") is not None


def test_a_broken_line_hurts_no_other(tmp_path: Path) -> None:
    """A line in the middle that a disk spoilt is left out, and written away."""
    path = tmp_path / "j"
    held = Journal.open(path, "r")
    held.prove("u1", "d", NOTHING, Profile())
    path.write_bytes(b"\x00garbage\n" + path.read_bytes())
    found = Journal.open(path, "r")
    assert (found.broken_lines, found.proof("u1") is not None) == (1, True)
    assert b"garbage" not in path.read_bytes()


def test_a_long_journal_is_written_anew(tmp_path: Path) -> None:
    """Proofs that were replaced go, what counts stays."""
    path = tmp_path / "j"
    held = Journal.open(path, "r")
    held.died("bad", "trial", "x")
    held.died("bad", "trial", "x")
    line = path.read_bytes()
    held.prove("u", "d", NOTHING, Profile())
    with path.open("ab") as file:
        file.write(path.read_bytes().removeprefix(line) * (journal.MOST_LINES + 1))
    found = Journal.open(path, "r")
    assert len(path.read_bytes().splitlines()) == 4
    assert found.condemned("bad")
    assert Journal.open(path, "r").proof("u") is not None


FILLING = """
import resource, sys
from pathlib import Path
from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.supervisor.journal import Journal

path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, resource.RLIM_INFINITY))
held = Journal.open(path, "r")
try:
    held.prove("u2", "d", Signature((), ()), Profile())
except OSError as fault:
    print(fault.strerror, held.proof("u2"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
held.prove("u3", "d", Signature((), ()), Profile())
"""


def test_a_disk_that_takes_half_a_record_takes_none(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails, and the next one starts a line."""
    path = tmp_path / "j"
    Journal.open(path, "r").prove("u1", "d", NOTHING, Profile())
    command = [sys.executable, "-c", FILLING, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert told == "No space left on device None\n"
    found = Journal.open(path, "r")
    assert [found.proof(key) is not None for key in ("u1", "u2", "u3")] == [True, False, True]
    assert found.broken_lines == 0


def test_a_journal_that_cannot_be_written_anew_is_used_as_it_is(tmp_path: Path) -> None:
    """A full disk must not hold up the start: the fetcher may make room. A folder in the way stands for it."""
    path = tmp_path / "j"
    Journal.open(path, "r").prove("u1", "d", NOTHING, Profile())
    path.write_bytes(b"garbage\n" + path.read_bytes())
    (tmp_path / ".j.new").mkdir()
    found = Journal.open(path, "r")
    assert (found.broken_lines, found.proof("u1") is not None) == (1, True)
    found.prove("u2", "d", NOTHING, Profile())
    assert Journal.open(path, "r").proof("u2") is not None
