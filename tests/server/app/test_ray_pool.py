"""The engine `ray` on a Ray of its own, in a process of its own (Ray's warnings are not ours)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from onnx_models import build_linear
from server.app.pools import Pool, gone

ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("ray")]


def test_a_pool_on_ray_serves_heals_and_leaves(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """One replica in an actor: it answers on the pool's own port, at the driver's own priority; it comes back on it
    when its actor is killed (none of its workers outlives it), and SIGTERM of the driver drains it and ends the Ray
    that it started."""
    build_linear(tmp_path / "models" / "m" / "1" / "model.onnx")
    with Pool(tmp_path, "--models", str(tmp_path / "models")) as pool:
        record_property("ray_ready_s", round(pool.ready(120), 1))
        assert httpx.post(pool.url("http", "/v2/models/m/infer"), json=ROW, timeout=10).status_code == 200
        before = pool.status()
        workers = [worker["pid"] for worker in before["workers"]]
        assert os.getpriority(os.PRIO_PROCESS, workers[0]) <= os.getpriority(os.PRIO_PROCESS, 0)
        os.kill(pool.parent(workers[0]), signal.SIGKILL)
        start = time.monotonic()
        pool.until("another boot", lambda: pool.status()["boot"] != before["boot"], 90)
        pool.ready(60)
        record_property("ray_back_after_kill_s", round(time.monotonic() - start, 1))
        assert all(gone(pid) for pid in workers)
        after = pool.status()
        assert after["replica"] == before["replica"]
        workers = [worker["pid"] for worker in after["workers"]]
        assert pool.stop() == 0
        assert all(gone(pid) for pid in workers)
