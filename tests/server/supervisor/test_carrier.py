"""Which document counts, and how a watched file is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from server.supervisor.replicas import document, until

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.parsing import Reader
from fairlead_server.supervisor.carrier import Carrier, judge, look, read
from fairlead_server.supervisor.slots import Slots

STORED = read(Reader(), document(5, {}, owner="me"), False)


@pytest.mark.parametrize(
    ("new", "takeover", "wanted"),
    [
        (document(6, {}, owner="me"), False, True),
        (document(5, {}, owner="me"), False, False),
        (document(4, {}, owner="me"), False, "is older than 5"),
        (document(5, {}, owner="me") + b" ", False, "other bytes"),
        (document(6, {}, owner="you"), False, "belongs to 'me'"),
        (document(6, {}, owner="you"), True, True),
        (document(4, {}, owner="you"), True, "is older than 5"),
    ],
)
def test_the_newest_generation_wins(new: bytes, takeover: bool, wanted: bool | str) -> None:
    """Whichever way it came; an owner is followed by another only when told."""
    if isinstance(wanted, bool):
        assert judge(STORED, read(Reader(), new, False), takeover) is wanted
        return
    with pytest.raises(ServingError, match=wanted) as caught:
        judge(STORED, read(Reader(), new, False), takeover)
    assert caught.value.kind is Kind.CONFLICT


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """Only one that has not changed lately, since timestamps are coarse."""
    path = tmp_path / "c"
    path.write_bytes(b"1")
    changed = path.stat().st_mtime
    mark, data = look(path, None, changed + 10)
    assert data == b"1"
    assert look(path, mark, changed + 10) == (mark, None)
    assert look(path, mark, changed + 0.1) == (mark, b"1")


def test_a_swapped_link_is_another_file(tmp_path: Path) -> None:
    """Also with the same size and time, as two files of a ConfigMap may have."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (1000, 1000))
    link = tmp_path / "link"
    link.symlink_to("a")
    mark, _ = look(link, None, 5000)
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").replace(link)
    assert look(link, mark, 5000)[1] == b"b"
    link.unlink()
    assert look(link, mark, 5000) == (None, None)


@contextlib.asynccontextmanager
async def watching(folder: Path, path: Path) -> AsyncIterator[Carrier]:
    carrier = Carrier(Slots(folder), lambda _parsed: b"{}", lambda _parsed: None)
    task = asyncio.create_task(carrier.watch_file(path, 0.01))
    try:
        yield carrier
    finally:
        task.cancel()


def test_a_file_that_comes_back_is_told_as_there(tmp_path: Path) -> None:
    """Also with the bytes that it had before."""

    async def play() -> None:
        path = tmp_path / "c"
        path.write_bytes(STORED.data)
        async with watching(tmp_path, path) as carrier:
            await until("the document", lambda: carrier.stored)
            path.rename(tmp_path / "away")
            await until("its absence", lambda: "is not there" in carrier.fault)
            (tmp_path / "away").rename(path)
            await until("its return", lambda: not carrier.fault)

    asyncio.run(play())


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    """It is no catalog, from the first look on."""

    async def play() -> None:
        (tmp_path / "c").touch()
        async with watching(tmp_path, tmp_path / "c") as carrier:
            await until("the fault", lambda: carrier.fault)

    asyncio.run(play())


def test_a_disk_that_takes_nothing_is_told_and_tried_again(tmp_path: Path) -> None:
    """For a PUT it is an error of its own; a watched file is offered until it is stored."""

    async def play() -> None:
        path, folder = tmp_path / "c", tmp_path / "state"
        path.write_bytes(STORED.data)
        async with watching(folder, path) as carrier:
            await until("the fault", lambda: "cannot be stored" in carrier.fault)
            with pytest.raises(ServingError, match="cannot be stored") as caught:
                await carrier.offer(document(6, {}))
            assert (caught.value.kind, carrier.stored) == (Kind.OVERLOADED, None)
            folder.mkdir()
            await until("the document", lambda: carrier.stored)
            assert not carrier.fault

    asyncio.run(play())


def test_a_file_may_be_gzip(tmp_path: Path) -> None:
    """What is stored is the document itself, as a PUT brings it; a damaged one is told, and changes nothing."""

    async def play() -> None:
        path, newer = tmp_path / "c.gz", document(6, {})
        path.write_bytes(gzip.compress(STORED.data))
        async with watching(tmp_path / "state", path) as carrier:
            (tmp_path / "state").mkdir()
            await until("the document", lambda: carrier.stored)
            assert carrier.stored.data == STORED.data
            path.write_bytes(gzip.compress(newer)[:-3])
            await until("the fault", lambda: "cut short" in carrier.fault)
            assert carrier.stored.data == STORED.data
            path.write_bytes(gzip.compress(newer))
            await until("the newer one", lambda: carrier.stored.data == newer)
            assert not carrier.fault

    asyncio.run(play())
