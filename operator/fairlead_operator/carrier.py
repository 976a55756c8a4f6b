"""The stored catalog: one file, written whole, with the bytes that were read as the precondition.

That precondition, under a lock, is what fences two operators: of two that read the same catalog only one
writes the next. What is not stored here is never PUT to a replica.
"""

from __future__ import annotations

from pathlib import Path

from fairlead_operator import files
from fairlead_operator.documents import Catalog, DocumentFault, empty_catalog, encode, read_catalog
from fairlead_operator.state import CatalogConflict, Stored


class FileCarrier:
    """`owner` is the installation; a catalog of another one is only taken over when `takeover` says so."""

    def __init__(self, path: Path, owner: str, takeover: bool = False) -> None:
        self._path = path
        self.owner = owner
        self.takeover = takeover
        self.largest = 0  # a file holds any document

    def size(self, catalog: Catalog) -> int:
        return len(encode(catalog))

    def room(self) -> int:
        return 0

    async def read(self) -> Stored:
        """Raises CatalogConflict where the file is not ours to write, or not a catalog."""
        data = self._bytes()
        if data is None or not data.strip():
            return Stored(data, empty_catalog(self.owner))
        try:
            catalog = read_catalog(data)
        except DocumentFault as fault:
            raise CatalogConflict(f"{self._path}: {fault}. Move it away, or name another --catalog") from None
        if not self.ours(catalog):
            raise CatalogConflict(
                f"{self._path} belongs to {catalog.owner or 'nobody'!r}, not to {self.owner!r}: "
                "name another --catalog, or take it over with --takeover"
            )
        return Stored(data, catalog)

    def ours(self, catalog: Catalog) -> bool:
        return catalog.owner == self.owner or self.takeover or (not catalog.owner and not catalog.models)

    async def write(self, catalog: Catalog, expected: Stored) -> Stored:
        """Stores `catalog` when the file still is what was read. Raises CatalogConflict, or OSError."""
        return await self.store(encode(catalog), catalog, expected)

    async def store(self, data: bytes, catalog: Catalog, expected: Stored) -> Stored:
        """The same with bytes that came from elsewhere."""
        try:
            with files.locked(self._path):
                if self._bytes() != expected.data:
                    raise CatalogConflict(f"{self._path} was changed by somebody else: reading it again")
                files.write_atomic(self._path, data)
        except files.Locked as locked:
            raise CatalogConflict(str(locked)) from None
        return Stored(data, catalog)

    def _bytes(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
