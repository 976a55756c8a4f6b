"""What is stored survives whatever happens while the next is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead_server.supervisor.slots import NAMES, Record, Slots

FIRST, SECOND, THIRD = (Record(b"{%d}" % number, b"document %d " % number * 5 * number) for number in (3, 2, 1))


def stored(folder: Path) -> Record | None:
    """What a start finds."""
    return Slots(folder).read()


def test_the_last_one_counts(tmp_path: Path) -> None:
    """Over any number of starts, and also where it is shorter than what it is written over."""
    assert stored(tmp_path) is None
    for record in (FIRST, SECOND, THIRD, SECOND, FIRST):
        slots = Slots(tmp_path)
        slots.read()
        slots.write(record)
        assert stored(tmp_path) == record
    slots.write(THIRD)
    assert stored(tmp_path) == THIRD
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)


@pytest.mark.parametrize("first", [None, FIRST])
def test_a_write_that_was_cut_off_leaves_the_one_before(tmp_path: Path, first: Record | None) -> None:
    """At any byte, whether the file was new or is written over."""
    slots = Slots(tmp_path)
    for record in filter(None, (first, SECOND)):
        slots.write(record)
    path = tmp_path / NAMES[(2 if first is None else 3) % 2]
    before = path.read_bytes() if path.exists() else b""
    slots.write(THIRD)
    after = path.read_bytes()
    for cut in range(len(after)):
        torn = after[:cut] + before[cut:]
        path.write_bytes(torn)
        assert stored(tmp_path) == (SECOND if torn != after else THIRD)


def test_a_write_that_fails_is_done_again(tmp_path: Path) -> None:
    """In the same place: the good record is not touched before another is whole."""
    slots = Slots(tmp_path / "later")
    with pytest.raises(OSError):
        slots.write(FIRST)
    (tmp_path / "later").mkdir()
    slots.write(FIRST)
    assert [path.name for path in (tmp_path / "later").iterdir()] == [NAMES[1]]
    assert stored(tmp_path / "later") == FIRST


def test_what_is_damaged_does_not_count(tmp_path: Path) -> None:
    """One bit of it, or a file of something else."""
    slots = Slots(tmp_path)
    for record in (FIRST, SECOND):
        slots.write(record)
    path = tmp_path / NAMES[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert stored(tmp_path) == FIRST
    for other in (b"", b"no header", b'{"turn":9}\n', b"\xff\n"):
        path.write_bytes(other)
        assert stored(tmp_path) == FIRST
