"""A real worker process: real models, unmodified clients, real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx_models
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from worker_clients import Clients, X, answer_of, entry, serving
from worker_process import Ports, Process

from fairlead_server.batching import marks
from fairlead_server.link import messages as link
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.states import State
from fairlead_server.worker.process import RUNNING_NICE


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    ports = Ports(tmp_path)
    yield ports
    ports.close()


def test_a_model_is_served_over_both_protocols(ports: Ports, tmp_path: Path) -> None:
    """From Load and Apply to answers by route, number and alias; the states are told before the doors open."""

    async def story() -> None:
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            assert worker.states("add-3a") == [State.LOADING, State.WARMING, State.READY]
            ready = next(m for m in worker.messages if isinstance(m, link.Moved) and m.state is State.READY)
            assert ready.signature.inputs[0].name == "x"
            assert ready.profile.batching
            for ask in (clients.by_http, clients.by_grpc):
                for version in ("", "3", "champion"):
                    assert await ask(version=version) == ("3", answer_of(3.0))
            assert await clients.http.is_model_ready("add")
            assert await clients.grpc.is_server_ready()
            assert (await clients.http.get_model_metadata("add"))["versions"] == ["3"]
            counts = await worker.until(lambda m: isinstance(m, link.Counts) and m.versions["add-3a"].requests == 6)
            assert (counts.versions["add-3a"].rows, counts.connections > 0, counts.rss_bytes > 2**20) == (
                12,
                True,
                True,
            )

    asyncio.run(story())


def test_hello_comes_before_anything_heavy(
    ports: Ports, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The supervisor hears of the process while it still imports."""

    async def story() -> None:
        async with Process("worker", ports) as worker:
            hello = await worker.until(lambda message: True)
            assert hello == link.Hello(worker.process.pid)
            record_property("hello_s", round(asyncio.get_running_loop().time() - worker.started, 3))
            worker.send(link.Apply(1, {}))
            await worker.accepting()
            record_property("accepting_s", round(asyncio.get_running_loop().time() - worker.started, 3))

    asyncio.run(story())


def test_a_promotion_under_load_loses_nothing(ports: Ports, tmp_path: Path) -> None:
    """Every answer is one of the two versions' own, the new one takes over, the old one closes."""

    async def story() -> None:
        path = onnx_models.build_linear(tmp_path / "4" / "model.onnx", bias=4.0)
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            stop = asyncio.Event()
            answered: list[str] = []

            async def ask_on(ask: Any) -> None:
                while not stop.is_set():
                    version, y = await ask()
                    assert y == answer_of(float(version))
                    answered.append(version)

            load = [asyncio.ensure_future(ask_on(ask)) for ask in (clients.by_http, clients.by_grpc) * 3]
            await asyncio.sleep(0.1)
            worker.load("add-4a", path)
            worker.send(link.Apply(2, {"add": entry("4", "add-4a", champion="4")}))
            worker.send(link.Unload("add-3a"))
            await worker.moved("add-3a", State.CLOSED)
            await asyncio.sleep(0.1)
            stop.set()
            await asyncio.gather(*load)
            assert answered[0] == "3"
            assert answered[-1] == "4"
            last = next(m for m in reversed(worker.messages) if isinstance(m, link.Counts) and "add-3a" in m.versions)
            assert last.versions["add-3a"].requests == answered.count("3")

    asyncio.run(story())


def test_a_version_that_cannot_be_opened_touches_nobody(ports: Ports, tmp_path: Path) -> None:
    """The old version serves on, and the reason is told and given to who asks for the new one."""

    async def story() -> None:
        path = onnx_models.build_corrupt(tmp_path / "4" / "model.onnx")
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            worker.load("add-4a", path)
            worker.send(link.Apply(2, {"add": entry("4", "add-4a")}))
            failed = await worker.moved("add-4a", State.FAILED)
            assert failed.final
            applied = await worker.until(lambda m: isinstance(m, link.Applied) and "failed" in m.pending.get("add", ""))
            assert applied.generation == 2
            assert (await clients.by_http())[0] == "3"
            async with httpx.AsyncClient(base_url=f"http://{ports.http_address}") as client:
                answer = await client.get("/v2/models/add/versions/4")
            assert answer.status_code == 503
            assert failed.reason in answer.json()["error"]

    asyncio.run(story())


def test_the_version_that_runs_is_marked(ports: Ports, tmp_path: Path) -> None:
    """What runs is written where the supervisor can read it after a death, and only while it runs."""

    async def story() -> None:
        path = onnx_models.build_slow(tmp_path / "5" / "model.onnx", layers=400)
        async with serving(ports, tmp_path) as worker, Clients(ports) as clients:
            worker.load("add-5a", path, VersionSettings(max_batch_size=1, warmup=False))
            worker.send(link.Apply(2, {"add": entry("5", "add-5a")}))
            await worker.until(lambda m: isinstance(m, link.Applied) and m.routes.get("add") == {"5": 1.0})
            running = asyncio.ensure_future(clients.by_http(np.zeros((64, 4), np.float32)))
            seen: set[str] = set()
            while not running.done():
                seen.update(marks.read(worker.marks_fd))
                await asyncio.sleep(0.002)
            await running
            assert seen == {"add-5a"}
            assert marks.read(worker.marks_fd) == ()

    asyncio.run(story())


def nice_values(pid: int) -> set[int]:
    """Of all threads."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {int(stat.rpartition(")")[2].split()[16]) for stat in stats}


def test_no_thread_that_serves_has_the_priority_of_a_load(ports: Ports, tmp_path: Path) -> None:
    """Loads run at low priority, and the pools of the sessions that they open do not inherit it: they have that of the
    runs, below the loop's."""

    async def story() -> None:
        async with serving(ports, tmp_path) as worker:
            for threads in (1, 2):
                uid = f"add-{threads}x"
                worker.load(uid, tmp_path / "3" / "model.onnx", VersionSettings(threads=threads))
                await worker.moved(uid, State.READY)
            end = asyncio.get_running_loop().time() + 5
            while not nice_values(worker.process.pid) <= {
                0,
                RUNNING_NICE,
            }:  # the loading thread itself ends a moment later
                assert asyncio.get_running_loop().time() < end
                await asyncio.sleep(0.01)

    asyncio.run(story())


def test_the_end_of_the_link_is_the_end_of_the_worker(ports: Ports, tmp_path: Path) -> None:
    """At any time, in the middle of a load too."""

    async def story() -> None:
        path = onnx_models.build_slow(tmp_path / "5" / "model.onnx", layers=400)
        async with Process("worker", ports) as worker:
            worker.load("add-5a", path, VersionSettings(warmup_budget_ms=10_000))
            await worker.moved("add-5a", State.WARMING)
            worker.link.close()
            assert await asyncio.to_thread(worker.process.wait, 3) == 0

    asyncio.run(story())


def test_labels_and_fixed_shapes_are_served_too(ports: Ports, tmp_path: Path) -> None:
    """A ZipMap is a tensor with its labels in HTTP's metadata; a model without free rows answers as it is."""

    async def story() -> None:
        models = {
            "pets": onnx_models.build_zipmap(tmp_path / "pets" / "model.onnx", labels=("cat", "dog")),
            "fixed": onnx_models.build_fixed(tmp_path / "fixed" / "model.onnx"),
        }
        async with Process("worker", ports) as worker, Clients(ports) as clients:
            for name, path in models.items():
                worker.load(f"{name}-1a", path)
            worker.send(link.Apply(1, {name: entry("1", f"{name}-1a") for name in models}))
            await worker.accepting()
            told = (await clients.http.get_model_metadata("pets"))["outputs"][0]
            assert told["parameters"] == {"labels": ["cat", "dog"]}
            assert (await clients.grpc.get_model_metadata("pets")).outputs[0].shape == [-1, 2]
            tensor = triton_grpc.InferInput("x", [2, 4], "FP32")
            tensor.set_data_from_numpy(X)
            assert (await clients.grpc.infer("fixed", [tensor])).as_numpy("y") == pytest.approx(X)
            tensor = triton_http.InferInput("x", [2, 2], "FP32")
            tensor.set_data_from_numpy(X[:, :2])
            assert (await clients.http.infer("pets", [tensor])).as_numpy("y") == pytest.approx(X[:, :2])

    asyncio.run(story())
