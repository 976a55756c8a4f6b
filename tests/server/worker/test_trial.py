"""A real trial process: one version in, a proof or a reason out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import onnx_models
import pytest
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.link.stream import Link
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.states import State
from fairlead_server.worker.process import TRIAL_NICE
from fairlead_server.worker.trial import Trial


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    ports = Ports(tmp_path)
    yield ports
    ports.close()


def test_a_sound_version_is_proven(ports: Ports, tmp_path: Path) -> None:
    """Signature, measured bytes, latency table, the verdict on batching, the smoke prediction."""

    async def story() -> None:
        path = onnx_models.build_linear(tmp_path / "3" / "model.onnx")
        async with Process("trial", ports, name="trial") as trial:
            trial.load("add-3a", path)
            ready = await trial.moved("add-3a", State.READY)
            assert trial.states("add-3a") == [State.LOADING, State.WARMING, State.READY]
            assert [spec.name for spec in ready.signature.outputs] == ["y"]
            assert (ready.profile.batching, ready.profile.smoke.passed) == (True, True)
            assert 64 in ready.profile.latency_us
            trial.link.close()
            assert await asyncio.to_thread(trial.process.wait, 5) == 0

    asyncio.run(story())


def test_a_broken_version_is_refused_with_its_reason(ports: Ports, tmp_path: Path) -> None:
    """The reason is a sentence for its owner, and trying again would not help."""

    async def story() -> None:
        path = onnx_models.build_corrupt(tmp_path / "3" / "model.onnx")
        async with Process("trial", ports, name="trial") as trial:
            trial.load("add-3a", path)
            failed = await trial.moved("add-3a", State.FAILED)
            assert (failed.final, failed.reason != "") == (True, True)

    asyncio.run(story())


def test_a_trial_has_a_low_priority_and_no_doors(ports: Ports, tmp_path: Path) -> None:
    """It takes nothing from the traffic: all of its threads are nice, and it listens on nothing."""

    async def story() -> None:
        async with Process("trial", ports, name="trial") as trial:
            assert await trial.until(lambda message: True) == link.Hello(trial.process.pid)
            stat = await asyncio.to_thread(Path(f"/proc/{trial.process.pid}/stat").read_text)
            assert int(stat.rpartition(")")[2].split()[16]) == TRIAL_NICE

    asyncio.run(story())


def test_a_trial_takes_one_version_after_the_other(ports: Ports, tmp_path: Path) -> None:
    """It closes each before it tells the verdict, so the second is measured as the first was: by what it took."""

    async def story() -> None:
        large = onnx_models.build_large(tmp_path / "3" / "model.onnx", megabytes=48)
        small = onnx_models.build_linear(tmp_path / "4" / "model.onnx")
        async with Process("trial", ports, name="trial") as trial:
            taken = []
            for path in (large, small, large):
                trial.load(f"add-{len(taken)}a", path)
                taken.append((await trial.moved(f"add-{len(taken)}a", State.READY)).profile.bytes)
            assert 40 * 2**20 < taken[0] < 200 * 2**20
            assert taken[1] < 8 * 2**20
            assert 40 * 2**20 < taken[2] < 200 * 2**20

    asyncio.run(story())


def test_a_trial_that_does_not_get_rid_of_memory_ends(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its verdict, by itself: what comes next would be measured too small."""

    async def story() -> None:
        path = onnx_models.build_linear(tmp_path / "3" / "model.onnx")
        ours, theirs = socket.socketpair()
        near, far = await Link.over(ours, link.ToSupervisor), await Link.over(theirs, link.ToWorker)
        trial = asyncio.create_task(Trial(far, 1).run())
        monkeypatch.setattr("fairlead_server.worker.trial.KEPT_BYTES", -(2**40))
        near.send(link.Load("add-3a", "add", "3", str(path.parent), "sha256:0", VersionSettings(warmup_budget_ms=50)))
        states = []
        while (message := await near.receive()) is not None:
            states.append(message.state)
        await asyncio.wait_for(trial, 5)
        assert states == [State.LOADING, State.WARMING, State.READY]
        near.close()

    asyncio.run(story())
