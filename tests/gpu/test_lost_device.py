"""A worker that really loses its GPU is replaced, and the GPU is there again in its successor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
from gpu import trapped
from server.supervisor.replicas import QUICK, replica, until
from server.supervisor.test_lost_device import Caller, catalog

from fairlead_server.supervisor.times import Times


def test_a_lost_gpu_replaces_its_worker(tmp_path: Path, gpu_bytes: Callable[[], int]) -> None:
    """The run that lost it fails, what needs no GPU goes on, and the successor answers on the GPU."""

    async def play() -> None:
        times = Times(tick=QUICK.tick, poll=QUICK.poll, crash=QUICK.crash)
        async with (
            httpx.AsyncClient(timeout=60) as client,
            replica(tmp_path, times, trapped.COMMAND) as supervisor,
        ):
            await supervisor.put_catalog(catalog(tmp_path), False)
            await until("readiness", lambda: not supervisor.not_ready(), 100)
            stop = asyncio.Event()
            plain, gpu = Caller(client, supervisor, "plain"), Caller(client, supervisor, "gpu")
            asking = asyncio.ensure_future(plain.ask_on(stop))
            assert await gpu.ask() == 200
            assert await gpu.ask(trapped.TRAP) == 500
            await until("the successor", lambda: [held.id for held in supervisor.status().workers] == ["w2"], 60)
            assert await gpu.ask() == 200
            stop.set()
            await asking
            assert set(plain.answers) == {200}
            assert "CUDA error" in supervisor.status().conditions["DeviceLost"]

    asyncio.run(play())
