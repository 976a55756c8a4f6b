"""The scan of an ONNX file for its ZipMaps."""

from pathlib import Path

import onnx_models
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead_server.runtimes.onnx_file import zipmap_labels


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
