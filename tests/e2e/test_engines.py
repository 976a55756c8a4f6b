"""The same catalog in both engines gives the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from harness import register
from harness.parts import Replica, edge, ray_pool, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("ray pool")]


def write_catalog(folder: Path) -> Path:
    models = {}
    for name, seed in (("alpha", 1), ("beta", 2)):
        source = folder / name
        source.mkdir()
        onnx.save(register.linear(seed), source / "model.onnx")
        models[name] = {"versions": {"1": {"source": str(source)}}, "route": {"weights": {"1": 1}}}
    catalog = folder / "catalog.json"
    document = {"apiVersion": "fairlead.dev/catalog/v1", "generation": 7, "models": models}
    catalog.write_text(json.dumps(document))
    return catalog


def answers(replica: Replica) -> list[Any]:
    """What the replica answers, bytes for bytes, to good and bad requests."""
    rows = register.rows(4).tolist()
    found: list[Any] = []
    for model in ("alpha", "beta", "gamma"):
        for data, shape in ((rows[:1], [1, 4]), (rows, [len(rows), 4]), (rows[:1], [1, 5])):
            body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": shape, "data": data}]}
            answer = httpx.post(f"http://{replica.http}/v2/models/{model}/infer", json=body, timeout=10)
            found.append((answer.status_code, answer.json()))
        found.append(httpx.get(f"http://{replica.http}/v2/models/{model}", timeout=10).json())
    return found


def test_both_engines_answer_the_same(tmp_path: Path) -> None:
    """Ready, right, and equal to the last bit, in the edge process and in Ray."""
    catalog = write_catalog(tmp_path)
    (tmp_path / "edge").mkdir()
    with edge(tmp_path / "edge", catalog) as (_, replica):
        until("the edge to be ready", replica.ready, 30)
        first = answers(replica)
    with ray_pool(tmp_path, catalog, nodes=1, workers=1) as (_, replicas):
        until("the pool to be ready", replicas[0].ready, 120)
        second = answers(replicas[0])
    assert first == second
    expected = register.answers(register.linear(1), "input", register.rows(4))
    status, body = first[1]
    assert status == 200
    assert np.allclose(np.reshape(body["outputs"][0]["data"], (-1, 3)), expected, rtol=1e-5, atol=1e-5)
    assert first[2][0] == 400
    assert first[8][0] == 404
