"""A new replica whose sources cannot be reached: when it opens its doors, and with what."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from pathlib import Path

from server.supervisor.replicas import QUICK, document, ready, replica, state, until

from fairlead_server.supervisor.main import Supervisor

PATIENT = dataclasses.replace(QUICK, retry_most=0.2)


def starves(supervisor: Supervisor) -> bool:
    return "NothingFetched" in supervisor.status().conditions


def test_a_new_replica_that_can_fetch_nothing_is_not_ready(tmp_path: Path) -> None:
    """However often it fails; and once its sources answer, it opens with all that they have."""

    async def play() -> None:
        (tmp_path / "away").touch()
        async with replica(tmp_path, PATIENT, workers=2) as supervisor:
            models = {f"m{at}": {"1": f"away-{at}"} for at in range(12)}
            await supervisor.put_catalog(document(1, models), False)
            await until("all to have failed", lambda: starves(supervisor))
            until_then = time.monotonic() + 1.5
            while time.monotonic() < until_then:
                assert supervisor.not_ready() == "no worker accepts yet"
                await asyncio.sleep(0.01)
            (tmp_path / "away").unlink()
            await ready(supervisor)
            status = supervisor.status()
            assert [name for name in models if status.models[name].route != {"1": 1.0}] == []
            assert "NothingFetched" not in status.conditions

    asyncio.run(play())


def test_it_opens_without_any_in_the_end(tmp_path: Path) -> None:
    """Sources that stay away for minutes are told by its status, and its callers get the reason."""

    async def play() -> None:
        (tmp_path / "away").touch()
        async with replica(tmp_path, dataclasses.replace(PATIENT, arrival=1.5)) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "away-1"}, "b": {"1": "away-2"}}), False)
            await until("all to have failed", lambda: starves(supervisor))
            await ready(supervisor)
            assert "its source is away" in (await state(supervisor, "a", "1", "failed")).reason
            assert not starves(supervisor)

    asyncio.run(play())


def test_a_source_that_is_away_holds_up_none_that_answer(tmp_path: Path) -> None:
    """Its version failed twice: the doors open with the other."""

    async def play() -> None:
        (tmp_path / "away").touch()
        async with replica(tmp_path, PATIENT) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "away"}, "b": {"1": "src"}}), False)
            await ready(supervisor)
            assert supervisor.status().models["b"].route == {"1": 1.0}

    asyncio.run(play())


def test_what_failed_for_good_is_not_waited_for(tmp_path: Path) -> None:
    """Also where there is nothing else."""

    async def play() -> None:
        async with replica(tmp_path, PATIENT) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "missing"}}), False)
            await ready(supervisor)
            assert not starves(supervisor)

    asyncio.run(play())


def test_another_catalog_ends_the_wait(tmp_path: Path) -> None:
    """What is not wanted any more is not waited for, and what is new has its attempts."""

    async def play() -> None:
        (tmp_path / "away").touch()
        async with replica(tmp_path, PATIENT) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "away"}}), False)
            await until("all to have failed", lambda: starves(supervisor))
            await supervisor.put_catalog(document(2, {"a": {"1": "away"}, "b": {"1": "src"}}), False)
            await ready(supervisor)
            assert supervisor.status().models["b"].route == {"1": 1.0}

    asyncio.run(play())


def test_a_replica_that_accepted_before_is_not_held_up(tmp_path: Path) -> None:
    """A worker's successor takes over what there is, as ever."""

    async def play() -> None:
        (tmp_path / "away").touch()
        async with replica(tmp_path, PATIENT) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            await supervisor.put_catalog(document(2, {"b": {"1": "away"}}), False)
            await state(supervisor, "b", "1", "failed")
            os.kill(supervisor.status().workers[0].pid, signal.SIGKILL)
            await until("w2", lambda: [held.id for held in supervisor.status().workers] == ["w2"])
            await ready(supervisor)
            assert not starves(supervisor)

    asyncio.run(play())
