"""The stored document and what has to be beside it, on disk: two files that are written in turn.

    catalog.0, catalog.1:    {"turn":7,"kept":2,"document":312,"crc32":3817}\\n KEPT DOCUMENT

The one with the older turn is written over in place and flushed once; the other is not touched. So a kill or a power
cut at any moment leaves one whole record at least, and of those that are whole the newest turn counts. A new file and a
rename are as safe and need a flush of the file and one of its folder, of which each waits for the file system's own
journal. Knows bytes only. Blocks on the disk.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from fairlead_server.supervisor.files import sync_folder

NAMES = ("catalog.0", "catalog.1")


class Record(NamedTuple):
    """`kept` is what only older documents hold."""

    kept: bytes
    document: bytes


class _Header(msgspec.Struct, frozen=True):
    turn: int
    kept: int  # bytes
    document: int
    crc32: int  # of all three, and of the turn


class Slots:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = 0

    def read(self) -> Record | None:
        """The newest whole record; None where there is none. Raises OSError."""
        found = [whole for name in NAMES if (whole := _read(self._folder / name)) is not None]
        if not found:
            return None
        self._turn, record = max(found, key=lambda whole: whole[0])
        return record

    def write(self, record: Record) -> None:
        """Returns when it is on disk. Raises OSError; then the record before counts, unless all of this one came to
        the disk."""
        turn = self._turn + 1
        path = self._folder / NAMES[turn % 2]
        fresh = not path.exists()
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(_header(turn, record) + record.kept + record.document)
            file.flush()
            os.fdatasync(file.fileno())
        if fresh:
            sync_folder(self._folder)
        self._turn = turn


def _header(turn: int, record: Record) -> bytes:
    header = _Header(turn, len(record.kept), len(record.document), _checksum(turn, record))
    return msgspec.json.encode(header) + b"\n"


def _read(path: Path) -> tuple[int, Record] | None:
    """What lies behind the lengths is left from a longer record before."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        header = msgspec.json.decode(head, type=_Header)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    record = Record(rest[: header.kept], rest[header.kept : header.kept + header.document])
    lengths = (len(record.kept), len(record.document))
    if lengths != (header.kept, header.document) or header.crc32 != _checksum(header.turn, record):
        return None
    return header.turn, record


def _checksum(turn: int, record: Record) -> int:
    return zlib.crc32(record.document, zlib.crc32(record.kept, zlib.crc32(f"{turn} {len(record.kept)}".encode())))
