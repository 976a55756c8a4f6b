"""Opening a version on its own thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx_models
import pytest

from fairlead_server.link.messages import Load
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import LoadFailure
from fairlead_server.worker.loader import open_version

SETTINGS = VersionSettings(warmup_budget_ms=100)
KNOWN = Profile(bytes=1, latency_us={1: 2.0}, batching=True)


def load(path: Path, profile: Profile | None = None) -> Load:
    return Load("u", "add", "3", str(path), "sha256:0", SETTINGS, profile)


def test_what_was_measured_before_is_trusted(tmp_path: Path) -> None:
    """With a profile nothing is measured again; without one it is."""

    async def story() -> None:
        path = onnx_models.build_linear(tmp_path / "model.onnx")
        warming: list[threading.Thread] = []
        opened = await open_version(load(path, KNOWN), 1, lambda: warming.append(threading.current_thread()))
        assert (opened.profile, warming) == (KNOWN, [threading.main_thread()])
        opened = await open_version(load(path), 1, lambda: None)
        assert (opened.profile.batching, opened.profile.smoke.source) == (True, "made-up")

    asyncio.run(story())


def test_a_model_whose_runs_are_short_has_no_pool_of_threads(tmp_path: Path) -> None:
    """By what was measured; a setting counts whatever the runs are."""

    async def story() -> None:
        path = onnx_models.build_linear(tmp_path / "model.onnx")
        long = Profile(latency_us={1: 2.0, 64: 500.0}, batching=True)

        async def threads(profile: Profile, settings: VersionSettings = SETTINGS) -> int:
            before = len(os.listdir("/proc/self/task"))
            order = msgspec.structs.replace(load(path, profile), settings=settings)
            opened = await open_version(order, 4, lambda: None)
            await asyncio.sleep(0.05)  # for the thread that opened it to end
            found = len(os.listdir("/proc/self/task")) - before
            opened.session.close()
            return found

        await threads(KNOWN)  # the runtime's own
        assert await threads(KNOWN) == 0
        assert await threads(long) == 3
        assert await threads(KNOWN, VersionSettings(threads=3)) == 2

    asyncio.run(story())


def test_any_fault_is_a_load_failure(tmp_path: Path) -> None:
    """The runtime's own are final where they say so; what nobody foresaw may pass."""

    async def story() -> None:
        with pytest.raises(LoadFailure) as caught:
            await open_version(load(onnx_models.build_corrupt(tmp_path / "model.onnx")), 1, lambda: None)
        assert caught.value.final

        def broken() -> None:
            raise AssertionError

        with pytest.raises(LoadFailure, match="no attribute") as caught:
            await open_version(Load("u", "add", "3", str(tmp_path), "sha256:0", None), 1, broken)  # type: ignore[arg-type]
        assert not caught.value.final

    asyncio.run(story())


def test_the_loop_runs_on_beside_a_load(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """A load stalls nobody: the worst delay of the loop beside one is told."""

    async def story() -> None:
        path = onnx_models.build_large(tmp_path / "model.onnx", megabytes=128)
        opening = asyncio.ensure_future(open_version(load(path), 2, lambda: None))
        loop, worst = asyncio.get_running_loop(), 0.0
        while not opening.done():
            before = loop.time()
            await asyncio.sleep(0.001)
            worst = max(worst, loop.time() - before - 0.001)
        await opening
        record_property("loop_delay_beside_a_load_ms", round(worst * 1e3, 1))

    asyncio.run(story())


def test_a_small_model_is_not_charged_for_the_first_session(tmp_path: Path) -> None:
    """What a primed trial measures of a tiny model is its own, far below what a first session takes."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from fairlead_server.models.settings import VersionSettings
        from fairlead_server.runtimes import onnx, warm
        from fairlead_server.worker.loader import prime
        prime(1)
        before = warm.resident_bytes()
        session = onnx.open_session(Path(sys.argv[1]), VersionSettings(), 1)
        print(warm.measure(session, VersionSettings(), before).bytes)
        """
    )
    onnx_models.build_linear(tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 4 * 2**20
