"""Predictions on curves made by hand: what is learned, how fast, and what is not believed."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.batching.predict import LOCK_US, Curve, Predictor, bucket


def predictor(table: Mapping[int, float], key: Hashable = ()) -> Predictor:
    return Predictor(lambda asked: table if asked == key else {})


@pytest.mark.parametrize(("rows", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64), (65, 128)])
def test_rows_round_up_to_powers_of_two(rows: int, power: int) -> None:
    """So that what is learned of an odd size speaks for the sizes below it too."""
    assert bucket(rows) == power


@pytest.mark.parametrize(("rows", "us"), [(1, 10), (2, 12), (3, 16), (4, 20), (5, 25), (6, 30), (12, 60)])
def test_sizes_between_lie_on_a_line(rows: int, us: float) -> None:
    """Between the measured sizes; beyond the largest a row costs what it costs there."""
    assert Curve({1: 10.0, 2: 12.0, 4: 20.0, 6: 30.0}).at(rows) == us


def test_another_shape_is_unknown_until_it_runs() -> None:
    """Its first run is believed as it is, and speaks for fewer rows too."""
    known = predictor({1: 10.0})
    assert known.us((), 1, 0.0) == 10.0
    assert known.us("another", 4, 0.0) is None
    known.observe("another", 4, 700.0, 0.0, on_thread=True)
    assert known.us("another", 4, 0.0) == pytest.approx(700)
    assert known.us("another", 2, 0.0) == pytest.approx(700)


@pytest.mark.parametrize(("factor", "runs"), [(2.0, 15), (8.0, 25), (0.5, 40)])
def test_a_machine_that_changes_its_pace_is_followed(factor: float, runs: int) -> None:
    """Quickly when it slows down, more slowly when it recovers, for all sizes at once."""
    known = predictor({1: 5000.0, 16: 20_000.0})
    for _ in range(runs):
        known.observe((), 1, 5000.0 * factor + LOCK_US * (factor > 1), 0.0, on_thread=True)
    assert known.us((), 16, 0.0) == pytest.approx(20_000 * factor, rel=0.15)


def test_one_pause_moves_it_little() -> None:
    """A run that took a thousand times as long counts for no more than one that took twice as long."""
    known = predictor({1: 100.0})
    known.observe((), 1, 100_000.0, 0.0, on_thread=False)
    assert 100 < (known.us((), 1, 0.0) or 0) < 130


def test_runs_on_threads_are_not_blamed_for_the_lock() -> None:
    """Up to a millisecond beyond the prediction says nothing; what is more counts."""
    known = predictor({1: 100.0})
    known.observe((), 1, 100.0 + LOCK_US, 0.0, on_thread=True)
    assert known.us((), 1, 0.0) == 100.0
    known.observe((), 1, 100.0 + 2 * LOCK_US, 0.0, on_thread=True)
    assert (known.us((), 1, 0.0) or 0) > 100.0
    known.observe((), 1, 60.0, 0.0, on_thread=True)
    assert (known.us((), 1, 0.0) or 0) < 130.0


def test_being_slow_is_forgotten_while_there_is_no_news() -> None:
    """What is refused teaches nothing, so the prediction goes back by itself: half of the way every two seconds."""
    known = predictor({1: 100.0})
    for _ in range(40):
        known.observe((), 1, 400.0, 10.0, on_thread=False)
    slow = known.us((), 1, 10.0)
    assert slow == pytest.approx(400, rel=0.2)
    assert known.us((), 1, 10.9) == slow
    assert known.us((), 1, 13.0) == pytest.approx(200, rel=0.2)
    assert known.us((), 1, 60.0) == pytest.approx(100, rel=0.2)


def test_being_fast_is_not_forgotten() -> None:
    """A table measured on a busy machine stays corrected."""
    known = predictor({1: 1000.0})
    for _ in range(100):
        known.observe((), 1, 250.0, 0.0, on_thread=False)
    assert known.us((), 1, 1e6) == pytest.approx(250, rel=0.1)


@given(st.integers(0, 1000), st.floats(0.3, 3))
def test_noise_does_not_drive_it_away(seed: int, factor: float) -> None:
    """After many runs that scatter by a third the prediction is among them, and so are its parts."""
    known, draw = predictor({1: 100.0, 8: 300.0}), random.Random(seed)
    for at in range(3000):
        rows = draw.choice((1, 8))
        us = {1: 100.0, 8: 300.0}[rows] * factor * draw.lognormvariate(0, 0.3)
        known.observe((), rows, us, at / 1000, on_thread=False)
    for rows, us in ((1, 100.0), (8, 300.0)):
        assert us * factor * 0.7 < (known.us((), rows, 3.0) or 0) < us * factor * 2
    assert abs(math.log(known._factor / factor)) < 1.5


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_how_far_runs_are_from_their_predictions_is_learned(noise: float) -> None:
    """Whatever it was taken for at first; the prediction's own swaying adds to it."""
    known, draw = predictor({1: 100.0}), random.Random(3)
    for _ in range(300):
        known.observe((), 1, 100.0 * draw.lognormvariate(0, noise), 0.0, on_thread=False)
    assert noise * 0.6 < known.scatter < noise * 1.8


def test_a_wait_for_the_lock_is_no_scatter() -> None:
    """What says nothing about the length of a run says as little about its scatter."""
    known = predictor({1: 100.0})
    for _ in range(100):
        known.observe((), 1, 100.0 + LOCK_US / 2, 0.0, on_thread=True)
    assert known.scatter < 0.01


def test_shapes_that_clients_invent_do_not_fill_the_memory() -> None:
    """The curves have a bound."""
    known = predictor({})
    for at in range(5000):
        known.observe(at, 1, 1.0, 0.0, on_thread=True)
    assert len(known._curves) <= 1024
