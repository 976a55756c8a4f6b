"""A worker that serves one model, and unmodified clients of it on kept connections."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.models.catalog import Route
from fairlead_server.models.entry import WorkerEntry

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def entry(version: str, *uids: str, **aliases: str) -> WorkerEntry:
    return WorkerEntry({uid.split("-")[1][:-1]: uid for uid in uids}, aliases, Route({version: 1.0}))


def answer_of(bias: float) -> Any:
    return pytest.approx(X @ onnx_models.LINEAR_WEIGHTS + bias)


@contextlib.asynccontextmanager
async def serving(ports: Ports, folder: Path, name: str = "w1") -> AsyncIterator[Process]:
    """A worker that serves version 3 (bias 3) of the model add."""
    path = onnx_models.build_linear(folder / "3" / "model.onnx", bias=3.0)
    async with Process("worker", ports, name=name) as worker:
        worker.load("add-3a", path)
        worker.send(link.Apply(1, {"add": entry("3", "add-3a", champion="3")}))
        await worker.accepting()
        yield worker


class Clients:
    """One kept HTTP client and one kept gRPC channel."""

    def __init__(self, ports: Ports) -> None:
        self.http = triton_http.InferenceServerClient(ports.http_address)
        self.grpc = triton_grpc.InferenceServerClient(ports.grpc_address)

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.grpc.close()

    async def by_http(self, x: Any = X, version: str = "") -> tuple[str, Any]:
        tensor = triton_http.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        result = await self.http.infer("add", [tensor], model_version=version)
        return result.get_response()["model_version"], result.as_numpy("y")

    async def by_grpc(self, x: Any = X, version: str = "") -> tuple[str, Any]:
        tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        result = await self.grpc.infer("add", [tensor], model_version=version)
        return result.get_response().model_version, result.as_numpy("y")
