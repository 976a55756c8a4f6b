"""The stored catalog in a cluster: one ConfigMap a pool, written whole, with the resourceVersion that was read as
the precondition.

    binaryData   catalog.json.gz              the document, compressed; the same catalog always gives the same bytes
    annotations  fairlead.dev/generation, fairlead.dev/owner     for people; what counts stands in the document

It is one object, so that a write is whole or not there. What was read or written last is remembered and read again
every half minute: a step costs the API server nothing. Deleted by hand, or put back from an older backup, it is written
again: from memory here, from the newest replica where this operator is new (reconcile does that). What is no catalog
is not written over unless `takeover` says so.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import time
import zlib
from collections.abc import Callable

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.documents import Catalog, DocumentFault, empty_catalog, encode, read_catalog
from fairlead_operator.resource import PREFIX
from fairlead_operator.state import CatalogConflict, Stored

KEY = "catalog.json.gz"
# The API server's limit is 1 MiB for a ConfigMap's data. What grows leaves some of it to what may always be written: a
# route that moves, an alias.
LIMIT = 1024 * 1024 - 1024
LARGEST = LIMIT - 7 * 1024
LARGEST_PLAIN = 256 * 1024 * 1024
FRESH_S = 30.0
AGAIN_S = 5.0  # what cannot be used is read again so often


class CatalogTooLarge(CatalogConflict):
    """The next catalog does not fit into a ConfigMap, though nothing in it grows."""


class ConfigMapCarrier:
    """The catalog of one pool. `allowed` says whether this operator may write now."""

    def __init__(
        self, server: api.Api, namespace: str, name: str, owner: str, takeover: bool = False,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self._api = server
        self._namespace = namespace
        self._name = name
        self.owner = owner
        self.takeover = takeover
        self._allowed = allowed
        self._object: api.Object | None = None
        self._stored: Stored | None = None
        self._last: Stored | None = None  # the newest that was read or written
        self._trouble: CatalogConflict | None = None
        self._read_at = float("-inf")
        self._packing = (b"", b"")  # the document that was packed last, and what came of it
        self.bytes = 0  # compressed

    @property
    def largest(self) -> int:
        return LARGEST

    def size(self, catalog: Catalog) -> int:
        """Compressed. If it is written next, it is not compressed again."""
        return len(self._pack(encode(catalog)))

    def room(self) -> int:
        return LARGEST - self.bytes

    def _pack(self, data: bytes) -> bytes:
        if data != self._packing[0]:
            self._packing = (data, pack(data))
        return self._packing[1]

    async def read(self) -> Stored:
        """Raises CatalogConflict where it is not ours to write, or not a catalog, and OSError."""
        age = time.monotonic() - self._read_at
        if self._trouble is not None and age < AGAIN_S:
            raise self._trouble
        if self._stored is None or age >= FRESH_S:
            self._read_at, self._trouble = time.monotonic(), None
            try:
                await self._refresh()
            except CatalogConflict as conflict:
                self._trouble = conflict
                raise
        assert self._stored is not None
        return self._stored

    def ours(self, catalog: Catalog) -> bool:
        return catalog.owner == self.owner or self.takeover or (not catalog.owner and not catalog.models)

    async def write(self, catalog: Catalog, expected: Stored) -> Stored:
        """Stores `catalog` where the ConfigMap still is what was read. Raises CatalogConflict, or OSError."""
        return await self.store(encode(catalog), catalog, expected)

    async def store(self, data: bytes, catalog: Catalog, expected: Stored) -> Stored:
        """The same with bytes that came from elsewhere."""
        if self._stored is None or expected.data != self._stored.data:
            raise CatalogConflict(f"{self._where()} is not what was read: reading it again")
        packed = self._pack(data)
        if len(packed) > LIMIT:
            raise CatalogTooLarge(
                f"the catalog of {len(catalog.models)} models is {len(packed)} bytes compressed, and {self._where()} "
                f"holds {LIMIT}: serve fewer models in this pool, or divide them over two"
            )
        if not self._allowed():
            raise CatalogConflict("another operator may be active: nothing is written")
        try:
            self._object = await self._put(packed, catalog)
        except api.ApiFault as fault:
            self._stored = None
            if fault.conflict or fault.gone:
                raise CatalogConflict(f"{self._where()} was changed by somebody else: reading it again") from None
            raise
        self._keep(Stored(data, catalog), len(packed))
        self._packing = (b"", b"")
        return Stored(data, catalog)

    async def _put(self, packed: bytes, catalog: Catalog) -> api.Object:
        metadata = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/managed-by": api.MANAGER},
            "annotations": {PREFIX + "generation": str(catalog.generation), PREFIX + "owner": catalog.owner},
        }
        body = {"apiVersion": "v1", "kind": "ConfigMap", "binaryData": {KEY: base64.b64encode(packed).decode()}}
        if self._object is None:
            return await self._api.create(api.config_maps(self._namespace), {**body, "metadata": metadata})
        old = self._object["metadata"]
        for group in ("labels", "annotations"):
            metadata[group] = {**(old.get(group) or {}), **metadata[group]}  # type: ignore[dict-item]
        metadata |= {"resourceVersion": old["resourceVersion"], "uid": old["uid"]}
        return await self._api.replace(api.config_maps(self._namespace, self._name), {**body, "metadata": metadata})

    async def _refresh(self) -> None:
        self._stored = None
        await self._look()
        packed = self._packed()
        data = self._data(packed)
        catalog = self._catalog(data)
        if not self.ours(catalog):
            raise CatalogConflict(
                f"{self._where()} belongs to {catalog.owner or 'nobody'!r}, not to {self.owner!r}: "
                "give this pool a catalog of its own, or set takeover"
            )
        self._keep(Stored(data, catalog), len(packed or b""))
        last = self._last
        if last is not None and last.data is not None and catalog.generation < last.catalog.generation:
            log.warning("catalog put back", why=f"{self._where()} was deleted, or is older than what was written last",
                        found=catalog.generation, generation=last.catalog.generation)  # fmt: skip
            await self.store(last.data, last.catalog, Stored(data, catalog))

    async def _look(self) -> None:
        try:
            self._object = await self._api.get(api.config_maps(self._namespace, self._name))
        except api.ApiFault as fault:
            if not fault.gone:
                raise
            self._object = None

    def _keep(self, stored: Stored, size: int) -> None:
        self._stored, self._read_at, self.bytes = stored, time.monotonic(), size
        if self._last is None or stored.catalog.generation >= self._last.catalog.generation:
            self._last = stored

    def _packed(self) -> bytes | None:
        found = ((self._object or {}).get("binaryData") or {}).get(KEY)
        return base64.b64decode(found) if found else None

    def _data(self, packed: bytes | None) -> bytes | None:
        try:
            return None if packed is None else unpack(packed)
        except (OSError, EOFError, zlib.error, binascii.Error) as error:
            self._nonsense(f"{KEY} is not gzip: {error}")
            return None

    def _catalog(self, data: bytes | None) -> Catalog:
        if data is None or not data.strip():
            return empty_catalog(self.owner)
        try:
            return read_catalog(data)
        except DocumentFault as fault:
            self._nonsense(str(fault))
            return empty_catalog(self.owner)

    def _nonsense(self, why: str) -> None:
        """Somebody wrote it by hand. It is written over only where that was asked for."""
        if not self.takeover:
            raise CatalogConflict(
                f"{self._where()}: {why}. Nothing is changed while it stands there: delete it, and it is written again"
            )
        log.warning("catalog written over", why=f"{self._where()}: {why}; takeover is set")

    def _where(self) -> str:
        return f"ConfigMap {self._namespace}/{self._name}"


def pack(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


def unpack(packed: bytes) -> bytes:
    """Raises OSError, EOFError or zlib.error; also where it would be larger than any catalog is."""
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(packed, LARGEST_PLAIN)
    if not unpacker.eof:
        raise EOFError("it is cut off, or too large")
    return data
