"""I/O binding, with the CPU in the device's place: the same calls in the same order, and the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx import TensorProto

from fairlead_server.errors import Kind
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import RunFailure, Session
from fairlead_server.runtimes.bound import BoundRuns
from fairlead_server.runtimes.onnx import open_session


def opened(path: Path, device: str = "cpu", **settings: Any) -> Session:
    return open_session(path, VersionSettings(**settings), 1, device)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (onnx_models.build_linear, {"x": np.random.default_rng(0).random((7, 4), dtype=np.float32)}),
        (onnx_models.build_linear, {"x": np.zeros((0, 4), np.float32)}),
        (onnx_models.build_linear, {"x": np.arange(64, dtype=np.float32).reshape(16, 4)[::3]}),
        (lambda path: onnx_models.build_kind(path, TensorProto.FLOAT16), {"x": np.array([[0.1, -65504]], np.float16)}),
        (lambda path: onnx_models.build_kind(path, TensorProto.UINT64), {"x": np.array([[0, 2**64 - 1]], np.uint64)}),
        (lambda path: onnx_models.build_kind(path, TensorProto.BOOL), {"x": np.array([[True, False]])}),
        (onnx_models.build_total, {"x": np.ones((3, 4), np.float32)}),
        (onnx_models.build_strings, {"x": np.array([["a\0b", "ü"]], object)}),
        (onnx_models.build_zipmap, {"x": np.eye(2, dtype=np.float32)}),
    ],
)
def test_answers_are_those_of_a_plain_run(
    tmp_path: Path, build: Callable[[Path], object], inputs: dict[str, np.ndarray]
) -> None:
    """To the bit; text and ZipMaps, which cannot be bound, run as they always do."""
    build(tmp_path / "model.onnx")
    names = tuple(spec.name for spec in opened(tmp_path).signature.outputs)
    bound, plain = (opened(tmp_path, device).run(inputs, names) for device in ("cpu", ""))
    for name in names:
        assert (bound[name].dtype, bound[name].shape) == (plain[name].dtype, plain[name].shape)
        assert bound[name].tolist() == plain[name].tolist()


def test_answers_are_memory_of_their_own(tmp_path: Path) -> None:
    """Neither the input's, nor the binding's, nor that of another answer (rule 4)."""
    onnx_models.build_kind(tmp_path / "model.onnx", TensorProto.FLOAT)
    session = opened(tmp_path)
    x = np.ones((2, 2), np.float32)
    answers = [session.run({"x": x * at}, ("y",))["y"] for at in range(20)]
    assert all(answer.flags.owndata for answer in answers)
    assert [answer[0, 0] for answer in answers] == list(range(20))


def test_runs_on_several_threads_do_not_mix(tmp_path: Path) -> None:
    """Every run has a binding of its own."""
    onnx_models.build_slow(tmp_path / "model.onnx", layers=3, width=64)
    session = opened(tmp_path)
    rows = [np.full((1 + at % 5, 4), at / 50, np.float32) for at in range(50)]
    alone = [session.run({"x": x}, ("y",))["y"] for x in rows]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = list(pool.map(lambda x: session.run({"x": x}, ("y",))["y"], rows))
            assert all(map(np.array_equal, together, alone))


def test_the_outputs_that_are_asked_for(tmp_path: Path) -> None:
    """Only they, in the order asked."""
    onnx_models.build_columns(tmp_path / "columns.onnx")
    onnx_models.build_two_inputs(tmp_path / "two" / "model.onnx")
    a = np.ones((2, 3), np.float32)
    assert opened(tmp_path / "two").run({"a": a, "b": a}, ("total",))["total"].tolist() == [[2.0] * 3] * 2
    inputs = {"age": np.ones((1, 1), np.float32), "name": np.array([["x"]], object)}
    assert list(opened(tmp_path / "columns.onnx").run(inputs, ("name_out",))) == ["name_out"]


@pytest.mark.parametrize(
    "x", [np.zeros((1, 4)), np.zeros(4, np.float32), np.zeros((1, 5), np.float32)], ids=["type", "rank", "size"]
)
def test_faults_are_told_as_by_a_plain_run(tmp_path: Path, x: np.ndarray) -> None:
    """The same kind and the same sentence."""
    onnx_models.build_linear(tmp_path / "model.onnx")
    told = []
    for device in ("cpu", ""):
        with pytest.raises(RunFailure) as caught:
            opened(tmp_path, device).run({"x": x}, ("y",))
        told.append((caught.value.kind, caught.value.message))
    assert told[0] == told[1]


class Binding:
    """Notes the order of the calls; fails where it is told to."""

    def __init__(self, calls: list[str], faults: dict[str, str]) -> None:
        self._calls, self._faults = calls, faults

    def _call(self, name: str) -> None:
        self._calls.append(name)
        if name in self._faults:
            raise RuntimeError(self._faults[name])

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self._call(f"in {name}")

    def bind_output(self, name: str, device: str, number: int) -> None:
        self._call(f"out {name} {device}:{number}")

    def synchronize_inputs(self) -> None:
        self._call("sync in")

    def synchronize_outputs(self) -> None:
        self._call("sync out")

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        self._call("copy")
        return []


class Bindings:
    """The part of an InferenceSession that makes and runs bindings."""

    def __init__(self, **faults: str) -> None:
        self.calls: list[str] = []
        self._faults = {name.replace("_", " "): text for name, text in faults.items()}

    def io_binding(self) -> Binding:
        return Binding(self.calls, self._faults)

    def run_with_iobinding(self, binding: Binding) -> None:
        binding._call("run")


def test_nothing_is_read_before_the_device_is_done() -> None:
    """Inputs are there before the run, and the run is over before the copy."""
    session = Bindings()
    BoundRuns(session, "cuda").run(["y"], {"x": np.zeros(1)})
    assert session.calls == ["in x", "out y cuda:0", "sync in", "run", "sync out", "copy"]


def test_a_failed_run_is_waited_for() -> None:
    """Its memory goes back only when the device is done; the failure stays what it was."""
    session = Bindings(run="no memory")
    with pytest.raises(RuntimeError, match=r"^no memory$"):
        BoundRuns(session, "cuda").run(["y"], {"x": np.zeros(1)})
    assert session.calls[-3:] == ["run", "sync in", "sync out"]


def test_a_lost_device_says_so_itself() -> None:
    """Whatever library noticed first: the next synchronisation tells, and both are told."""
    session = Bindings(run="CUBLAS failure 13", sync_out="CUDA failure 700")
    with pytest.raises(RuntimeError, match="CUBLAS failure 13; then CUDA failure 700"):
        BoundRuns(session, "cuda").run(["y"], {"x": np.zeros(1)})


LIMITED = """
import json, pathlib, sys
import numpy, onnxruntime

register = onnxruntime.create_and_register_allocator
arena = onnxruntime.OrtArenaCfg(32 * 2**20, 1, -1, -1)
onnxruntime.create_and_register_allocator = lambda where, _: register(where, arena)

from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import RunFailure
from fairlead_server.runtimes.onnx import open_session

session = open_session(pathlib.Path(sys.argv[1]), VersionSettings(), 1, "cpu")
told = []
for rows in (2**10, 2**24, 2**10):
    try:
        told.append(session.run({"x": numpy.array([rows, 4])}, ("y",))["y"].shape[0])
    except RunFailure as fault:
        told.append([fault.kind.value, fault.retry_after])
print(json.dumps(told))
"""


def test_a_run_beyond_the_arenas_limit_fails_alone(tmp_path: Path) -> None:
    """With ONNX Runtime's own arena at a limit, as a GPU's is: overloaded, and the next run has its memory."""
    path = onnx_models.build_allocating(tmp_path / "model.onnx")
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, check=True, timeout=50)
    assert json.loads(done.stdout) == [2**10, [Kind.OVERLOADED.value, 1.0], 2**10]
