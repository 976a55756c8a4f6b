"""Warm-up: what condemns a version, what turns batching off, and what is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest

from fairlead_server.errors import Kind
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import Padding, VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.runtimes import LoadFailure, RunFailure
from fairlead_server.runtimes.onnx import open_session
from fairlead_server.runtimes.warm import measure, rehearse
from fairlead_server.testing import FakeSession

EXAMPLE = {"x": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}


def told(session: Any, **settings: Any) -> Any:
    return measure(session, VersionSettings(**settings))


def test_a_good_version() -> None:
    """Smoke by its example, batching on, a latency for every power of two and the limit, notes handed on."""
    session = FakeSession(example=EXAMPLE)
    session.notes = ("something to know",)
    profile = told(session, max_batch_size=12)
    assert (profile.smoke.source, profile.smoke.passed) == ("example", True)
    assert (profile.batching, profile.batching_reason, profile.notes) == (True, "", ("something to know",))
    assert sorted(profile.latency_us) == [1, 2, 4, 8, 12]
    assert all(us > 0 for us in profile.latency_us.values())
    np.testing.assert_array_equal(session.runs[0], EXAMPLE["x"])


def test_without_an_example_inputs_are_made_up() -> None:
    """And they profile it as well."""
    profile = told(FakeSession())
    assert (profile.smoke.source, profile.smoke.passed, profile.batching) == ("made-up", True, True)


def failing(kind: Kind) -> Callable[[np.ndarray], np.ndarray]:
    def answer(x: np.ndarray) -> np.ndarray:
        raise RunFailure(kind, "no such index")

    return answer


@pytest.mark.parametrize(("kind", "final"), [(Kind.REJECTED, True), (Kind.INTERNAL, True), (Kind.OVERLOADED, False)])
def test_a_logged_example_that_fails_condemns(kind: Kind, final: bool) -> None:
    """For good, but for want of memory, which may pass."""
    with pytest.raises(LoadFailure, match="the logged input example fails: no such index") as caught:
        told(FakeSession(example=EXAMPLE, answer=failing(kind)))
    assert caught.value.final is final


def test_an_example_that_fails_condemns_without_warm_up_too() -> None:
    """The smoke prediction is made in any case."""
    with pytest.raises(LoadFailure):
        told(FakeSession(example=EXAMPLE, answer=failing(Kind.REJECTED)), warmup=False)


def test_made_up_inputs_that_fail_leave_it_unprofiled() -> None:
    """Ready all the same, one request at a time, on a thread (rule 8)."""
    profile = told(FakeSession(answer=failing(Kind.REJECTED)))
    assert (profile.smoke.passed, profile.batching, profile.latency_us) == (False, False, {})
    assert "unprofiled" in profile.batching_reason
    assert "log an input example" in profile.batching_reason


def test_without_warm_up_nothing_is_claimed() -> None:
    """No made-up runs, no table, no batching."""
    session = FakeSession()
    profile = told(session, warmup=False)
    assert (session.runs, profile.latency_us, profile.batching, profile.smoke.source) == ([], {}, False, "none")


@pytest.mark.parametrize("example", [None, EXAMPLE, {"x": EXAMPLE["x"][:1]}, {"x": np.zeros((1, 2), np.float32)}])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x: x - x.mean(axis=0), "'y' differs by"),
        (lambda x: x / max(abs(x).max(), 1e-9), "'y' differs by"),
        (lambda x: x[::-1], "'y' differs by"),
        (lambda x: x + len(x), "'y' differs by"),
        (lambda x: (x > x.mean()).astype(np.int64), "'y' differs when"),
        (lambda x: np.array([[str(len(x))]] * len(x), object), "'y' differs when"),
        (lambda x: x.sum(axis=0, keepdims=True), "does not have one row for each row"),
        (lambda x: x.sum(), "does not have one row for each row"),
        (lambda x: np.ones((len(x), len(x))), "another shape"),
    ],
)
def test_rows_that_mix_turn_batching_off(answer: Any, reason: str, example: Any) -> None:
    """With whatever rows there are to compare; the table then speaks for the inputs as they are (rule 1)."""
    profile = told(FakeSession(answer=answer, example=example))
    assert not profile.batching
    assert reason in profile.batching_reason
    assert len(profile.latency_us) == 1


@pytest.mark.parametrize("difference", [1e-6, 1e-2])
def test_the_tolerance_decides(difference: float) -> None:
    """Batch size changes bits, and how many may change is a setting."""
    session = FakeSession(answer=lambda x: x * (1 + difference * (len(x) > 1)) + 1)
    assert told(session).batching is (difference < 1e-4)
    assert told(session, tolerance=0.1).batching


def test_nan_and_infinity_equal_themselves() -> None:
    """A model that answers NaN may be batched as well."""
    assert told(FakeSession(answer=lambda x: np.where(x > 0, np.nan, -np.inf).astype(np.float32))).batching


def test_equal_rows_prove_nothing() -> None:
    """Where only one row is known to run, nothing shows that rows do not mix."""

    def picky(x: np.ndarray) -> np.ndarray:
        if not all(row in ("only",) for row in x.ravel()):
            raise RunFailure(Kind.REJECTED, "unknown category")
        return x

    text = (TensorSpec("x", "BYTES", (-1, 1), ("N", "")),)
    session = FakeSession(
        signature=Signature(text, (TensorSpec("y", "BYTES", (-1, 1), ("N", "")),)),
        example={"x": np.array([["only"]], object)},
        answer=picky,
    )
    profile = told(session)
    assert not profile.batching
    assert "log an input example of two rows or more" in profile.batching_reason


def test_a_limit_of_one_row_is_its_own_reason() -> None:
    """Nothing to compare then."""
    assert told(FakeSession(), max_batch_size=1).batching_reason == "max_batch_size is 1"


def test_the_budget_ends_a_slow_warm_up() -> None:
    """A version whose runs take long is profiled as far as the time goes."""
    import time

    begin = time.perf_counter()
    profile = told(FakeSession(delay_s=0.03), warmup_budget_ms=200)
    assert time.perf_counter() - begin < 1.5  # all sizes would take 2 s and more
    assert profile.batching
    assert profile.latency_us
    assert max(profile.latency_us) < 64


@pytest.mark.parametrize(
    ("build", "batching", "reason"),
    [
        (onnx_models.build_linear, True, ""),
        (onnx_models.build_two_inputs, True, ""),
        (onnx_models.build_columns, True, ""),
        (onnx_models.build_strings, True, ""),
        (onnx_models.build_gather, True, ""),
        (onnx_models.build_zipmap, True, ""),
        (onnx_models.build_pipeline, True, ""),
        (onnx_models.build_sequence_length, True, ""),
        (onnx_models.build_unnamed, True, ""),
        (lambda path: onnx_models.build_unnamed(path, names=("unk__1", "unk__2")), True, ""),
        (onnx_models.build_mixing, False, "output 'y' differs by"),
        (onnx_models.build_fixed, False, "no free leading dimension"),
        (onnx_models.build_total, False, "output 'y' has no free leading dimension (shape [1, 4])"),
        (lambda path: onnx_models.build_unnamed(path, names=("N", "M")), False, "different leading dimensions"),
        (onnx_models.build_unknown_rank, False, "no free leading dimension (shape [])"),
    ],
)
def test_real_models(tmp_path: Path, build: Callable[[Path], Any], batching: bool, reason: str) -> None:
    """The verdict on each of the tests' models, by ONNX Runtime itself."""
    build(tmp_path / "model.onnx")
    profile = told(open_session(tmp_path, VersionSettings(), 1), max_batch_size=8)
    assert profile.smoke.passed
    assert (profile.batching, reason in profile.batching_reason) == (batching, True), profile.batching_reason


TEXT = {"ids": Padding(mask="mask", trim={"states": 1})}


@pytest.mark.parametrize(
    ("build", "padding", "shares", "reason"),
    [
        (onnx_models.build_attention, TEXT, True, ""),
        (onnx_models.build_attention, {"ids": Padding(mask="mask", trim={"states": 1}, multiple=8)}, True, ""),
        (onnx_models.build_attention, {"ids": Padding(mask="mask")}, False, "another shape when lengths are filled up"),
        (
            onnx_models.build_attention,
            {"ids": Padding(trim={"states": 1}), "mask": Padding(value=1.0)},
            False,
            "differs by",
        ),
        (onnx_models.build_mean, {"ids": Padding()}, False, "output 'y' differs by"),
        (onnx_models.build_sequence_length, {"x": Padding(trim={"y": 1})}, True, ""),
        (lambda path: onnx_models.build_attention(path, symbol=None), TEXT, True, ""),
        (lambda path: onnx_models.build_attention(path, most=8), TEXT, True, ""),
        (
            lambda path: onnx_models.build_attention(path, most=8),
            {"ids": Padding(mask="mask", trim={"states": 1}, multiple=16)},
            False,
            "rows that are filled up fail",
        ),
    ],
)
def test_lengths_share_a_run_where_filling_up_keeps_the_answers(
    tmp_path: Path, build: Callable[[Path], Any], padding: dict[str, Padding], shares: bool, reason: str
) -> None:
    """Rows alone as they are equal rows filled up together, by ONNX Runtime itself; else only equal lengths meet."""
    build(tmp_path / "model.onnx")
    settings = VersionSettings(padding=padding, max_batch_size=8)
    profile = measure(open_session(tmp_path, settings, 1), settings)
    assert profile.batching, profile.batching_reason
    assert (profile.padding, reason in profile.padding_reason) == (shares, True), profile.padding_reason
    assert bool(profile.padding_reason) != shares
    assert (profile.length_step > 0) == shares
    assert {8} <= profile.latency_by_length.keys() or min(profile.latency_by_length) > 8


def test_an_examples_own_mask_does_not_hide_what_differs(tmp_path: Path) -> None:
    """It is left to be made while lengths are compared, and kept for the smoke prediction."""
    onnx_models.build_attention(tmp_path / "model.onnx")
    settings = VersionSettings(padding=TEXT, max_batch_size=4)
    session = open_session(tmp_path, settings, 1)
    session.example = {"ids": np.array([[1, 2, 3, 4]]), "mask": np.array([[1, 0, 0, 0]])}
    assert measure(session, settings).padding


def test_padding_needs_batching() -> None:
    """The reason says what is in its way."""
    settings = VersionSettings(padding={"x": Padding()}, max_batch_size=1)
    free = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),))
    profile = measure(FakeSession(signature=free), settings)
    assert (profile.padding, profile.padding_reason) == (False, "rows are not batched: max_batch_size is 1")


def test_padding_that_does_not_fit_is_a_load_failure(tmp_path: Path) -> None:
    """With the setting's own words, when the model is opened."""
    onnx_models.build_attention(tmp_path / "model.onnx")
    with pytest.raises(LoadFailure, match="padding of 'ids': the mask 'musk' is none of the model's"):
        open_session(tmp_path, VersionSettings(padding={"ids": Padding(mask="musk")}), 1)
    with pytest.raises(LoadFailure, match="axis 1 is fixed at 2"):
        told(FakeSession(), padding={"x": Padding()})


def test_latencies_by_length(tmp_path: Path) -> None:
    """The inputs' own length and powers of two, as far as the model goes; the plain table is that of their own."""
    onnx_models.build_attention(tmp_path / "model.onnx", most=32)
    profile = told(open_session(tmp_path, VersionSettings(), 1), max_batch_size=4)
    assert list(profile.latency_by_length) == [8, 16, 32]
    assert all(list(table) == [1, 2, 4] for table in profile.latency_by_length.values())
    assert profile.latency_us == profile.latency_by_length[8]
    assert (profile.padding, profile.padding_reason) == (False, "")
    assert profile.microseconds(3, 12) is not None
    assert profile.microseconds(3, 33) is None


def test_a_rehearsal_runs_what_was_measured_and_measures_nothing() -> None:
    """The smoke prediction, then each size once."""
    session = FakeSession(example=EXAMPLE)
    profile = Profile(latency_us={1: 10.0, 2: 10.0, 8: 10.0}, batching=True)
    rehearse(session, VersionSettings(), profile, 1.0, clock=lambda: 0.0)
    assert [len(run) for run in session.runs] == [len(EXAMPLE["x"]), 1, 2, 8]


def test_a_rehearsal_stays_within_its_time() -> None:
    """By what the profile says a run takes; the smoke prediction comes first whatever it takes."""
    session = FakeSession(example=EXAMPLE)
    profile = Profile(latency_us={1: 400_000.0, 2: 700_000.0}, batching=True)
    rehearse(session, VersionSettings(), profile, 0.5, clock=lambda: 0.0)
    assert [len(run) for run in session.runs] == [len(EXAMPLE["x"]), 1]


def test_a_rehearsal_condemns_what_fails_its_example() -> None:
    """As the measurement does: its files may not be what they were."""
    with pytest.raises(LoadFailure, match="the logged input example fails"):
        rehearse(FakeSession(example=EXAMPLE, answer=failing(Kind.REJECTED)), VersionSettings(), Profile(), 0.5)
