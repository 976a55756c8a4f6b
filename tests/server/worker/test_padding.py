"""A real worker with a real model of two free dimensions: texts of many lengths, over both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx_models
import onnxruntime as ort
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from tritonclient.utils import InferenceServerException
from worker_clients import Clients, entry
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.models.settings import Padding, VersionSettings
from fairlead_server.models.states import State

SETTINGS = VersionSettings(
    padding={"ids": Padding(mask="mask", trim={"states": 1})},
    max_queue_delay_us=20_000,  # so that requests meet whatever the machine does
    max_batch_size=16,
    warmup_budget_ms=300,
)
UID = "text-1a"


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    ports = Ports(tmp_path)
    yield ports
    ports.close()


def texts(count: int) -> list[dict[str, np.ndarray]]:
    """Of one row, of three, of more than a run may have; with a mask (some of which hide something), and without."""
    random = np.random.default_rng(11)
    made = []
    for at in range(count):
        rows = 40 if at == 31 else 3 if at % 7 == 0 else 1
        shape = (rows, int(random.integers(1, 40)))
        inputs = {"ids": random.integers(0, 32, shape)}
        if at % 3:
            inputs["mask"] = np.ones(shape, np.int64)
            inputs["mask"][:, shape[1] - at % 2 :] = 0 if shape[1] > 1 else 1
        made.append(inputs)
    return made


async def ask(client: Any, kind: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = []
    for name, array in inputs.items():
        tensors.append(kind.InferInput(name, list(array.shape), "INT64"))
        tensors[-1].set_data_from_numpy(array)
    answer = await client.infer("text", tensors)
    return {name: answer.as_numpy(name) for name in ("states", "pooled")}


@pytest.mark.parametrize("multiple", [1, 16])
def test_lengths_share_runs_and_each_gets_its_own_answer(ports: Ports, tmp_path: Path, multiple: int) -> None:
    """As ONNX Runtime gives it to the request alone, whoever was beside it; and runs were shared. The model takes 40
    places: what a multiple of 16 makes longer fails, and is run again as it came."""
    path = onnx_models.build_attention(tmp_path / "1" / "model.onnx", most=40)
    padding = {"ids": Padding(mask="mask", trim={"states": 1}, multiple=multiple)}
    settings = msgspec.structs.replace(SETTINGS, padding=padding)
    alone = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    requests = texts(60)

    async def story() -> None:
        async with Process("worker", ports) as worker, Clients(ports) as clients:
            worker.load(UID, path, settings)
            worker.send(link.Apply(1, {"text": entry("1", UID)}))
            ready = await worker.moved(UID, State.READY)
            assert ready.profile.padding, ready.profile.padding_reason
            assert [spec.optional for spec in ready.signature.inputs] == [False, True]
            await worker.accepting()
            both = [(clients.http, triton_http), (clients.grpc, triton_grpc)]
            answers = await asyncio.gather(*(ask(*both[at % 2], inputs) for at, inputs in enumerate(requests)))
            for inputs, answer in zip(requests, answers, strict=True):
                whole = {"mask": np.ones_like(inputs["ids"]), **inputs}
                for name, expected in zip(answer, alone.run(list(answer), whole), strict=True):
                    np.testing.assert_allclose(answer[name], expected, rtol=1e-4, atol=1e-4)
            counts = await worker.until(lambda m: isinstance(m, link.Counts) and UID in m.versions)
            while counts.versions[UID].requests < len(requests):
                counts = await worker.until(lambda m: isinstance(m, link.Counts) and UID in m.versions)
            assert counts.versions[UID].runs < len(requests)
            assert counts.versions[UID].rows == sum(len(inputs["ids"]) for inputs in requests)
            assert not counts.versions[UID].failures

    asyncio.run(story())


def test_lengths_that_disagree_are_the_requests_fault(ports: Ports, tmp_path: Path) -> None:
    """Told before anything runs, and over both protocols alike."""
    path = onnx_models.build_attention(tmp_path / "1" / "model.onnx")

    async def story() -> None:
        async with Process("worker", ports) as worker, Clients(ports) as clients:
            worker.load(UID, path, SETTINGS)
            worker.send(link.Apply(1, {"text": entry("1", UID)}))
            await worker.accepting()
            wrong = {"ids": np.zeros((1, 3), np.int64), "mask": np.ones((1, 2), np.int64)}
            for client, kind in ((clients.http, triton_http), (clients.grpc, triton_grpc)):
                with pytest.raises(InferenceServerException, match="disagree on their length: 'ids' 3, 'mask' 2"):
                    await ask(client, kind, wrong)

    asyncio.run(story())
