"""Histograms and sums."""

import pytest

from fairlead_server.batching.counts import LATENCY_BOUNDS_US, ROWS_BOUNDS, Counts, FixedHistogram


@pytest.mark.parametrize(("value", "place"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (4, 2), (4.1, 3)])
def test_a_value_on_a_bound_belongs_below_it(value: float, place: int) -> None:
    """As Prometheus counts: less or equal."""
    histogram = FixedHistogram((1, 2, 4))
    histogram.add(value)
    assert histogram.counts == [int(at == place) for at in range(4)]
    assert histogram.sum == value


@pytest.mark.parametrize("bounds", [LATENCY_BOUNDS_US, ROWS_BOUNDS])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    """Bounds are sorted and each stands once."""
    assert list(bounds) == sorted(set(bounds))


def test_failures_are_counted_by_kind() -> None:
    """Each kind has its own number."""
    counts = Counts()
    for kind in ("rejected", "deadline", "rejected"):
        counts.failed(kind)
    assert counts.failures == {"rejected": 2, "deadline": 1}
