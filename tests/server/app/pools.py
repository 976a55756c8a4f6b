"""A pool on Ray as a process, on free ports."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

DOORS = ("http", "grpc", "metrics", "control")


class Pool:
    def __init__(self, folder: Path, *arguments: str) -> None:
        self.base = free_block(len(DOORS))
        ports = [word for i, door in enumerate(DOORS) for word in (f"--{door}-port", str(self.base + i))]
        command = [sys.executable, "-m", "fairlead_server", "serve", "--engine", "ray"]
        self.log = folder / "log"
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state-dir", str(folder / "state"), *ports, *arguments], stdout=log, stderr=log
            )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        self.process.kill()
        self.process.wait(10)

    def url(self, door: str, path: str) -> str:
        return f"http://127.0.0.1:{self.base + DOORS.index(door)}{path}"

    def until(self, what: str, look: Callable[[], Any], limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                found = look()
                if found:
                    return found
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.1)
        raise AssertionError(f"still waiting for {what}: {self.log.read_text()[-3000:]}")

    def ready(self, limit_s: float) -> float:
        url = self.url("metrics", "/readyz")
        self.until("readiness", lambda: httpx.get(url, timeout=5).status_code == 200, limit_s)
        return time.monotonic() - self.started

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self.url("control", "/control/status"), timeout=5).json()
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @staticmethod
    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def free_block(size: int) -> int:
    for base in range(31_000, 39_000, 8):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(base, base + size):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise AssertionError("no free block of ports")
