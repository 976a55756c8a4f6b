"""The engine `process` as a real process with real workers and a real model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from onnx_models import build_linear

START_S = 3.0
GRACE_S = 20.0
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}


class Serve:
    host = "127.0.0.1"

    def __init__(self, folder: Path, *arguments: str) -> None:
        ports = [word for door in ("http", "grpc", "metrics", "control") for word in (f"--{door}-port", "0")]
        command = [sys.executable, "-m", "fairlead_server", "serve", "--engine", "process"]
        self.log = folder / "log"
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state-dir", str(folder / "state"), *ports, *arguments], stdout=log, stderr=log
            )
        self.client = httpx.Client(timeout=10)

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def url(self, door: str, path: str) -> str:
        def port() -> int | None:
            started = [event for event in self.events() if event["event"] == "replica_started"]
            return started[-1][f"{door}_port"] if started else None

        return f"http://{self.host}:{self.until('its ports', port)}{path}"

    def until(self, what: str, look: Any, limit_s: float = 20.0) -> Any:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                found = look()
                if found:
                    return found
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.02)
        raise AssertionError(f"still waiting for {what}: {self.log.read_text()[-3000:]}")

    def ready(self) -> float:
        """Seconds from the process's start."""
        self.until("readiness", lambda: self.client.get(self.url("metrics", "/readyz")).status_code == 200)
        return time.monotonic() - self.started

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(self.url("control", "/control/status")).json()
        return found

    def children(self) -> list[int]:
        return [event["pid"] for event in self.events() if event["event"] == "worker_started"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(GRACE_S)
        self.client.close()
        return status


@contextlib.contextmanager
def serve(folder: Path, *arguments: str) -> Iterator[Serve]:
    served = Serve(folder, *arguments)
    try:
        yield served
    finally:
        served.stop(signal.SIGKILL)


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_one_file_is_ready_within_three_seconds(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """`serve model.onnx` from an empty state directory: fetched, tried, loaded, answering; SIGTERM ends it with 0."""
    model = build_linear(tmp_path / "tiny.onnx")
    with serve(tmp_path, str(model)) as served:
        record_property("edge_ready_s_cold", round(served.ready(), 2))
        answer = served.client.post(served.url("http", "/v2/models/tiny/infer"), json=ROW).json()
        assert (answer["model_name"], answer["model_version"]) == ("tiny", "1")
        served.until("the greeting", lambda: "ready: http://127.0.0.1:" in served.log.read_text())
        children = served.children()
        assert served.stop() == 0
        assert all(gone(pid) for pid in children)
    with serve(tmp_path, str(model)) as served:
        record_property("edge_ready_s_warm", round(served.ready(), 2))


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_an_ipv6_address_serves_both_protocols(tmp_path: Path) -> None:
    """A worker binds its gRPC port there too, or it would never accept."""
    with serve(tmp_path, "--host", "::1", str(build_linear(tmp_path / "tiny.onnx"))) as served:
        served.host = "[::1]"
        served.ready()
        assert served.client.get(served.url("http", "/v2/health/ready")).status_code == 200
        with grpc.insecure_channel(served.url("grpc", "").removeprefix("http://")) as channel:
            channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"", timeout=5)
        served.until("the greeting", lambda: "ready: http://[::1]:" in served.log.read_text())
        assert served.stop() == 0


def test_no_child_outlives_its_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor takes worker and fetcher with it, and its ports and state can be taken over at once."""
    model = build_linear(tmp_path / "tiny.onnx")
    with serve(tmp_path, "--workers", "2", str(model)) as served:
        served.ready()
        mine = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and parent(entry) == served.process.pid
        ]
        assert len(mine) >= 3
        served.stop(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while not all(gone(pid) for pid in mine) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert all(gone(pid) for pid in mine)
    with serve(tmp_path, str(model)) as served:
        served.ready()


def parent(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def test_the_file_that_the_kubelet_swaps(tmp_path: Path) -> None:
    """A catalog behind the symlinks of a ConfigMap's mount is taken when `..data` is swapped."""
    for number in ("1", "2"):
        build_linear(tmp_path / "m" / number / "model.onnx", bias=float(number))
    mount = tmp_path / "mount"

    def put(generation: int, version: str) -> None:
        target = mount / f"..{generation}"
        target.mkdir(parents=True)
        entry = {"versions": {version: {"source": str(tmp_path / "m" / version)}}, "route": {"weights": {version: 1}}}
        head = {"apiVersion": "fairlead.dev/catalog/v1", "generation": generation}
        (target / "catalog.json").write_text(json.dumps({**head, "models": {"m": entry}}))
        (mount / "..new").symlink_to(target.name)
        os.replace(mount / "..new", mount / "..data")

    put(1, "1")
    (mount / "catalog.json").symlink_to("..data/catalog.json")
    with serve(tmp_path, "--catalog", str(mount / "catalog.json")) as served:
        served.ready()
        put(2, "2")
        served.until("version 2", lambda: served.status()["models"]["m"]["route"] == {"2": 1.0})
        assert served.status()["generation"] == 2
        older = json.dumps({"apiVersion": "fairlead.dev/catalog/v1", "generation": 1, "models": {}})
        (mount / "..data" / "catalog.json").write_text(older)
        served.until("the refusal", lambda: "older" in served.status().get("conditions", {}).get("CatalogFile", ""))


def test_a_folder_of_models_is_served_as_it_changes(tmp_path: Path) -> None:
    """What appears gets its URL by itself, a new version takes the route, and what is removed goes."""
    models = tmp_path / "models"
    build_linear(models / "a" / "1" / "model.onnx")
    with serve(tmp_path, "--models", str(models)) as served:
        served.ready()
        build_linear(models / "a" / "2" / "model.onnx", bias=1.0)
        build_linear(models / "b" / "model.onnx")
        served.until("a 2 and b", lambda: [
            served.status()["models"].get(name, {}).get("route") for name in "ab"
        ] == [{"2": 1.0}, {"1": 1.0}])  # fmt: skip
        assert served.client.post(served.url("http", "/v2/models/b/infer"), json=ROW).status_code == 200
        (models / "b" / "model.onnx").unlink()
        (models / "b").rmdir()
        served.until("b gone", lambda: "b" not in served.status()["models"])


def test_nothing_is_lost_while_workers_are_replaced(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """New connections and kept ones, with steady load, while the only worker is replaced three times."""
    model = build_linear(tmp_path / "tiny.onnx")
    lost: list[str] = []
    answered = [0]
    stop = threading.Event()

    def load(kept: bool) -> None:
        url = served.url("http", "/v2/models/tiny/infer")
        client = httpx.Client(timeout=10)
        while not stop.is_set():
            try:
                answer = client.post(url, json=ROW) if kept else httpx.post(url, json=ROW, timeout=10)
                answered[0] += 1
                if answer.status_code != 200:
                    lost.append(answer.text)
            except httpx.HTTPError as fault:
                lost.append(repr(fault))
        client.close()

    with serve(tmp_path, str(model)) as served:
        served.ready()
        threads = [threading.Thread(target=load, args=(kept,)) for kept in (True, False, True)]
        for thread in threads:
            thread.start()
        for name in ("w1", "w2", "w3"):
            url = served.url("control", f"/control/workers/{name}/replace")
            assert served.client.post(url, timeout=30).status_code == 200
        stop.set()
        for thread in threads:
            thread.join(20)
    record_property("answered_during_three_replacements", answered[0])
    assert lost == []
    assert answered[0] > 50


def test_a_killed_worker_loses_only_what_it_held(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """Connections that were not accepted yet wait for the successor."""
    model = build_linear(tmp_path / "tiny.onnx")
    with serve(tmp_path, str(model)) as served:
        served.ready()
        url = served.url("http", "/v2/models/tiny/infer")
        os.kill(served.children()[-1], signal.SIGKILL)
        time.sleep(0.05)
        start = time.monotonic()
        assert httpx.post(url, json=ROW, timeout=10).status_code == 200
        record_property("waited_for_successor_s", round(time.monotonic() - start, 2))
        assert len(served.children()) == 2
