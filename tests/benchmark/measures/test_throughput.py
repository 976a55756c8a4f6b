"""A subject is checked before it is loaded, and its failure is its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from loopback import serve

from benchmark.measure import Bench
from benchmark.measures.throughput import ROWS, measured
from benchmark.subject import Endpoint, Model, Role, Wire

TINY = Model("tiny", Path(), {"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)})


class Wrong:
    """A peer that answers ones where ONNX Runtime answers zeros."""

    name = "wrong"
    role: Role = "peer"
    settings = ""
    protocols: frozenset[Wire] = frozenset({"json"})

    def __init__(self) -> None:
        self.asked = 0

    def missing(self) -> str:
        return ""

    def prepare(self) -> None:
        pass

    @contextlib.contextmanager
    def serve(self, models: Sequence[Model], threads: int) -> Iterator[Endpoint]:
        def handle(*_: object) -> tuple[int, bytes]:
            self.asked += 1
            output = {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1]}
            return 200, json.dumps({"outputs": [output]}).encode()

        with serve(handle) as url:
            yield Endpoint(url.removeprefix("http://"), "", ())


def test_a_wrong_answer_stops_the_subject_before_any_load(tmp_path: Path) -> None:
    subject, said, failures = Wrong(), list[str](), list[str]()
    bench = Bench({"wrong": subject}, {"tiny": TINY}, tmp_path, 1, 1.0, True, said.append, failures.append)
    assert list(measured(bench, subject, ROWS[:1])) == []
    assert subject.asked == 1
    assert failures == ["wrong: tiny over json: y is [1.0, 1.0, 1.0]..., not [0.0, 0.0, 0.0]..."]
