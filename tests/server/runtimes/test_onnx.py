"""ONNX models by the real ONNX Runtime: what opens, what it answers, and what is said of what does not."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_models
import pytest
from onnx import TensorProto

from fairlead_server.errors import Kind
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.runtimes import LoadFailure, RunFailure, Session
from fairlead_server.runtimes.onnx import open_session


def opened(path: Path, **settings: object) -> Session:
    return open_session(path, VersionSettings(**settings), 1)  # type: ignore[arg-type]


def test_signature_and_answer(tmp_path: Path) -> None:
    """A folder with model.onnx opens, tells its names, types and shapes, and answers."""
    onnx_models.build_linear(tmp_path / "model.onnx")
    session = opened(tmp_path)
    assert session.signature == Signature(
        (TensorSpec("x", "FP32", (-1, 4), ("N", "")),), (TensorSpec("y", "FP32", (-1, 3), ("N", "")),)
    )
    x = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    np.testing.assert_allclose(session.run({"x": x}, ("y",))["y"], x @ onnx_models.LINEAR_WEIGHTS, rtol=1e-5)


def test_a_single_file_of_any_name(tmp_path: Path) -> None:
    """A folder with one .onnx file, or that file itself, will do."""
    path = onnx_models.build_linear(tmp_path / "churn.onnx")
    assert opened(tmp_path).signature == opened(path).signature


def test_runs_never_share_memory(tmp_path: Path) -> None:
    """An answer's memory is its own: neither the input's nor that of another answer (rule 4)."""
    onnx_models.build_kind(tmp_path / "model.onnx", TensorProto.FLOAT)
    session = opened(tmp_path)
    x = np.ones((2, 2), np.float32)
    first, second = (session.run({"x": x}, ("y",))["y"] for _ in range(2))
    assert not np.shares_memory(x, first)
    assert not np.shares_memory(first, second)


def test_read_only_views_are_inputs(tmp_path: Path) -> None:
    """A view of a request's bytes goes in as it is."""
    onnx_models.build_kind(tmp_path / "model.onnx", TensorProto.FLOAT)
    x = np.frombuffer(np.arange(4, dtype=np.float32).tobytes(), np.float32).reshape(2, 2)
    assert not x.flags.writeable
    np.testing.assert_array_equal(opened(tmp_path).run({"x": x}, ("y",))["y"], x)


@pytest.mark.parametrize(
    ("kind", "datatype", "values"),
    [
        (TensorProto.INT64, "INT64", [-(2**63), 2**63 - 1]),
        (TensorProto.UINT64, "UINT64", [0, 2**64 - 1]),
        (TensorProto.INT8, "INT8", [-128, 127]),
        (TensorProto.BOOL, "BOOL", [True, False]),
        (TensorProto.FLOAT16, "FP16", [0.1, -65504.0]),
        (TensorProto.DOUBLE, "FP64", [0.1, 1e300]),
    ],
)
def test_datatypes_are_exact(tmp_path: Path, kind: int, datatype: str, values: list[float]) -> None:
    """Every datatype comes back to the bit."""
    onnx_models.build_kind(tmp_path / "model.onnx", kind)
    session = opened(tmp_path)
    assert session.signature.inputs[0].datatype == datatype
    from fairlead_server.tensors.array import NUMPY

    x = np.array([values], NUMPY[datatype])
    y = session.run({"x": x}, ("y",))["y"]
    assert (y.dtype, y.tobytes()) == (x.dtype, x.tobytes())


def test_strings_stay_strings(tmp_path: Path) -> None:
    """Text goes through unharmed: not ASCII, NUL inside, and empty (rule 6)."""
    onnx_models.build_strings(tmp_path / "model.onnx")
    x = np.array([["a\0b", "ü"], ["", "日本"]], object)
    y = opened(tmp_path).run({"x": x}, ("y",))["y"]
    assert y.tolist() == x.tolist()
    assert all(type(item) is str for item in y.flat)


@pytest.mark.parametrize("item", [b"\xff", "\udcff", 7])
def test_what_is_no_text_is_rejected(tmp_path: Path, item: object) -> None:
    """ONNX Runtime would take bytes for their repr; here they are the caller's error."""
    onnx_models.build_strings(tmp_path / "model.onnx")
    with pytest.raises(RunFailure, match="UTF-8") as caught:
        opened(tmp_path).run({"x": np.array([["a", item]], object)}, ("y",))
    assert caught.value.kind is Kind.REJECTED


@pytest.mark.parametrize("labels", [("no", "yes"), (3, -1), ("z", "a", "m")])
def test_a_zipmap_is_a_tensor_with_labels(tmp_path: Path, labels: tuple[str | int, ...]) -> None:
    """[rows, classes] in the order of the labels that the signature tells, for no rows too."""
    onnx_models.build_zipmap(tmp_path / "model.onnx", labels=labels)  # type: ignore[arg-type]
    session = opened(tmp_path)
    told = tuple(map(str, labels))
    assert session.signature.outputs == (TensorSpec("y", "FP32", (-1, len(labels)), labels=told),)
    x = np.arange(2 * len(labels), dtype=np.float32).reshape(2, -1)
    np.testing.assert_array_equal(session.run({"x": x}, ("y",))["y"], x)
    assert session.run({"x": x[:0]}, ("y",))["y"].shape == (0, len(labels))


def test_a_scikit_learn_pipeline(tmp_path: Path) -> None:
    """A converted pipeline gives its own labels and probabilities."""
    _, pipeline = onnx_models.build_pipeline(tmp_path / "model.onnx")
    session = opened(tmp_path)
    assert session.signature.outputs[1].labels == ("0", "1", "2")
    x = np.random.default_rng(3).uniform(0, 7, (20, 4)).astype(np.float32)
    answers = session.run({"X": x}, ("output_label", "output_probability"))
    np.testing.assert_array_equal(answers["output_label"], pipeline.predict(x))
    np.testing.assert_allclose(answers["output_probability"], pipeline.predict_proba(x), atol=1e-5)


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    """Weights in a file of their own are found."""
    onnx_models.build_external(tmp_path / "model.onnx")
    y = opened(tmp_path).run({"x": np.ones((1, 4), np.float32)}, ("y",))["y"]
    np.testing.assert_allclose(y, onnx_models.LINEAR_WEIGHTS.sum(axis=0, keepdims=True), rtol=1e-5)


def cut_external(path: Path) -> None:
    onnx_models.build_external(path)
    os.truncate(path.with_name("weights.bin"), 8)


def lose_external(path: Path) -> None:
    onnx_models.build_external(path)
    path.with_name("weights.bin").unlink()


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (onnx_models.build_corrupt, "damaged or cut short"),
        (lambda path: path.write_bytes(b""), "damaged or cut short"),
        (lambda path: path.write_bytes(b"hello world"), "damaged or cut short"),
        (onnx_models.build_new_opset, "opset 99 .* newer than this runtime's"),
        (onnx_models.build_new_ir, "IR version 99 is newer than this runtime's"),
        (onnx_models.build_custom_operator, "operator Wavelet of 'ours.example'"),
        (onnx_models.build_unknown_operator, "operator Wavelet, which opset 17 does not have"),
        (onnx_models.build_sequence, r"output 'y' is of type seq\(.*only tensors"),
        (onnx_models.build_optional, r"output 'y' is of type optional\(.*only tensors"),
        (lambda path: onnx_models.build_kind(path, TensorProto.BFLOAT16), "input 'x' is of type .*cast it"),
        (cut_external, "external data is cut short"),
        (lose_external, "external data file 'weights.bin' is missing"),
    ],
)
def test_what_cannot_be_served_says_why(tmp_path: Path, build: Callable[[Path], object], reason: str) -> None:
    """One clear sentence, final, and no C++."""
    build(tmp_path / "model.onnx")
    with pytest.raises(LoadFailure, match=reason) as caught:
        opened(tmp_path)
    assert caught.value.final
    assert not any(word in caught.value.reason for word in ("\n", "onnxruntime::", ".cc:", "[ONNXRuntimeError]"))


@pytest.mark.parametrize("providers", [("cuda",), ("cuda", "cpu"), ("cpu", "cuda")])
def test_a_missing_provider_is_told(tmp_path: Path, providers: tuple[str, ...]) -> None:
    """CUDA asked for and not there is a load failure that says what is (rule 10)."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA, and there is no other provider that could be missing")
    onnx_models.build_linear(tmp_path / "model.onnx")
    with pytest.raises(LoadFailure, match=r"'cuda' is not available here \(available: cpu\)") as caught:
        opened(tmp_path, providers=providers)
    assert caught.value.final


@pytest.mark.parametrize("index", [4, -5, 2**62])
def test_an_input_that_the_model_cannot_take_is_rejected(tmp_path: Path, index: int) -> None:
    """The operator's own reason, in one sentence; the session lives on."""
    onnx_models.build_gather(tmp_path / "model.onnx")
    session = opened(tmp_path)
    with pytest.raises(RunFailure, match=r"at Gather: indices element out of data bounds") as caught:
        session.run({"x": np.array([index])}, ("y",))
    assert caught.value.kind is Kind.REJECTED
    assert session.run({"x": np.array([3])}, ("y",))["y"].tolist() == [[6.0, 7.0]]


@pytest.mark.parametrize(
    ("shape", "kind"),
    # The first is beyond the address space: where memory is overcommitted, as on any node of Kubernetes, less is had.
    [([2**30, 2**17], Kind.OVERLOADED), ([2**40, 2**40], Kind.REJECTED), ([-4, 1], Kind.REJECTED)],
)
def test_memory_that_is_not_there(tmp_path: Path, shape: list[int], kind: Kind) -> None:
    """An allocation that fails may succeed another time; a size that no machine has is the input's fault."""
    onnx_models.build_allocating(tmp_path / "model.onnx")
    with pytest.raises(RunFailure) as caught:
        opened(tmp_path).run({"x": np.array(shape)}, ("y",))
    assert caught.value.kind is kind
    assert not any(word in caught.value.message for word in ("\n", "onnxruntime::", ".cc:", ".h:", "void "))


@pytest.mark.parametrize(
    "inputs", [{}, {"x": np.zeros((1, 4))}, {"x": np.zeros(4, np.float32)}, {"z": np.zeros((1, 4), np.float32)}]
)
def test_inputs_that_do_not_fit_are_rejected(tmp_path: Path, inputs: dict[str, np.ndarray]) -> None:
    """What slips past the signature's check is still the caller's error and no crash."""
    onnx_models.build_linear(tmp_path / "model.onnx")
    with pytest.raises(RunFailure) as caught:
        opened(tmp_path).run(inputs, ("y",))
    assert caught.value.kind is Kind.REJECTED


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
def test_optimisation_levels_give_the_same_answers(tmp_path: Path, level: str) -> None:
    """The setting changes speed, not results."""
    onnx_models.build_linear(tmp_path / "model.onnx")
    y = opened(tmp_path, graph_optimization=level).run({"x": np.ones((1, 4), np.float32)}, ("y",))["y"]
    np.testing.assert_allclose(y[0], onnx_models.LINEAR_WEIGHTS.sum(axis=0), rtol=1e-5)


def test_idle_threads_do_not_spin(tmp_path: Path) -> None:
    """Between two runs a session with several threads uses hardly any processor: it stops looking for work at once."""
    import time

    onnx_models.build_slow(tmp_path / "model.onnx", layers=4)
    session = open_session(tmp_path, VersionSettings(threads=4), 1)
    x = np.ones((8, 4), np.float32)
    session.run({"x": x}, ("y",))

    def used(pause_s: float) -> float:
        before = time.process_time()
        for _ in range(20):
            session.run({"x": x}, ("y",))
            time.sleep(pause_s)
        return time.process_time() - before

    # Processor time, less that of the runs themselves: a slow machine is no spinning thread.
    assert used(0.02) - used(0.0) < 0.15  # spinning takes 0.36 s


def test_closing_gives_the_weights_back(tmp_path: Path) -> None:
    """Resident memory grows by the weights, and falls again."""
    from fairlead_server.runtimes.warm import resident_bytes

    onnx_models.build_large(tmp_path / "model.onnx", megabytes=64)
    opened(onnx_models.build_linear(tmp_path / "warm" / "model.onnx")).close()
    before = resident_bytes()
    session = opened(tmp_path)
    loaded = resident_bytes()
    session.close()
    assert loaded - before > 50 * 2**20
    assert resident_bytes() - before < 20 * 2**20


def mlflow_folder(path: Path, flavors: str, **files: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    example = "saved_input_example_info: {artifact_path: input_example.json}\n" if "example" in files else ""
    signature = "".join(f"  {side}: '{json.dumps(files[side])}'\n" for side in ("inputs", "outputs") if side in files)
    path.joinpath("MLmodel").write_text(
        f"flavors: {flavors}\n{example}" + (f"signature:\n{signature}" * bool(signature))
    )
    if "example" in files:
        path.joinpath("input_example.json").write_text(json.dumps(files["example"]))
    return path


@pytest.mark.parametrize("data", ["model.onnx", "model/model.onnx"])
def test_an_mlflow_folder_with_its_example(tmp_path: Path, data: str) -> None:
    """The flavor says where the file lies, MLmodel narrows what is free, and the example becomes inputs."""
    spec = {"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float32", "shape": [-1, 7]}}
    folder = mlflow_folder(
        tmp_path,
        f"{{onnx: {{data: {Path(data).parts[0]}}}, python_function: {{}}}}",
        inputs=[spec],
        example=[[1.5] * 7],
    )
    onnx_models.build_sequence_length(folder / data)
    session = opened(folder)
    assert session.signature.inputs == (TensorSpec("x", "FP32", (-1, 7), ("N", "T")),)
    assert session.signature.outputs == (TensorSpec("y", "FP32", (-1, -1), ("N", "T")),)
    assert session.example is not None
    np.testing.assert_array_equal(session.example["x"], np.full((1, 7), 1.5, np.float32))


@pytest.mark.parametrize(
    ("flavors", "words"),
    [
        (
            "{sklearn: {}, python_function: {}}",
            ["found: sklearn", "mlflow.onnx.log_model(skl2onnx.to_onnx(model, X[:1])"],
        ),
        ("{pytorch: {}}", ["found: pytorch", "torch.onnx.export("]),
        ("{xgboost: {}}", ["found: xgboost", "convert_xgboost("]),
        ("{lightgbm: {}}", ["found: lightgbm", "convert_lightgbm("]),
        ("{tensorflow: {}}", ["found: tensorflow", 'format="onnx"']),
        ("{python_function: {}}", ["found: python_function", "mlflow.onnx.log_model("]),
    ],
)
def test_another_flavor_is_refused_with_the_line_to_use(tmp_path: Path, flavors: str, words: list[str]) -> None:
    """The reason names what was found and how to log it as ONNX."""
    with pytest.raises(LoadFailure) as caught:
        opened(mlflow_folder(tmp_path, flavors))
    assert caught.value.final
    assert all(word in caught.value.reason for word in words)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda folder: None, "neither MLmodel nor an ONNX file"),
        (lambda folder: folder.joinpath("MLmodel").write_text("flavors: ["), "MLmodel cannot be read"),
        (lambda folder: folder.joinpath("MLmodel").write_text("[]"), "MLmodel cannot be read"),
        (
            lambda folder: mlflow_folder(folder, "{onnx: {data: model.onnx}}"),
            "'model.onnx' that MLmodel names is missing",
        ),
        (lambda folder: mlflow_folder(folder, "{onnx: {data: ../../x.onnx}}"), "outside its folder"),
        (lambda folder: [folder.joinpath(f"{n}.onnx").touch() for n in "ab"], r"several ONNX files \(a.onnx, b.onnx\)"),
    ],
)
def test_folders_without_a_model(tmp_path: Path, prepare: Callable[[Path], object], reason: str) -> None:
    """Each way in which a folder can lack its model has its own sentence."""
    prepare(tmp_path)
    with pytest.raises(LoadFailure, match=reason) as caught:
        opened(tmp_path)
    assert caught.value.final
