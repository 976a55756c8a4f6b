"""A real MLflow server on SQLite for the tests: one process of its own session, ended by the pid that was started.

server = start_mlflow(folder)      ready when this returns
server.uri, server.artifacts       where it is, and where it keeps what it hands out
server.kill(); server.restart()    the same port, the same data
server.stop()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from harness.parts import free_block

HOST = "127.0.0.1"
READY_S = 90.0  # two busy cores: the first start also makes the database


class MlflowServer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.artifacts = folder / "artifacts"
        self.log = folder / "mlflow.log"
        self._database = folder / "mlflow.db"
        self._port = free_block(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "MLflow was not started"
        return self._process.pid

    def start(self, ready_s: float = READY_S) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self._port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self._database}"),
            *("--serve-artifacts", "--artifacts-destination", str(self.artifacts)),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            )
        self._wait_until_ready(time.monotonic() + ready_s)

    def kill(self) -> None:
        """SIGKILL to the whole session: nothing of it answers any more."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def restart(self, ready_s: float = READY_S) -> None:
        self.kill()
        self.start(ready_s)

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for attempt in (number, signal.SIGKILL):
            try:
                os.killpg(process.pid, attempt)  # it leads its own session: the group is its pid
            except ProcessLookupError:
                break
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
        process.wait(10)

    def _wait_until_ready(self, until: float) -> None:
        while True:
            assert self._process is not None
            try:
                if httpx.get(f"{self.uri}/health", timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            tail = self.log.read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"MLflow ended by itself:\n{tail}"
            if time.monotonic() > until:
                self.kill()
                raise AssertionError(f"MLflow was not ready in time:\n{tail}")
            time.sleep(0.05)


def start_mlflow(folder: Path) -> MlflowServer:
    server = MlflowServer(folder)
    server.start()
    return server
