"""A real trial process: one version in, a proof or a reason out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import onnx_models
import pytest
from worker_process import Ports, Process

from fairlead_server.link import messages as link
from fairlead_server.models.states import State


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
            assert int(stat.rpartition(")")[2].split()[16]) == 10

    asyncio.run(story())
