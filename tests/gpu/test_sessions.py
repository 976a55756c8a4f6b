"""Sessions on a real GPU: the CPU's answers, a limit that holds, and failures that stay where they happen."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx_models
import pytest
from gpu.conftest import Open
from onnx import helper

from benchmark import models
from fairlead_server.errors import Kind
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import RunFailure, warm

MIB = 2**20


def random_rows(rows: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(rows).random((rows, width), dtype=np.float32)


@pytest.mark.parametrize("name", ["mlp", "resnet18", "bert"])
def test_answers_are_the_cpus(tmp_path: Path, on_gpu: Open, on_cpu: Open, name: str) -> None:
    """Within the tolerance of float32; convolutions, attention, integers in."""
    model = models.build([name], tmp_path)[name]
    names = tuple(model.outputs)
    inputs = {key: np.concatenate([value] * 5) for key, value in model.inputs.items()}
    there, here = (opened(model.folder).run(inputs, names) for opened in (on_gpu, on_cpu))
    for output in names:
        assert there[output].dtype == here[output].dtype
        np.testing.assert_allclose(there[output], here[output], rtol=1e-3, atol=1e-4)


def test_float32_is_float32(tmp_path: Path, on_gpu: Open) -> None:
    """No TF32, whose products have ten bits: a long sum of products is as exact as the CPU's."""
    path = onnx_models.save(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [onnx_models.tensor("x", shape=("N", 1024))],
        [onnx_models.tensor("y", shape=("N", 64))],
        {"w": np.random.default_rng(1).standard_normal((1024, 64)).astype(np.float32)},
    )
    x = np.random.default_rng(2).standard_normal((64, 1024)).astype(np.float32)
    y = on_gpu(path).run({"x": x}, ("y",))["y"]
    exact = x.astype(np.float64) @ np.random.default_rng(1).standard_normal((1024, 64)).astype(np.float32)
    assert np.abs(y - exact).max() / np.abs(exact).max() < 1e-5


def test_warm_up_profiles_a_session(tmp_path: Path, on_gpu: Open) -> None:
    """Rows alone equal rows together on the device, and the table is filled."""
    model = models.build(["mlp"], tmp_path)["mlp"]
    profile = warm.measure(on_gpu(model.folder), VersionSettings(max_batch_size=8, providers=("cuda",)))
    assert (profile.batching, profile.batching_reason) == (True, "")
    assert set(profile.latency_us) >= {1, 2, 4, 8}


def test_the_limit_of_a_session_holds(tmp_path: Path, on_gpu: Open, gpu_bytes: Callable[[], int]) -> None:
    """A run beyond it is refused as overload, takes no memory from others, and the next run is answered."""
    path = onnx_models.build_allocating(tmp_path / "model.onnx")
    on_gpu(onnx_models.build_linear(tmp_path / "warm.onnx")).run({"x": random_rows(1)}, ("y",))
    session = on_gpu(path, gpu_mem_limit_bytes=256 * MIB)
    before = gpu_bytes()
    with pytest.raises(RunFailure) as caught:
        session.run({"x": np.array([2**28, 4])}, ("y",))
    assert caught.value.kind is Kind.OVERLOADED
    assert session.run({"x": np.array([2**20, 4])}, ("y",))["y"].shape == (2**20, 4)
    assert gpu_bytes() - before < 300 * MIB


def test_weights_count_against_the_limit(tmp_path: Path, on_gpu: Open) -> None:
    """A session whose weights fill its limit has no room left: the limit is not lost by going beyond it."""
    path = onnx_models.build_large(tmp_path / "model.onnx", megabytes=200)
    session = on_gpu(path, gpu_mem_limit_bytes=256 * MIB)
    assert session.run({"x": random_rows(8)}, ("y",))["y"].shape == (8, 4)
    with pytest.raises(RunFailure) as caught:
        session.run({"x": random_rows(2**23)}, ("y",))
    assert caught.value.kind is Kind.OVERLOADED


def test_more_than_the_gpu_has(tmp_path: Path, on_gpu: Open) -> None:
    """Without a limit of its own the device says no: that run alone fails, and other sessions go on."""
    greedy = on_gpu(onnx_models.build_allocating(tmp_path / "greedy.onnx"))
    other = on_gpu(onnx_models.build_linear(tmp_path / "other.onnx"))
    for _ in range(3):
        with pytest.raises(RunFailure) as caught:
            greedy.run({"x": np.array([2**38, 4])}, ("y",))
        assert caught.value.kind is Kind.OVERLOADED
        assert other.run({"x": random_rows(3)}, ("y",))["y"].shape == (3, 3)
    assert greedy.run({"x": np.array([16, 4])}, ("y",))["y"].shape == (16, 4)


def test_closing_gives_the_memory_back(tmp_path: Path, on_gpu: Open, gpu_bytes: Callable[[], int]) -> None:
    """Weights and arena are the session's own, and end with it."""
    on_gpu(onnx_models.build_linear(tmp_path / "warm.onnx")).run({"x": random_rows(1)}, ("y",))
    before = gpu_bytes()
    session = on_gpu(onnx_models.build_large(tmp_path / "model.onnx", megabytes=200))
    session.run({"x": random_rows(8)}, ("y",))
    assert gpu_bytes() - before > 190 * MIB
    session.close()
    gc.collect()
    assert gpu_bytes() - before < 40 * MIB


def test_operators_without_a_kernel_are_noted(tmp_path: Path, on_gpu: Open) -> None:
    """What CUDA does not have runs on the CPU, and the version's notes name it (rule 10)."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Scaler", ["h"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0]),
    ]
    path = onnx_models.save(
        tmp_path / "model.onnx", nodes, [onnx_models.tensor("x")], [onnx_models.tensor("y")], domains=["ai.onnx.ml"]
    )
    session = on_gpu(path)
    assert len(session.notes) == 1
    assert "run on the CPU inside a session for CUDAExecutionProvider" in session.notes[0]
    assert "Scaler" in session.notes[0]
    x = random_rows(3)
    np.testing.assert_allclose(session.run({"x": x}, ("y",))["y"], 2 * x)


def test_runs_on_several_threads_do_not_mix(tmp_path: Path, on_gpu: Open) -> None:
    """Each answer is its own request's, over bindings and streams, and stays what it was."""
    session = on_gpu(onnx_models.build_slow(tmp_path / "model.onnx", layers=8))
    rows = [random_rows(1 + at % 7) * at for at in range(64)]
    alone = [session.run({"x": x}, ("y",))["y"] for x in rows]
    kept = [answer.copy() for answer in alone]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            together = list(pool.map(lambda x: session.run({"x": x}, ("y",))["y"], rows))
            for got, wanted in zip(together, alone, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert all(map(np.array_equal, alone, kept))


def test_text_runs_beside_the_device(tmp_path: Path, on_gpu: Open) -> None:
    """What cannot be bound runs as a plain run."""
    session = on_gpu(onnx_models.build_columns(tmp_path / "model.onnx"))
    inputs = {"age": np.ones((2, 1), np.float32), "name": np.array([["a"], ["ü"]], object)}
    answers = session.run(inputs, ("age_out", "name_out"))
    assert answers["name_out"].tolist() == [["a"], ["ü"]]
    assert answers["age_out"].tolist() == [[1.0], [1.0]]
