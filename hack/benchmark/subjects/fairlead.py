"""Fairlead itself, as it is shipped: `fairlead serve` from this checkout, with a catalog of the benchmark's models."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmark.processes import Process, SubjectFailed, answers, ports, running
from benchmark.subject import Endpoint, Model, Role, Wire

Engine = Literal["process", "ray"]
Settings = Mapping[str, Mapping[str, Any]]
DOORS = ("http", "grpc", "metrics", "control")
STEP = 10  # ports from one replica to the next
_numbers = itertools.count(1)


class Replica(NamedTuple):
    """The addresses of one replica, HOST:PORT each."""

    http: str
    grpc: str
    metrics: str
    control: str

    def ready(self) -> bool:
        """The replica's own word for it. Raises httpx.HTTPError while nothing listens."""
        return answers(f"http://{self.metrics}/readyz")

    def status(self) -> Any:
        """The status document, as plain values. By the standard library: to make httpx's client takes 25 ms of the
        processor that is being measured."""
        with contextlib.closing(http.client.HTTPConnection(self.control, timeout=10)) as connection:
            connection.request("GET", "/control/status")
            response = connection.getresponse()
            said = response.read()
        if response.status != 200:
            raise SubjectFailed(f"status {response.status} for the status: {said[:500]!r}")
        return json.loads(said)


class Pool(NamedTuple):
    """Running replicas, and the catalog file that they started from."""

    replicas: tuple[Replica, ...]
    processes: tuple[Process, ...]
    catalog: Path

    def endpoint(self) -> Endpoint:
        """The first replica's addresses, everybody's processes."""
        first = self.replicas[0]
        return Endpoint(first.http, first.grpc, tuple(pid for process in self.processes for pid in process.pids()))


class Fairlead:
    """The shipped defaults; `settings` go into the catalog for the models that they name. Several replicas are a
    process each, of the engine `process`."""

    role: Role = "fairlead"
    protocols: frozenset[Wire] = frozenset({"json", "binary", "grpc"})

    def __init__(
        self,
        scratch: Path,
        name: str = "fairlead",
        *,
        engine: Engine = "process",
        workers: int = 1,
        replicas: int = 1,
        settings: Settings | None = None,
    ) -> None:
        if engine == "ray" and replicas != 1:
            raise ValueError("one replica to a Ray node, and this machine is one")
        self.name = name
        self.settings = f"engine {engine}, {workers} worker(s), shipped defaults{_told(settings or {})}"
        self._scratch = scratch
        self._engine = engine
        self._workers = workers
        self._replicas = replicas
        self._settings = settings or {}

    def missing(self) -> str:
        return ""

    def prepare(self) -> None:
        """It is this checkout."""

    @contextlib.contextmanager
    def serve(self, models: Sequence[Model], threads: int) -> Iterator[Endpoint]:
        with self.pool(models, threads) as pool:
            yield pool.endpoint()

    @contextlib.contextmanager
    def pool(self, models: Sequence[Model], threads: int) -> Iterator[Pool]:
        """As `serve`, and all its addresses. Starts from an empty state folder: every version is proven anew."""
        folder = self._scratch / f"{self.name}-{next(_numbers)}".replace(" ", "-")
        folder.mkdir(parents=True)
        file = folder / "catalog.json"
        file.write_text(json.dumps(catalog(models, threads, self._settings)))
        with contextlib.ExitStack() as stack:
            base = stack.enter_context(ports(STEP * self._replicas)).start
            replicas = tuple(_replica(base + STEP * number) for number in range(self._replicas))
            processes = tuple(
                stack.enter_context(running(self.name, self.command(replica, file, state), state.with_suffix(".log")))
                for number, replica in enumerate(replicas)
                for state in [folder / f"replica{number}"]
            )
            for replica, process in zip(replicas, processes, strict=True):
                process.wait(replica.ready)
                _check(replica, models, process)
            yield Pool(replicas, processes, file)

    def command(self, replica: Replica, file: Path, state: Path) -> list[str]:
        """What is typed to start one replica."""
        flags = [
            word
            for door, address in zip(DOORS, replica, strict=True)
            for word in (f"--{door}-port", address.rpartition(":")[2])
        ]
        what = ["--catalog", str(file), "--state-dir", str(state)]
        how = ["--engine", self._engine, "--workers", str(self._workers)]
        return [str(Path(sys.executable).with_name("fairlead")), "serve", *how, *what, *flags]


def catalog(models: Sequence[Model], threads: int, settings: Settings, generation: int = 1) -> dict[str, Any]:
    """The document that serves all of them as version 1."""
    return {
        "apiVersion": "fairlead.dev/catalog/v1",
        "generation": generation,
        "models": {model.name: _entry(model, {"threads": threads, **settings.get(model.name, {})}) for model in models},
    }


def _entry(model: Model, settings: Mapping[str, Any]) -> dict[str, Any]:
    version = {"source": model.folder.resolve().as_uri(), "settings": dict(settings)}
    return {"versions": {"1": version}, "route": {"weights": {"1": 1.0}}}


def _replica(base: int) -> Replica:
    return Replica(*(f"127.0.0.1:{base + number}" for number in range(len(DOORS))))


def _check(replica: Replica, models: Sequence[Model], process: Process) -> None:
    """A replica is ready, too, when a version has failed for good: here that is a failure."""
    states = replica.status()["models"]
    for model in models:
        found = states.get(model.name, {}).get("versions", {}).get("1", {})
        if not answers(f"http://{replica.http}/v2/models/{model.name}/ready"):
            raise SubjectFailed(f"{process.name}: {model.name} is not ready: {json.dumps(found)[:2000]}")


def _told(settings: Settings) -> str:
    return "".join(f"; {model}: {json.dumps(dict(given))}" for model, given in settings.items())
