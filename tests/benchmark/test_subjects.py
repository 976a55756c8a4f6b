"""The subjects of the benchmark that need nothing installed: how they are started, and that they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from benchmark import models
from benchmark.subject import Model
from benchmark.subjects.constants import answer_bytes, limits
from benchmark.subjects.every import every
from benchmark.subjects.fairlead import Fairlead, catalog
from benchmark.subjects.peer import Peer

TINY = Model("tiny", Path("/models/tiny"), {}, {})


def ask(address: str, model: Model) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": list(value.shape), "datatype": "FP32", "data": value.ravel().tolist()}
        for name, value in model.inputs.items()
    ]
    url = f"http://{address}/v2/models/{model.name}/infer"
    return httpx.post(url, json={"inputs": inputs}, timeout=10).raise_for_status().json()


def test_fairlead_answers_as_onnx_runtime_does(tmp_path: Path) -> None:
    """The shipped command serves the benchmark's model, and nothing is left of it."""
    tiny = models.build(["tiny"], tmp_path)["tiny"]
    with Fairlead(tmp_path / "scratch").serve([tiny], threads=1) as endpoint:
        (output,) = ask(endpoint.http, tiny)["outputs"]
        np.testing.assert_allclose(output["data"], tiny.outputs["y"].ravel(), rtol=1e-5)
        (pid,) = endpoint.pids
        assert "fairlead" in Path(f"/proc/{pid}/cmdline").read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{endpoint.http}/v2/health/live", timeout=2)
    assert not Path(f"/proc/{pid}").exists()


def test_the_catalog_gives_each_model_its_settings() -> None:
    """Threads are told to all; what a subject is made with is told to the model it names."""
    other = TINY._replace(name="other")
    found = catalog([TINY, other], 2, {"other": {"max_batch_size": 8}})["models"]
    assert found["tiny"]["versions"]["1"] == {"source": "file:///models/tiny", "settings": {"threads": 2}}
    assert found["other"]["versions"]["1"]["settings"] == {"threads": 2, "max_batch_size": 8}


def test_settings_are_told_in_a_line(tmp_path: Path) -> None:
    told = Fairlead(tmp_path, "fairlead 2 workers", workers=2, settings={"bert": {"slo_ms": 50}}).settings
    assert told == 'engine process, 2 worker(s), shipped defaults; bert: {"slo_ms": 50}'


def test_ray_has_one_replica_to_a_machine(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one replica to a Ray node"):
        Fairlead(tmp_path, engine="ray", replicas=2)


def test_constants_answer_as_many_bytes_as_the_model(tmp_path: Path) -> None:
    """uvicorn and bare httptools answer with a body as long as tiny's, gRPC with its tensors."""
    tiny = models.build(["tiny"], tmp_path)["tiny"]
    for name in ("uvicorn-constant", "httptools-constant"):
        with limits(tmp_path)[name].serve([tiny], threads=1) as endpoint:
            for _ in range(2):
                body = httpx.post(f"http://{endpoint.http}/v2/models/tiny/infer", content=b"x" * 99).content
                assert len(body) == answer_bytes(tiny, in_json=True)
    with (
        limits(tmp_path)["grpc-constant"].serve([tiny], threads=1) as endpoint,
        grpc.insecure_channel(endpoint.grpc) as channel,
    ):
        found = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"", timeout=10)
        assert found == bytes([0x32, 12]) + bytes(12)
        assert endpoint.http == ""


def test_every_subject_has_a_name_a_role_and_settings(tmp_path: Path) -> None:
    """What is typed is unique, what is reported is, too, and each says what was set."""
    found = every(tmp_path)
    assert len({subject.name for subject in found.values()}) == len(found)
    assert {subject.role for subject in found.values()} == {"fairlead", "peer", "limit"}
    assert all(subject.settings and subject.protocols for subject in found.values())


def test_peers_are_started_with_the_same_threads(tmp_path: Path) -> None:
    """The threads of ONNX Runtime and the model's file reach every peer's server, through its arguments or files."""
    for peer in every(tmp_path).values():
        if isinstance(peer, Peer):
            folder = tmp_path / peer.environment.name
            folder.mkdir(exist_ok=True)
            command = peer.command(21000, [TINY], 3, folder)
            told = " ".join([*command, *(file.read_text() for file in folder.rglob("*.json"))])
            assert "--threads 3" in told or '"threads": 3' in told
            assert "/models/tiny/model.onnx" in told
            assert "21000" in told
