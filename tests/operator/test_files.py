"""The stored catalog and the memories: whole or not there, and only written over what was read."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fairlead_operator import files
from fairlead_operator.carrier import FileCarrier
from fairlead_operator.documents import CATALOG_VERSION, Catalog
from fairlead_operator.records import FileRecords
from fairlead_operator.report import RegistrySight, Report
from fairlead_operator.state import CatalogConflict, Rollout


def catalog(generation: int, owner: str = "default") -> Catalog:
    return Catalog(CATALOG_VERSION, generation, {}, owner)


def test_a_catalog_is_written_only_over_what_was_read(tmp_path: Path) -> None:
    """Of two operators that read the same catalog one writes the next, and the other reads again."""
    one, other = (FileCarrier(tmp_path / "c.json", "default") for _ in range(2))
    before = asyncio.run(one.read())
    assert asyncio.run(other.read()) == before
    written = asyncio.run(one.write(catalog(1), before))
    with pytest.raises(CatalogConflict, match="somebody else"):
        asyncio.run(other.write(catalog(1), before))
    assert asyncio.run(other.read()) == written
    assert list(tmp_path.glob(".c.json.*")) == [tmp_path / ".c.json.lock"]


def test_a_catalog_of_another_owner_or_none_at_all(tmp_path: Path) -> None:
    """It is not ours to write, unless it is to be taken over; text that is no catalog is never written over."""
    path = tmp_path / "c.json"
    theirs = FileCarrier(path, "theirs")
    asyncio.run(theirs.write(catalog(3, "theirs"), asyncio.run(theirs.read())))
    with pytest.raises(CatalogConflict, match="--takeover"):
        asyncio.run(FileCarrier(path, "default").read())
    assert asyncio.run(FileCarrier(path, "default", takeover=True).read()).catalog.generation == 3
    path.write_text("{}")
    with pytest.raises(CatalogConflict, match="not a catalog"):
        asyncio.run(FileCarrier(path, "default").read())


def test_a_lock_that_is_held_for_ever_is_an_error(tmp_path: Path) -> None:
    """Waiting for the lock has a limit."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with files.locked(tmp_path / "c"):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        with pytest.raises(files.Locked), files.locked(tmp_path / "c", 0.1):
            pass
    finally:
        done.set()
        thread.join(10)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the last moment: the old content stays, and no temporary file."""
    path = tmp_path / "f"
    files.write_atomic(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["m", "a model/with.dots", "ä" * 300, ".."])
def test_memories_by_any_name(tmp_path: Path, name: str) -> None:
    """Every served name has a file of its own below the folder, and is read back."""
    records = FileRecords(tmp_path)
    records.save(Rollout(name, "m"))
    assert FileRecords(tmp_path).load() == {name: Rollout(name, "m")}
    assert len(list((tmp_path / "rollouts").iterdir())) == 1
    records.delete(name)
    records.delete(name)
    assert records.load() == {}


def test_a_broken_memory_is_a_lost_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told in the log, and rebuilt from the catalog elsewhere."""
    records = FileRecords(tmp_path)
    records.save(Rollout("m", "m"))
    (tmp_path / "rollouts" / "n.json").write_bytes(b"\xff{")
    assert set(records.load()) == {"m"}
    assert "n.json" in capfd.readouterr().err


def test_the_report_is_json_for_everybody(tmp_path: Path) -> None:
    """rollouts.json lies in the state folder."""
    FileRecords(tmp_path).publish(Report(RegistrySight(None, 5.0, "connection refused"), ()))
    text = (tmp_path / "rollouts.json").read_text()
    assert '"seen": null' in text
    assert '"error": "connection refused"' in text
