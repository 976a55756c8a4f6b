"""How long a run will take."""

import pytest

from fairlead_server.batching.predict import Predictor, bucket


@pytest.mark.parametrize(("rows", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64), (65, 128)])
def test_rows_round_up_to_powers_of_two(rows: int, power: int) -> None:
    """So that a prediction is rather too long than too short."""
    assert bucket(rows) == power


def test_warm_ups_table_speaks_for_the_models_own_shape() -> None:
    """And for no other: a shape that was never run is unknown."""
    predictor = Predictor({1: 10.0, 2: 12.0, 4: 20.0, 6: 30.0})
    assert [predictor.predict((), rows) for rows in (1, 2, 3, 4, 5, 6)] == [10, 12, 20, 20, 30, 30]
    assert predictor.predict((), 9) is None
    assert predictor.predict("another", 1) is None


def test_runs_on_the_loop_move_the_estimate_both_ways() -> None:
    """Bit by bit, and one pause of the machine by no more than a bit."""
    predictor = Predictor({1: 100.0})
    predictor.observe((), 1, 1_000_000.0, on_thread=False)
    assert predictor.predict((), 1) == pytest.approx(112.5)
    for _ in range(100):
        predictor.observe((), 1, 300.0, on_thread=False)
    assert predictor.predict((), 1) == pytest.approx(300, rel=0.01)
    for _ in range(100):
        predictor.observe((), 1, 50.0, on_thread=False)
    assert predictor.predict((), 1) == pytest.approx(50, rel=0.01)


def test_runs_on_threads_only_lower_it() -> None:
    """They may have waited for the interpreter's lock."""
    predictor = Predictor({1: 100.0})
    predictor.observe((), 1, 900.0, on_thread=True)
    assert predictor.predict((), 1) == 100.0
    predictor.observe((), 1, 60.0, on_thread=True)
    assert predictor.predict((), 1) == 60.0
    predictor.observe("new shape", 1, 70.0, on_thread=True)
    assert predictor.predict("new shape", 1) == 70.0


def test_shapes_that_clients_invent_do_not_fill_the_memory() -> None:
    """The table has a bound."""
    predictor = Predictor({})
    for at in range(5000):
        predictor.observe(at, 1, 1.0, on_thread=True)
    assert len(predictor._known) <= 1024
