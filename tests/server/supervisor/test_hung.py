"""A real worker whose loop is held up by a run that never returns: who is blamed, and who is served again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import fake_cuda
import httpx
import pytest
from server.supervisor.replicas import QUICK, replica, until
from server.supervisor.test_lost_device import Caller, catalog

from fairlead_server.supervisor.times import Times


def test_a_run_that_hangs_the_loop_is_blamed(tmp_path: Path) -> None:
    """The worker is killed for its silence; its successor serves, and the journal knows the version that did it."""

    async def play() -> None:
        times = Times(tick=QUICK.tick, poll=QUICK.poll, crash=QUICK.crash, stuck=4.0)
        async with httpx.AsyncClient(timeout=30) as client, replica(tmp_path, times, fake_cuda.COMMAND) as supervisor:
            await supervisor.put_catalog(catalog(tmp_path), False)
            await until("readiness", lambda: not supervisor.not_ready(), 20)
            plain = Caller(client, supervisor, "plain")
            assert await plain.ask() == 200
            with pytest.raises(httpx.TransportError):
                await plain.ask(fake_cuda.HANG)
            assert await plain.ask() == 200
            assert [held.id for held in supervisor.status().workers] == ["w2"]
            told = supervisor.status().conditions["WorkerStuck"]
            assert told.startswith("w1: it was silent for ")
            assert told.endswith("(running: plain)")
            await until("the journal", lambda: (tmp_path / "journal").read_text().count('"type":"death"') == 1)
            assert "it hung while this ran" in (tmp_path / "journal").read_text()

    asyncio.run(play())
