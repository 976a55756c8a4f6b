"""Ray Serve behind its HAProxy, in its mode for throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.environments import Environment
from benchmark.subject import Model, Wire
from benchmark.subjects.peer import SERVERS, Peer, server_flags


class RayServe(Peer):
    name = "Ray Serve behind HAProxy"
    settings = (
        "ray 2.60.0, RAY_SERVE_ENABLE_HA_PROXY=1 and RAY_SERVE_THROUGHPUT_OPTIMIZED=1 after its guide to high "
        "throughput; one replica, @serve.batch of 64 without delay, max_ongoing_requests 1000, access log off, orjson"
    )
    protocols: frozenset[Wire] = frozenset({"json", "binary"})
    start_s = 300.0

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch, Environment("ray-serve"))

    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        server = [str(self.environment.python), str(SERVERS / "ray_serve.py"), "--logs", str(folder / "ray")]
        return server + server_flags(base, models, threads)

    def variables(self, base: int, folder: Path) -> Mapping[str, str]:
        return {
            "PYTHONPATH": str(SERVERS),  # its workers import the session, too
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(base + 2),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(base + 3),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "100",  # 30 by default: not enough on a machine that is busy
        }
