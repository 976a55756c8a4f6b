"""A pool on Ray that chooses its own size, under real load: up while it is busy, down without losing a request."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest
from e2e.test_engines import write_catalog
from harness.parts import Replica, serve_app, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500), pytest.mark.xdist_group("ray pool")]

BODY = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}


class Callers:
    """Closed loops that take a replica from those which are ready, as a Service would, and count what was lost."""

    def __init__(self, replicas: list[Replica], number: int, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._replicas = replicas
        self._stop = threading.Event()
        self.lost: list[str] = []
        self.answered: dict[str, int] = {}
        self.ready = [replica for replica in replicas if replica.ready()]
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(number)]
        self._threads.append(threading.Thread(target=self._watch))

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.ready = [replica for replica in self._replicas if replica.ready()]

    def _call(self, start: int) -> None:
        with httpx.Client(timeout=10) as client:
            turn = start
            while not self._stop.wait(self._pause_s):
                ready, turn = self.ready, turn + 1
                if not ready:
                    time.sleep(0.01)
                    continue
                replica = ready[turn % len(ready)]
                try:
                    answer = client.post(f"http://{replica.http}/v2/models/alpha/infer", json=BODY)
                    if answer.status_code != 200:
                        self.lost.append(f"{answer.status_code} {answer.text[:200]}")
                    self.answered[replica.http] = self.answered.get(replica.http, 0) + 1
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))


def ready(replicas: list[Replica]) -> int:
    return sum(replica.ready() for replica in replicas)


def test_up_while_it_is_busy_and_down_without_a_loss(tmp_path: Path) -> None:
    """One replica that is busy becomes two, both answer, and the second leaves again when the load has gone, while a
    quiet client goes on asking: nothing is lost."""
    autoscaling = {
        "least": 1, "most": 2, "look_s": 0.5,
        "targets": {"busy": 0.05, "queue": 1e9, "refused": 1.0, "ahead_s": 0, "trend_s": 0, "down_s": 8},
    }  # fmt: skip
    # As long as a Service, here the watch, may take to see that a replica is not ready any more.
    settings = {"catalog_file": str(write_catalog(tmp_path)), "drain": {"balancer_s": 2.0}, "autoscaling": autoscaling}
    with serve_app(tmp_path, nodes=2, **settings) as replicas:
        until("one replica", lambda: ready(replicas) >= 1, 120)
        with Callers(replicas, 4) as callers:
            until("the second replica", lambda: ready(replicas) == 2, 90)
            until("answers of both", lambda: len(callers.answered) == 2, 20)
        assert callers.lost == []
        with Callers(replicas, 1, pause_s=0.1) as quiet:
            until("one replica again", lambda: ready(replicas) == 1, 90)
        assert quiet.lost == []
