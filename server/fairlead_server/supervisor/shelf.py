"""A folder of models as a carrier: what lies there becomes the next generation of a catalog of our own.

The scan runs on a thread, each second; the document is written only when the models differ, so that generations
mean something. The stored document survives a restart like any other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from fairlead_server import log
from fairlead_server.models.catalog import API_VERSION, Catalog
from fairlead_server.supervisor.carrier import Carrier
from fairlead_server.supervisor.folder import remember, scan

OWNER = "folder"
FIRST_SCAN_S = 0.2  # what lies there at the start is taken when two scans saw it unchanged: so the second comes soon


async def watch_folder(carrier: Carrier, path: Path, every_s: float) -> None:
    """For ever."""
    memory = remember(carrier.stored.parsed.catalog.models if carrier.stored is not None else {})
    problems: dict[str, str] = {}
    fresh, pause_s = carrier.stored is None, FIRST_SCAN_S
    while True:
        found = await asyncio.to_thread(scan, path, memory)
        memory = found.memory
        if found.problems != problems:
            problems = found.problems
            log.warning("folder_problems", path=str(path), problems=problems)
        # What a first scan sees is settled by the second: until then there is no catalog rather than an empty one.
        refused = [] if fresh and memory.last.seen else await _offer(carrier, path, found.models)
        carrier.fault = "; ".join([*(f"{name or path}: {why}" for name, why in problems.items()), *refused])
        await asyncio.sleep(pause_s)
        fresh, pause_s = False, every_s


async def _offer(carrier: Carrier, path: Path, models: object) -> list[str]:
    """Why the document was refused, if it was."""
    stored = carrier.stored.parsed.catalog if carrier.stored is not None else None
    if stored is not None and stored.models == models:
        return []
    generation = stored.generation + 1 if stored is not None else 1
    document = Catalog(apiVersion=API_VERSION, generation=generation, models=models, owner=OWNER)  # type: ignore[arg-type]
    await carrier.offer_from("folder", str(path), msgspec.json.encode(document))
    return [carrier.fault] if carrier.fault else []
