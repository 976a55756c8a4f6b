"""The scan of an ONNX file for its ZipMaps, and the file without them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_models
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import onnx_file
from fairlead_server.runtimes.onnx import open_session
from fairlead_server.runtimes.onnx_file import without_zipmaps, zipmap_labels


@pytest.mark.parametrize("labels", [("no", "yes", "ä"), (-1, 0, 2**40)])
def test_labels_in_column_order(tmp_path: Path, labels: tuple[str | int, ...]) -> None:
    """As the file has them, integers as text."""
    path = onnx_models.build_zipmap(tmp_path / "model.onnx", labels=labels)  # type: ignore[arg-type]
    assert zipmap_labels(path) == {"y": tuple(map(str, labels))}


def test_other_models_have_none(tmp_path: Path) -> None:
    """Weights are passed over, whatever they hold."""
    assert zipmap_labels(onnx_models.build_linear(tmp_path / "model.onnx")) == {}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 200), noise=st.binary(max_size=20))
def test_damaged_files_give_nothing_and_harm_nothing(tmp_path: Path, cut: int, noise: bytes) -> None:
    """It never raises and never hangs; ONNX Runtime then says what is wrong."""
    path = onnx_models.build_zipmap(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:cut] + noise)
    assert isinstance(zipmap_labels(path), dict)
    assert isinstance(without_zipmaps(path), bytes | None)


def classifiers() -> list[Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    return [make_pipeline(StandardScaler(), LogisticRegression()), forest, GaussianNB()]


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "ä"), (0, 1), (7, -2, 5)])
@pytest.mark.parametrize("which", range(3))
def test_scikit_learn_models_answer_the_same_bits(tmp_path: Path, labels: Any, which: int) -> None:
    """As the dicts of the file as it is, of two classes and more, in the labels' order; and it is a valid model."""
    path = onnx_models.build_classifier(tmp_path / "model.onnx", classifiers()[which], labels)
    model = without_zipmaps(path)
    assert model is not None
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    before = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    session = open_session(tmp_path, VersionSettings(), 1)
    names = [output.name for output in before.get_outputs()]
    classes = session.signature.outputs[1].labels
    assert classes == tuple(map(str, sorted(labels)))
    for rows in (1, 33):
        x = {"X": np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)}
        label, dicts = before.run(names, x)
        answers = session.run(x, names)
        expected = np.array([[row[key] for key in sorted(labels)] for row in dicts], np.float32)
        assert answers[names[1]].tobytes() == expected.tobytes()
        assert answers[names[1]].shape == (rows, len(labels))
        np.testing.assert_array_equal(answers[names[0]], label)


def test_weights_beside_the_file_are_found(tmp_path: Path) -> None:
    """External data lies where the file lies, though the model no longer comes from there."""
    from sklearn.linear_model import LogisticRegression

    path = onnx_models.build_classifier(tmp_path / "a" / "model.onnx", LogisticRegression(), ("no", "yes"))
    model = onnx.load(str(path))
    weights = onnx.numpy_helper.from_array(np.full((1, 4), 2.0, np.float32), "twice")
    model.graph.initializer.append(weights)
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["X", "twice"], ["X2"]))
    model.graph.node[1].input[0] = "X2"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (path.parent / "weights.bin").stat().st_size
    x = {"X": np.ones((3, 4), np.float32)}
    session = open_session(path.parent, VersionSettings(), 1)
    assert without_zipmaps(path) is not None
    plain = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in plain.get_outputs()]
    expected = [[row["no"], row["yes"]] for row in plain.run(names, x)[1]]
    np.testing.assert_array_equal(session.run(x, names)[names[1]], np.array(expected, np.float32))


@pytest.mark.parametrize("labels", [("a", "a"), (1, 2, 1)])
def test_labels_that_are_equal_leave_the_file_as_it_is(tmp_path: Path, labels: Any) -> None:
    """A dict holds one of them; a tensor would hold both."""
    assert without_zipmaps(onnx_models.build_zipmap(tmp_path / "model.onnx", labels=labels)) is None


def test_what_is_unusual_leaves_the_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ZipMap whose maps are used further, or of another domain; a graph in two parts; no ZipMap; a large file."""
    assert without_zipmaps(onnx_models.build_linear(tmp_path / "linear.onnx")) is None
    assert without_zipmaps(tmp_path / "missing.onnx") is None
    path = onnx_models.build_zipmap(tmp_path / "model.onnx")
    usual = path.read_bytes()
    assert without_zipmaps(path) is not None
    model = onnx.load(str(path))
    model.graph.node.append(onnx.helper.make_node("SequenceAt", ["y", "place"], ["first"]))
    path.write_bytes(model.SerializeToString())
    assert without_zipmaps(path) is None
    model = onnx.load_from_string(usual)
    model.graph.node[0].domain = "ours.example"
    path.write_bytes(model.SerializeToString())
    assert without_zipmaps(path) is None
    path.write_bytes(usual + onnx.ModelProto(graph=onnx.GraphProto(name="more")).SerializeToString())
    assert without_zipmaps(path) is None
    path.write_bytes(usual)
    monkeypatch.setattr(onnx_file, "REWRITTEN_LIMIT", len(usual) - 1)
    assert without_zipmaps(path) is None
