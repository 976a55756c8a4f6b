"""The doors of a real worker process: how they are left, alone and beside a successor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_models
import pytest
from worker_clients import Clients, entry, serving
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.states import State


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    ports = Ports(tmp_path)
    yield ports
    ports.close()


def test_a_drain_beside_a_successor_loses_nothing(ports: Ports, tmp_path: Path) -> None:
    """Kept connections of both protocols go over to the other worker; the last counters are pushed; status 0."""

    async def story() -> None:
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            stop = asyncio.Event()
            done: list[str] = []

            async def ask_on(ask: Any) -> None:
                while not stop.is_set():
                    done.append((await ask())[0])

            load = [asyncio.ensure_future(ask_on(ask)) for ask in (clients.by_http, clients.by_grpc) * 3]
            await asyncio.sleep(0.1)
            async with serving(ports, tmp_path / "other", "w2") as successor:
                before = len(done)
                worker.send(link.Drain(10.0, 0.5))
                assert await worker.ended() == 0
                assert worker.messages.index(link.Accepting(False)) < worker.messages.index(worker.counts())
                await asyncio.sleep(0.2)
                stop.set()
                await asyncio.gather(*load)
                await successor.until(lambda m: isinstance(m, link.Counts) and "add-3a" in m.versions)
                while successor.counts().versions["add-3a"].requests < len(done) - _requests(worker):
                    await successor.until(lambda m: isinstance(m, link.Counts))
            assert before > 0
            assert _requests(worker) + _requests(successor) == len(done)

    asyncio.run(story())


def _requests(worker: Process) -> int:
    return worker.counts().versions["add-3a"].requests


def test_a_drain_answers_what_is_under_way(ports: Ports, tmp_path: Path) -> None:
    """Requests that run when the drain begins are answered, and nothing new is taken."""

    async def story() -> None:
        path = onnx_models.build_slow(tmp_path / "5" / "model.onnx", layers=400)
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            worker.load("add-5a", path, VersionSettings(max_batch_size=1, warmup=False))
            worker.send(link.Apply(2, {"add": entry("5", "add-5a")}))
            await worker.until(lambda m: isinstance(m, link.Applied) and m.routes.get("add") == {"5": 1.0})
            running = [asyncio.ensure_future(ask()) for ask in (clients.by_http, clients.by_grpc) * 4]
            await asyncio.sleep(0.05)
            worker.send(link.Drain(15.0, 0.2))
            answers = await asyncio.wait_for(asyncio.gather(*running), 15)
            assert [version for version, _ in answers] == ["5"] * 8
            assert await worker.ended() == 0

    asyncio.run(story())


def test_a_worker_that_cannot_open_its_doors_says_so_and_ends(ports: Ports, tmp_path: Path) -> None:
    """A port that somebody took without sharing is an end with status 1 and a line that says why."""

    async def story() -> None:
        ports._held.close()
        with socket.create_server(("127.0.0.1", ports.settings.grpc_port)):
            async with Process("worker", ports) as worker:
                worker.send(link.Apply(1, {}))
                assert await worker.ended() == 1
                assert "worker_broke" in worker.log.read_text()

    asyncio.run(story())


def test_a_drain_before_the_doors_open_ends_at_once(ports: Ports, tmp_path: Path) -> None:
    """There is nobody to wait for, whatever is still loading."""

    async def story() -> None:
        path = onnx_models.build_slow(tmp_path / "5" / "model.onnx", layers=400)
        async with Process("worker", ports) as worker:
            worker.load("add-5a", path, VersionSettings(warmup_budget_ms=10_000))
            worker.send(link.Apply(1, {"add": entry("5", "add-5a")}))
            await worker.moved("add-5a", State.WARMING)
            worker.send(link.Drain(10.0, 5.0))
            assert await worker.ended(3) == 0
            assert link.Accepting(True) not in worker.messages

    asyncio.run(story())
