"""A real worker whose ONNX Runtime loses its device: what its callers, its doors and its supervisor are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fake_cuda
import httpx
import onnx_models
import pytest
from worker_clients import entry
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.models.settings import VersionSettings

ON_GPU = VersionSettings(providers=("cuda",), warmup_budget_ms=100, max_batch_size=8)


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    ports = Ports(tmp_path)
    yield ports
    ports.close()


@contextlib.asynccontextmanager
async def serving(ports: Ports, folder: Path) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The same model twice: `plain` on the CPU, `gpu` on what passes for CUDA."""
    path = onnx_models.build_linear(folder / "model" / "model.onnx")
    async with (
        Process("worker", ports, command=fake_cuda.COMMAND) as worker,
        httpx.AsyncClient(base_url=f"http://{ports.http_address}", timeout=10) as client,
    ):
        worker.load("plain-1a", path.parent)
        worker.load("gpu-1a", path.parent, ON_GPU)
        worker.send(link.Apply(1, {"plain": entry("1", "plain-1a"), "gpu": entry("1", "gpu-1a")}))
        await worker.accepting()
        yield worker, client


async def ask(client: httpx.AsyncClient, model: str, value: float = 1.0) -> int:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [value] * 4}
    return (await client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]})).status_code


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v2/health/ready")).status_code == 200


def test_a_lost_device_is_told_once(ports: Ports, tmp_path: Path) -> None:
    """Its version is named; every run on the device fails from then on, and what needs none is answered."""

    async def story() -> None:
        async with serving(ports, tmp_path) as (worker, client):
            assert [await ask(client, "gpu"), await ready(client)] == [200, True]
            assert await ask(client, "gpu", fake_cuda.ILLEGAL_ADDRESS) == 500
            broken = await worker.until(lambda message: isinstance(message, link.Broken))
            assert broken.uids == ("gpu-1a",)
            assert broken.reason.startswith("CUDA error 700 (cudaErrorIllegalAddress): ")
            assert [await ask(client, model) for model in ("gpu", "plain", "gpu", "plain")] == [500, 200, 500, 200]
            assert not await ready(client)
            worker.send(link.Drain(5.0, 0.1))
            assert await worker.ended() == 0
            assert [type(message) for message in worker.messages].count(link.Broken) == 1

    asyncio.run(story())


def test_a_device_that_fails_by_itself_is_nobodys_doing(ports: Ports, tmp_path: Path) -> None:
    """An ECC error ends the process too, and counts against no version."""

    async def story() -> None:
        async with serving(ports, tmp_path) as (worker, client):
            assert await ask(client, "gpu", fake_cuda.ECC) == 500
            broken = await worker.until(lambda message: isinstance(message, link.Broken))
            assert broken.uids == ()

    asyncio.run(story())


@pytest.mark.parametrize(("value", "status"), [(fake_cuda.OUT_OF_MEMORY, 503), (fake_cuda.CUBLAS, 500)])
def test_a_failed_run_leaves_the_device(ports: Ports, tmp_path: Path, value: float, status: int) -> None:
    """Out of memory, or a library's own failure: that request fails; its batch-mates and the next are answered."""

    async def story() -> None:
        async with serving(ports, tmp_path) as (worker, client):
            together = await asyncio.gather(*(ask(client, "gpu", at) for at in (1.0, value, 3.0, 4.0)))
            assert together == [200, status, 200, 200]
            assert [await ask(client, "gpu"), await ready(client)] == [200, True]
            assert not any(isinstance(message, link.Broken) for message in worker.messages)

    asyncio.run(story())
