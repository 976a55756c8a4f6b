"""How a catalog document reaches the replica, and which one counts.

    a file that is watched --+
    PUT on the control API --+--> parse (a thread) --> judge --> store (flushed) --> taken
    a folder that is scanned-+

The newest generation wins, whichever way it came; the stored one counts after a restart. What a PUT is answered
with, a file is told in the log and in the status. Nothing here knows processes or workers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from fairlead_server import log
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.catalog import Catalog
from fairlead_server.models.parsing import CatalogFault, Parsed, Reader
from fairlead_server.supervisor.packing import unpacked
from fairlead_server.supervisor.slots import Record, Slots

Fingerprint = tuple[int, int, int, int]
RENEW_S = 0.05  # many models come into effect at about the same time
FRESH_S = 2.0  # a file changed so recently may change again within its timestamp's grain


@dataclasses.dataclass(frozen=True)
class Document:
    data: bytes
    parsed: Parsed


def judge(stored: Document | None, new: Document, takeover: bool) -> bool:
    """Whether to take `new` (False: it is the stored one). Raises CONFLICT."""
    if stored is None:
        return True
    old, catalog = stored.parsed.catalog, new.parsed.catalog
    if new.data == stored.data:
        return False
    if catalog.owner != old.owner and old.owner and not takeover:
        raise ServingError(Kind.CONFLICT, _owned(old, catalog))
    if catalog.generation < old.generation:
        raise ServingError(
            Kind.CONFLICT, f"generation {catalog.generation} is older than {old.generation}, which is stored here"
        )
    if catalog.generation == old.generation:
        raise ServingError(
            Kind.CONFLICT, f"generation {old.generation} is stored here with other bytes: write the next generation"
        )
    return True


def _owned(old: Catalog, new: Catalog) -> str:
    return (
        f"the catalog here belongs to {old.owner!r}, and this one to {new.owner!r}: "
        "stop the other operator and PUT with ?takeover=true"
    )


class Carrier:
    """`prepare` gives what has to be on disk with a document; `taken` gets the new one."""

    def __init__(self, slots: Slots, prepare: Callable[[Parsed], bytes], taken: Callable[[Parsed], None]) -> None:
        self._slots = slots
        self._prepare = prepare
        self._taken = taken
        self._turn = asyncio.Lock()
        self._reader = Reader()
        self._kept = b""
        self._renewal: asyncio.Task[None] | None = None
        self.stored: Document | None = None
        self.fault = ""  # of the watched file or folder

    async def recall(self, data: bytes) -> None:
        """Start from the stored document."""
        try:
            document = await asyncio.to_thread(read, self._reader, data, True)
        except ServingError as fault:
            log.error("stored_catalog_unusable", reason=str(fault))
            return
        self.stored = document
        self._taken(document.parsed)

    async def offer(self, data: bytes, *, yaml: bool = False, takeover: bool = False) -> int:
        """The generation that is stored now. Raises INVALID, CONFLICT, and OVERLOADED where the disk takes nothing."""
        async with self._turn:
            if self.stored is not None and data == self.stored.data:
                return self.stored.parsed.catalog.generation
            document = await asyncio.to_thread(read, self._reader, data, yaml)
            if judge(self.stored, document, takeover):
                try:
                    await self._store(document)
                except OSError as fault:
                    raise ServingError(
                        Kind.OVERLOADED, f"it cannot be stored here: {fault}", retry_after=1.0
                    ) from fault
                self.stored = document
                self._taken(document.parsed)
            return document.parsed.catalog.generation

    async def _store(self, document: Document) -> None:
        kept = self._prepare(document.parsed)
        await asyncio.to_thread(self._slots.write, Record(kept, document.data))
        self._kept = kept

    def renew(self) -> None:
        """What has to be with the stored document may have changed. Asked often, written once."""
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        await asyncio.sleep(RENEW_S)
        async with self._turn:
            self._renewal = None
            if self.stored is None or self._prepare(self.stored.parsed) == self._kept:
                return
            try:
                await self._store(self.stored)
            except OSError as fault:
                log.error("kept_entries_not_written", reason=str(fault))

    async def watch_file(self, path: Path, poll_s: float) -> None:
        """For ever. A file that is not there changes nothing; what could not be stored is offered again."""
        seen: Fingerprint | None = None
        last: bytes | None = None
        while True:
            now, data = await asyncio.to_thread(look, path, seen, time.time())
            seen = now
            if data is not None and data != last:
                last = data if await self.offer_from("catalog_file", str(path), data) else None
                seen = now if last is not None else None
            elif now is None:
                self.fault, last = f"{path} is not there, or cannot be read", None
            await asyncio.sleep(poll_s)

    async def offer_from(self, event: str, where: str, data: bytes) -> bool:
        """As a PUT, but the answer goes to the log and the status. False where it may be another one later."""
        try:
            generation = await self.offer(await asyncio.to_thread(unpacked, data), yaml=True)
        except ServingError as refused:
            before, self.fault = self.fault, f"{where}: {refused.message}"
            if self.fault != before:
                log.warning(f"{event}_refused", path=where, reason=refused.message)
            return refused.kind is not Kind.OVERLOADED
        self.fault = ""
        log.info(f"{event}_taken", path=where, generation=generation)
        return True


def read(reader: Reader, data: bytes, yaml: bool) -> Document:
    try:
        return Document(data, reader.read(data, yaml=yaml))
    except CatalogFault as fault:
        raise ServingError(Kind.INVALID, str(fault)) from None


def look(path: Path, seen: Fingerprint | None, now: float) -> tuple[Fingerprint | None, bytes | None]:
    """The file's fingerprint, and its bytes where it differs from `seen`. Links are followed, so the swap by
    which a ConfigMap's mount is updated is another inode."""
    try:
        stat = path.stat()
        mark = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        settled = now - stat.st_mtime > FRESH_S
        return (mark, None) if mark == seen and settled else (mark, path.read_bytes())
    except OSError:
        return None, None
