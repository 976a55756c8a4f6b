"""A whole replica whose ONNX Runtime loses its device under load: who is answered meanwhile, and what comes after."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import fake_cuda
import httpx
from onnx_models import build_linear
from server.supervisor.replicas import QUICK, replica, until

from fairlead_server.supervisor.main import Supervisor
from fairlead_server.supervisor.times import Times

ROW = [1.0, 2.0, 3.0, 4.0]


def catalog(folder: Path) -> bytes:
    """`plain` on the CPU, `gpu` on what passes for CUDA."""
    source = build_linear(folder / "model" / "model.onnx").parent.as_uri()
    models = {
        name: {
            "versions": {"1": {"source": source, "settings": {"warmup_budget_ms": 50, "providers": [provider]}}},
            "route": {"weights": {"1": 1.0}},
        }
        for name, provider in (("plain", "cpu"), ("gpu", "cuda"))
    }
    return json.dumps({"apiVersion": "fairlead.dev/catalog/v1", "generation": 1, "models": models}).encode()


class Caller:
    """Asks for one model on a connection that it keeps."""

    def __init__(self, client: httpx.AsyncClient, supervisor: Supervisor, model: str) -> None:
        self.url = f"http://127.0.0.1:{supervisor.settings.http_port}/v2/models/{model}/infer"
        self.client = client
        self.answers: list[int] = []

    async def ask(self, first: float = 1.0) -> int:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [first, *ROW[1:]]}
        return (await self.client.post(self.url, json={"inputs": [tensor]})).status_code

    async def ask_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.answers.append(await self.ask())
            await asyncio.sleep(0.002)


def test_a_lost_device_costs_only_what_needs_it(tmp_path: Path) -> None:
    """The successor serves before the broken worker leaves: not one request of another model is lost."""

    async def play() -> None:
        times = Times(tick=QUICK.tick, poll=QUICK.poll, crash=QUICK.crash)
        async with (
            httpx.AsyncClient(timeout=20) as client,
            replica(tmp_path, times, fake_cuda.COMMAND) as supervisor,
        ):
            await supervisor.put_catalog(catalog(tmp_path), False)
            await until("readiness", lambda: not supervisor.not_ready(), 20)
            stop = asyncio.Event()
            plain = [Caller(client, supervisor, "plain") for _ in range(4)]
            gpu = Caller(client, supervisor, "gpu")
            asking = [asyncio.ensure_future(caller.ask_on(stop)) for caller in (*plain, gpu)]
            await asyncio.sleep(0.3)
            assert await Caller(client, supervisor, "gpu").ask(fake_cuda.ILLEGAL_ADDRESS) == 500
            await until("the successor", lambda: [held.id for held in supervisor.status().workers] == ["w2"], 20)
            assert not supervisor.not_ready()
            before = len(gpu.answers)
            await until("more answers", lambda: len(gpu.answers) > before + 20)
            stop.set()
            await asyncio.gather(*asking)
            assert {status for caller in plain for status in caller.answers} == {200}
            assert set(gpu.answers) == {200, 500}
            assert set(gpu.answers[before + 5 :]) == {200}
            told = supervisor.status().conditions["DeviceLost"]
            assert told.startswith("w1: CUDA error 700 (cudaErrorIllegalAddress)")
            assert told.endswith("(running: gpu)")
            assert (tmp_path / "journal").read_text().count('"type":"death"') == 1

    asyncio.run(play())
