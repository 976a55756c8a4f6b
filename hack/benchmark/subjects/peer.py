"""What all peers share: an environment of their own, a server written for them, and how it is started and waited for.

Each gives only its command; nothing here knows one of them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.environments import Environment
from benchmark.processes import START_S, answers, ports, running
from benchmark.subject import Endpoint, Model, Role, Wire

SERVERS = Path(__file__).resolve().parent / "servers"
PORTS = 4  # HTTP, gRPC, metrics, and one to spare
_numbers = itertools.count(1)


class Peer(ABC):
    """A server that a user would pick instead. Its class says what was set, and after which document."""

    name: str
    settings: str
    protocols: frozenset[Wire]
    role: Role = "peer"
    start_s = START_S

    def __init__(self, scratch: Path, environment: Environment) -> None:
        self._scratch = scratch
        self.environment = environment

    @abstractmethod
    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        """What starts it on the ports from `base`: HTTP, gRPC, and its own. `folder` is its scratch."""

    def variables(self, base: int, folder: Path) -> Mapping[str, str]:
        """What its environment holds beyond this process's."""
        return {}

    def ready_path(self, model: Model) -> str:
        return f"/v2/models/{model.name}/ready"

    def missing(self) -> str:
        if self.environment.ready():
            return ""
        return f"its environment ({self.environment.folder.name}) is not installed"

    def prepare(self) -> None:
        self.environment.make()

    @contextlib.contextmanager
    def serve(self, models: Sequence[Model], threads: int) -> Iterator[Endpoint]:
        folder = self._scratch / f"{self.environment.name}-{next(_numbers)}"
        folder.mkdir(parents=True)
        with ports(PORTS) as block:
            base = block.start
            http, grpc = (f"127.0.0.1:{base + number}" for number in (0, 1))
            command = self.command(base, models, threads, folder)
            with running(self.name, command, folder / "log", environment=self.variables(base, folder)) as process:
                for model in models:
                    url = f"http://{http}{self.ready_path(model)}"
                    process.wait(functools.partial(answers, url), self.start_s)
                yield Endpoint(http, grpc if "grpc" in self.protocols else "", process.pids())


def server_flags(base: int, models: Sequence[Model], threads: int) -> list[str]:
    """What servers/session.py reads."""
    ports = ["--http_port", str(base), "--grpc_port", str(base + 1), "--threads", str(threads)]
    return ports + [word for model in models for word in ("--serve", f"{model.name}={onnx_file(model)}")]


def onnx_file(model: Model) -> Path:
    return (model.folder / "model.onnx").resolve()
