"""The arithmetic of an open loop, on schedules made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.load.hits import Hits, between, load_of, on_schedule


def hits(sent_s: Sequence[float], took_s: Sequence[float], status: Sequence[str] = (), expected: int = 0) -> Hits:
    """Due every 0.1 s."""
    statuses = status or [""] * len(sent_s)
    return on_schedule("made", np.array(sent_s), np.array(took_s), statuses, 0.1, expected or len(sent_s))


def test_what_was_sent_in_time_takes_what_it_took() -> None:
    found = hits([5.0, 5.1, 5.2], [0.01, 0.02, 0.03])
    assert found.latency_ms.tolist() == pytest.approx([10, 20, 30])


def test_what_was_sent_late_also_waited() -> None:
    """The generator fell behind by 0.3 s at the second request, and hides nothing of it."""
    found = hits([5.0, 5.4, 5.41, 5.42], [0.01] * 4)
    assert found.latency_ms.tolist() == pytest.approx([10, 310, 220, 130])


def test_a_late_beginning_is_no_credit_for_the_rest() -> None:
    """The first request was late itself: the schedule is known by the least late of all."""
    found = hits([5.05, 5.1, 5.2], [0.01] * 3)
    assert found.latency_ms.tolist() == pytest.approx([60, 10, 10])


def test_goodput_is_what_was_answered_well_and_in_time() -> None:
    load = load_of(hits([0.0, 0.1, 0.2, 0.3], [0.01, 0.08, 0.01, 0.01], ["", "", "503", ""]), deadline_ms=50)
    assert (load.good, load.late, load.failed) == (3, 1, {"503": 1})
    assert load.goodput == pytest.approx(2 / 0.4)


def test_without_a_deadline_nothing_is_late() -> None:
    load = load_of(hits([0.0, 0.1], [9.0, 9.0]))
    assert (load.late, load.goodput) == (0, pytest.approx(10))


def test_the_rate_counts_until_the_last_answer() -> None:
    assert load_of(hits([0.0, 0.1], [0.01, 0.9])).rate == pytest.approx(2.0)


def test_requests_that_were_never_sent_are_told() -> None:
    assert load_of(hits([0.0, 0.1], [0.01] * 2, expected=10)).failed == {"never sent": 8}


def test_one_request_more_or_less_at_the_schedules_end_is_no_loss() -> None:
    assert load_of(hits(np.arange(0, 20, 0.1).tolist(), [0.01] * 200, expected=201)).failed == {}


def test_percentiles_are_latencies_that_occurred() -> None:
    load = load_of(hits([number / 10 for number in range(1000)], [0.001] * 989 + [0.005] * 10 + [0.009]))
    assert (load.p50_ms, load.p99_ms, load.p999_ms, load.most_ms) == pytest.approx((1, 5, 5, 9))


def test_a_part_of_the_schedule() -> None:
    part = between(hits([number / 10 for number in range(10)], [0.01] * 10), 0.25, 0.55)
    assert part.due_s.tolist() == pytest.approx([0.3, 0.4, 0.5])
    assert (len(part.latency_ms), len(part.status), part.expected) == (3, 3, 3)
