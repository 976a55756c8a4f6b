"""The limits that are servers: constant answers, as long as the model's own would be."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.processes import ports, running
from benchmark.subject import Endpoint, Model, Role, Wire

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


class Constant:
    """`module` is run with `kind`; it answers on one wire, or on both kinds of HTTP bodies."""

    role: Role = "limit"

    def __init__(self, scratch: Path, name: str, settings: str, module: str, kind: str) -> None:
        self.name = name
        self.settings = settings
        self._grpc = module == "grpc_constant"
        self.protocols: frozenset[Wire] = frozenset({"grpc"} if self._grpc else {"json", "binary"})
        self._module = module
        self._kind = kind
        self._scratch = scratch

    def missing(self) -> str:
        return ""

    def prepare(self) -> None:
        """It runs in this environment."""

    @contextlib.contextmanager
    def serve(self, models: Sequence[Model], threads: int) -> Iterator[Endpoint]:
        log = self._scratch / f"{self._module}-{self._kind}-{next(_numbers)}.log"
        with ports(1) as (port,):
            address = f"127.0.0.1:{port}"
            command = self.command(port, answer_bytes(models[0], in_json=not self._grpc))
            with running(self.name, command, log, environment={"PYTHONPATH": str(ROOT)}) as process:
                process.wait(lambda: _listens(port))
                yield Endpoint("" if self._grpc else address, address if self._grpc else "", process.pids())

    def command(self, port: int, size: int) -> list[str]:
        flags = ["--kind", self._kind, "--port", str(port), "--answer-bytes", str(size)]
        return [sys.executable, "-m", f"benchmark.subjects.{self._module}", *flags]


def limits(scratch: Path) -> dict[str, Constant]:
    """By the name that is typed."""
    uvicorn = "raw ASGI, uvloop, httptools, access log off"
    return {
        "uvicorn-constant": Constant(scratch, "uvicorn constant", uvicorn, "http_constant", "uvicorn"),
        "httptools-constant": Constant(
            scratch, "httptools constant", "uvloop and httptools, nothing around them", "http_constant", "httptools"
        ),
        "grpc-constant": Constant(scratch, "gRPC constant", "grpc.aio on uvloop, raw bytes", "grpc_constant", "aio"),
        "grpc-constant-threads": Constant(
            scratch, "gRPC constant, threads", "grpc.server with 2 threads, raw bytes", "grpc_constant", "sync"
        ),
    }


def answer_bytes(model: Model, *, in_json: bool) -> int:
    """How long the answer to the model's request is, in bytes, or the tensors alone of it."""
    if not in_json:
        return sum(value.nbytes for value in model.outputs.values())
    outputs = [
        {"name": name, "datatype": "FP32", "shape": list(value.shape), "data": value.ravel().tolist()}
        for name, value in model.outputs.items()
    ]
    document = {"model_name": model.name, "model_version": "1", "outputs": outputs}
    return len(json.dumps(document, separators=(",", ":")))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
