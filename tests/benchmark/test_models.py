"""The benchmark's models: files that ONNX Runtime runs, the same at every build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmark import models
from benchmark.networks import write_bert
from benchmark.subject import Model

FREE = {"tiny": 1, "mlp": 1, "resnet18": 1, "bert": 2, "pipeline": 1}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", models.NAMES)
def test_rows_alone_are_rows_together(name: str, tmp_path: Path) -> None:
    """Every model has a free batch, and a row's answer does not depend on the rows beside it."""
    model = models.build([name], tmp_path)[name]
    assert model.folder == tmp_path / name
    twice = {key: np.repeat(value, 2, axis=0) for key, value in model.inputs.items()}
    both = models.run(model.folder / "model.onnx", twice)
    assert both.keys() == model.outputs.keys()
    for key, one in model.outputs.items():
        same(both[key], np.repeat(one, 2, axis=0))
    assert free_sizes(model) == FREE[name]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["tiny", "mlp", "pipeline"])
def test_the_same_file_at_every_build(name: str, tmp_path: Path) -> None:
    """Machines and rounds are compared, so weights and requests come from seeds."""
    first, second = (models.build([name], tmp_path / turn)[name] for turn in "ab")
    assert first.outputs.keys() == second.outputs.keys()
    for key, value in first.outputs.items():
        same(value, second.outputs[key])


def test_filled_positions_change_nothing(tmp_path: Path) -> None:
    """BERT's mask: a sentence of 20 tokens filled up to 64 has the same answer at its 20 positions."""
    path = tmp_path / "model.onnx"
    write_bert(path)
    alone = models.sentence(20, seed=3)
    filled = {name: np.pad(value, ((0, 0), (0, 44))) for name, value in alone.items()}
    filled["input_ids"][:, 20:] = 5  # whatever stands there
    short, long = models.run(path, alone), models.run(path, filled)
    same(short["pooled"], long["pooled"])
    same(short["last_hidden_state"], long["last_hidden_state"][:, :20])
    unmasked = models.run(path, {**filled, "attention_mask": np.ones_like(filled["attention_mask"])})
    assert np.abs(unmasked["pooled"] - short["pooled"]).max() > 1e-3


def test_sentences_differ_by_seed() -> None:
    assert not np.array_equal(models.sentence(8, seed=1)["input_ids"], models.sentence(8, seed=2)["input_ids"])
    assert models.sentence(8, rows=3)["attention_mask"].shape == (3, 8)


def test_numbers_are_the_same_in_json(tmp_path: Path) -> None:
    """A multiple of 1/16 has one short text, in float32 and in float64."""
    for model in models.build(["tiny", "mlp"], tmp_path).values():
        assert all(len(repr(value)) <= 7 for value in model.inputs["x"].ravel().tolist())


def free_sizes(model: Model) -> int:
    session = ort.InferenceSession(str(model.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return len({size for one in session.get_inputs() for size in one.shape if isinstance(size, str)})


def same(found: np.ndarray, expected: np.ndarray) -> None:
    if expected.dtype == object:
        assert found.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
