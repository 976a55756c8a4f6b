"""The stored catalog to the replicas of a pool, and what they say of it. What it should hold is decided elsewhere.

observe   every replica's status; one that obeys another installation is as good as absent
newest    the stored catalog, or a newer one of ours that a replica has
send      the stored bytes to every replica that answers and has not taken them yet
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from fairlead_operator import log
from fairlead_operator.documents import Catalog, DocumentFault, read_catalog
from fairlead_operator.state import Answer, CatalogConflict, Seen, Stored


class Fleet(Protocol):
    """See fleet.HttpFleet."""

    async def observe(self) -> dict[str, Seen]: ...
    async def put(self, base: str, data: bytes) -> Answer: ...
    async def catalog(self, base: str) -> bytes | None: ...


class Carrier(Protocol):
    """See carrier.FileCarrier."""

    owner: str

    @property
    def largest(self) -> int: ...  # packed bytes that a document may have; 0: any number
    def room(self) -> int: ...  # how many fewer the stored one has
    def size(self, catalog: Catalog) -> int: ...  # how many this one would have
    async def read(self) -> Stored: ...
    async def write(self, catalog: Catalog, expected: Stored) -> Stored: ...
    async def store(self, data: bytes, catalog: Catalog, expected: Stored) -> Stored: ...
    def ours(self, catalog: Catalog) -> bool: ...


class Delivery:
    """`floor` is a generation that some replica holds with other bytes: the next one stored must be above it."""

    def __init__(self, fleet: Fleet, carrier: Carrier) -> None:
        self.floor = 0
        self._fleet = fleet
        self._carrier = carrier
        self._told: dict[str, tuple[str, int]] = {}  # the boot and generation that each address last took
        self._not_taken: dict[str, tuple[int, str]] = {}  # by address: what was refused last, and why

    async def observe(self) -> dict[str, Seen]:
        """A replica that obeys another installation is as good as absent."""
        return {address: self._mine(status) for address, status in (await self._fleet.observe()).items()}

    def _mine(self, seen: Seen) -> Seen:
        if isinstance(seen, str) or not seen.owner:
            return seen
        if self._carrier.ours(Catalog("", seen.generation, {}, seen.owner)):
            return seen
        return f"obeys the installation {seen.owner!r}, and is only taken over with --takeover"

    async def newest(self, stored: Stored, seen: Mapping[str, Seen]) -> Stored:
        """The stored catalog, or a newer one of ours that a replica has: then the file here was lost or put back."""
        newer = {a: s for a, s in seen.items() if not isinstance(s, str) and s.generation > stored.catalog.generation}
        if not newer:
            return stored
        address, status = max(newer.items(), key=lambda item: _generation(item[1]))
        if not isinstance(status, str) and not status.owner:
            return stored  # written by hand: numbered over, not continued
        data = await self._fleet.catalog(address)
        try:
            catalog = read_catalog(data) if data else None
        except DocumentFault:
            catalog = None
        if data is None or catalog is None:
            raise CatalogConflict(f"{address} has a newer catalog than the stored one, and it could not be read")
        log.warning(
            "adopted", why=f"{address} has generation {catalog.generation}, stored was {stored.catalog.generation}"
        )
        return await self._carrier.store(data, catalog, stored)

    def base(self, stored: Stored, seen: Mapping[str, Seen]) -> int:
        """The newest generation there is: the next one is above it."""
        return max([stored.catalog.generation, self.floor, *map(_generation, seen.values())])

    async def send(self, stored: Stored, seen: Mapping[str, Seen]) -> None:
        """The stored bytes to every replica that answers and has not taken them yet."""
        self._told = {address: told for address, told in self._told.items() if address in seen}
        self._not_taken = {address: why for address, why in self._not_taken.items() if address in seen}
        behind = {
            address: status
            for address, status in seen.items()
            if not isinstance(status, str)
            and (status.generation < stored.catalog.generation or self._told.get(address) != self._mark(status, stored))
        }
        if stored.data is None or not behind:
            return
        answers = await asyncio.gather(*(self._fleet.put(address, stored.data) for address in behind))
        for (address, status), answer in zip(behind.items(), answers, strict=True):
            if answer.stored:
                self._told[address] = self._mark(status, stored)
                self._not_taken.pop(address, None)
                continue
            if answer.conflict:
                self.floor = max(self.floor, stored.catalog.generation)
            refused = (stored.catalog.generation, answer.why)
            if self._not_taken.get(address) != refused:  # once, and not at every step
                log.warning("catalog not taken", replica=address, generation=stored.catalog.generation, why=answer.why)
            self._not_taken[address] = refused

    @staticmethod
    def _mark(seen: Seen, stored: Stored) -> tuple[str, int]:
        return ("" if isinstance(seen, str) else seen.boot, stored.catalog.generation)


def _generation(seen: Seen) -> int:
    return 0 if isinstance(seen, str) else seen.generation
