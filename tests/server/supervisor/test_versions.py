"""Thousands of versions on their way: what a look at all of them may cost, and what holds up none of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from server.supervisor.replicas import document, ready, replica, state, until

from fairlead_server.link.messages import Fetched, FetchFailed
from fairlead_server.models.catalog import VersionEntry
from fairlead_server.supervisor.journal import Journal
from fairlead_server.supervisor.memory import Need, Taken
from fairlead_server.supervisor.times import Times
from fairlead_server.supervisor.versions import Versions

MANY = 2000


class FetchedAtOnce:
    """A fetcher that has everything, on the seam of `supervisor.fetching`."""

    async def fetch(self, source: str, digest: str | None) -> Fetched | FetchFailed:
        return Fetched(1, source, f"sha256:{source}", 1000, {})


class Busy:
    """Trials of which one never ends, so that everything else waits, on the seam of `supervisor.trial`."""

    busy = True

    def prepare(self) -> None:
        return None

    def drop_spare_soon(self) -> None:
        return None


def fits(_need: Need, _others: Taken) -> tuple[str, bool]:
    return "", False


def test_a_look_at_thousands_that_wait_is_short(tmp_path: Path) -> None:
    """A catalog of 5,000 new models waits for its trials for hours, and the supervisor answers probes meanwhile."""

    async def play() -> float:
        children: Any = (FetchedAtOnce(), Busy())
        versions = Versions(children, Journal.open(tmp_path / "journal"), Times(), fits, lambda _model: None)
        for at in range(MANY):
            versions.want(f"m{at}", [(1, "1", VersionEntry(source=f"s{at}"))])
        versions.tick()
        await until("all to be fetched", lambda: len(versions.digests()) == MANY, 60.0)
        begin = time.process_time()
        versions.tick()
        return time.process_time() - begin

    assert asyncio.run(play()) < 0.15


def test_a_trial_that_cannot_be_written_down_is_tried_again(tmp_path: Path) -> None:
    """A full disk below the journal, say: the version fails for now, and holds up no other for good."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            (tmp_path / "journal").mkdir()
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            held = await state(supervisor, "a", "1", "failed")
            assert (held.final, "could not be tried" in held.reason) == (False, True)
            (tmp_path / "journal").rmdir()
            await state(supervisor, "a", "1", "ready")
            await ready(supervisor)

    asyncio.run(play())


def test_a_death_that_cannot_be_written_down_ends_nothing_else(tmp_path: Path) -> None:
    """It does not count; what else a worker's death asks for goes on."""

    async def play() -> list[str]:
        children: Any = (FetchedAtOnce(), Busy())
        versions = Versions(children, Journal.open(tmp_path / "journal"), Times(), fits, lambda _model: None)
        (tmp_path / "journal").mkdir()
        return await versions.died_in_worker(["m:1:d:s"], "SIGSEGV")

    assert asyncio.run(play()) == []
