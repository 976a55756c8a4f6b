"""The real parts of an end-to-end test, each a process of its own, ended by the pid that was started."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

HERE = Path(__file__).parent
T = TypeVar("T")


class NotYet(Exception):
    """What a look at something saw instead of what is waited for."""


def until(what: str, look: Callable[[], T | None], limit_s: float = 30.0, every_s: float = 0.05) -> T:
    """The first truthy answer of `look`, or a failure that says what was waited for and last seen.

    `look` may raise NotYet to say what it saw.
    """
    deadline = time.monotonic() + limit_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = look()
            if last:
                return last
        except (httpx.HTTPError, NotYet) as error:
            last = repr(error)
        time.sleep(every_s)
    raise AssertionError(f"after {limit_s} s still waiting for {what}; last seen: {str(last)[:2000]}")


def free_block(size: int) -> int:
    """The first of `size` consecutive free ports on the loopback address.

    Below the ports that the kernel gives to clients; test processes side by side begin far from each other.
    """
    for step in range(190):
        base = 20_000 + (os.getpid() * 640 + step * 64) % 12_160
        with contextlib.ExitStack() as held:
            try:
                for port in range(base, base + size):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free block of ports")


class Part:
    """One process with its log. `with` ends it: SIGTERM, a bounded wait, SIGKILL."""

    def __init__(
        self, name: str, command: list[str], log: Path, *, stdin: bool = False, env: dict[str, str] | None = None
    ):
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait(10)

    def stop(self, limit_s: float = 40.0) -> int:
        """Its exit status. Ends its standard input where it has one, else sends SIGTERM."""
        if self.alive():
            if self.process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self.process.stdin.close()
            else:
                self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {limit_s} s:\n{self.text()[-2000:]}") from None


@dataclasses.dataclass
class Replica:
    """The addresses of one replica: four consecutive ports."""

    base: int

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.base}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.base + 1}"

    @property
    def metrics(self) -> str:
        return f"127.0.0.1:{self.base + 2}"

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.base + 3}"

    def addresses(self) -> dict[str, str]:
        return {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}

    def status(self) -> dict[str, Any]:
        return httpx.get(f"{self.control}/control/status", timeout=5).raise_for_status().json()

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://{self.metrics}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def version(self, model: str, version: str) -> dict[str, Any]:
        """What the status says of one version; {} where it does not know it."""
        return self.status()["models"].get(model, {}).get("versions", {}).get(version, {})

    def workers(self) -> list[dict[str, Any]]:
        return self.status()["workers"]


def port_flags(base: int) -> list[str]:
    names = ("http", "grpc", "metrics", "control")
    return [word for i, name in enumerate(names) for word in (f"--{name}-port", str(base + i))]


def fairlead(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fairlead_cli", *arguments]


@contextlib.contextmanager
def edge(
    folder: Path, catalog: Path, *, workers: int = 1, extra: tuple[str, ...] = ()
) -> Iterator[tuple[Part, Replica]]:
    """A replica without Ray."""
    replica = Replica(free_block(4))
    command = fairlead(
        "serve", "--engine", "process", "--catalog", str(catalog), "--workers", str(workers),
        "--state-dir", str(folder / "state"), *port_flags(replica.base), *extra,
    )  # fmt: skip
    with Part("serve", command, folder / "serve.log") as part:
        yield part, replica


@contextlib.contextmanager
def ray_nodes(folder: Path, nodes: int) -> Iterator[str]:
    """A real Ray of `nodes` nodes on this machine; its address."""
    with Part("ray", [sys.executable, str(HERE / "ray_nodes.py"), str(nodes)], folder / "ray.log", stdin=True) as ray:

        def address() -> str | None:
            assert ray.alive(), ray.text()[-2000:]
            lines = [line for line in ray.text().splitlines() if line.startswith('{"address"')]
            return json.loads(lines[0])["address"] if lines else None

        yield until("Ray's nodes", address, 90)


@contextlib.contextmanager
def ray_pool(folder: Path, catalog: Path, *, nodes: int = 2, workers: int = 2) -> Iterator[tuple[Part, list[Replica]]]:
    """A pool on a Ray of `nodes` nodes on this machine, one replica on each."""
    base = free_block(10 * nodes)
    replicas = [Replica(base + 10 * i) for i in range(nodes)]
    with ray_nodes(folder, nodes) as address:
        command = fairlead(
            "serve", "--engine", "ray", "--ray-address", address,
            "--replicas", str(nodes), "--workers", str(workers), "--catalog", str(catalog),
            "--port-step", "10", "--state-dir", str(folder / "state"), *port_flags(base),
        )  # fmt: skip
        with Part("serve", command, folder / "serve.log") as part:
            yield part, replicas


@contextlib.contextmanager
def serve_app(folder: Path, *, nodes: int, **args: Any) -> Iterator[list[Replica]]:
    """A pool as a Serve config file has it: `args` are the builder's. The replicas that there may be."""
    base = free_block(10 * nodes)
    ports = {f"{name}_port": base + i for i, name in enumerate(("http", "grpc", "metrics", "control"))}
    wanted = json.dumps({"state_dir": str(folder / "state"), "port_step": 10, **ports, **args})
    with ray_nodes(folder, nodes) as address:
        command = [sys.executable, str(HERE / "serve_app.py"), address, wanted]
        with Part("serve", command, folder / "serve.log", stdin=True):
            yield [Replica(base + 10 * i) for i in range(nodes)]


@contextlib.contextmanager
def operator(folder: Path, registry: str, catalog: Path, replicas: list[Replica], *extra: str) -> Iterator[Part]:
    with start_operator(folder, registry, catalog, replicas, *extra) as part:
        yield part


def start_operator(folder: Path, registry: str, catalog: Path, replicas: list[Replica], *extra: str) -> Part:
    pool = [word for replica in replicas for word in ("--pool", replica.control)]
    command = fairlead(
        "operate", "--standalone", "--registry", registry, "--catalog", str(catalog),
        "--state-dir", str(folder / "operator"), "--interval", "0.5", *pool, *extra,
    )  # fmt: skip
    return Part("operator", command, folder / "operator.log")
