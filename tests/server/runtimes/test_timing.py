"""The latency table by a clock that is walked by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from fairlead_server.batching.lengths import Fill, Lengths
from fairlead_server.errors import Kind
from fairlead_server.runtimes import RunFailure
from fairlead_server.runtimes.own_time import OwnTime
from fairlead_server.runtimes.timing import Stopwatch, by_length, by_rows, sizes, steady

ONE = {"x": np.zeros((2, 8), np.float32)}
LENGTHS = Lengths((Fill("x", 1, 0, 0.0, 2, np.dtype(np.float32)),), (), (1,), True)


class Machine:
    """A model that takes as long as `cost` says of (rows, length), on a clock of its own."""

    def __init__(self, cost: Callable[[int, int], float]) -> None:
        self.now = 0.0
        self.cost = cost
        self.runs: list[tuple[int, int]] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = inputs["x"]
        self.runs.append(x.shape)
        self.now += self.cost(*x.shape)
        return {"y": x}

    def watch(self, end: float) -> Stopwatch:
        return Stopwatch(self.run, OwnTime(lambda: self.now, lambda: self.now), lambda: end - self.now)


def linear(rows: int, length: int) -> float:
    return 1e-3 + 1e-4 * rows * length


def test_a_run_is_timed_until_it_is_known() -> None:
    """Short ones for two milliseconds at least, long ones twice; the lower quartile counts, so pauses do not."""
    machine = Machine(lambda rows, length: 1e-4)
    machine.watch(1.0).took([ONE], None)
    assert 20 <= len(machine.runs) <= 23
    machine = Machine(lambda rows, length: 0.04)
    assert machine.watch(1.0).took([ONE], None) == (40_000.0, 40_000.0)
    assert len(machine.runs) == 1 + 2
    pauses = iter([0.0, 0.5, *[0.0] * 99])
    machine = Machine(lambda rows, length: 0.001 + next(pauses))
    took = machine.watch(9.0).took([ONE], None)
    assert took == pytest.approx((1000.0, 1000.0))


def test_by_rows() -> None:
    """Powers of two and the limit; with a limit of 1 the inputs as they are; as far as the time reaches."""
    table = by_rows(Machine(linear).watch(10.0), ONE, 6)
    assert table == pytest.approx({rows: linear(rows, 8) * 1e6 for rows in (1, 2, 4, 6)}, abs=0.1)
    assert list(by_rows(Machine(linear).watch(10.0), ONE, 1)) == [2]
    slow = Machine(lambda rows, length: rows * 0.01)
    assert list(by_rows(slow.watch(0.3), ONE, 64)) == [1, 2, 4]
    assert slow.now < 0.6
    assert list(by_rows(Machine(linear).watch(0.0), ONE, 64)) == [1]


def test_by_length() -> None:
    """Each cell of rows and lengths; the inputs' own length among them."""
    table = by_length(Machine(linear).watch(1000.0), {"x": np.zeros((2, 12), np.float32)}, 4, LENGTHS).latency
    assert list(table) == [8, 12, 16, 32, 64, 128, 256, 512, 1024]
    assert table[12] == pytest.approx({rows: linear(rows, 12) * 1e6 for rows in (1, 2, 4)}, abs=0.1)


def test_the_budget_goes_to_what_is_needed_first() -> None:
    """The own length first, one row and four everywhere before the rest, and nothing that would take too long."""
    machine = Machine(linear)
    table = by_length(machine.watch(0.2), {"x": np.zeros((1, 16), np.float32)}, 64, LENGTHS).latency
    assert {1, 4} <= table[16].keys() & table[8].keys() & table[32].keys()
    assert max(table) < 1024
    assert machine.now < 0.4
    assert list(by_length(Machine(linear).watch(0.0), ONE, 64, LENGTHS).latency) == [8]


def test_lengths_end_where_the_model_fails() -> None:
    """A text longer than its positions, say."""

    def short(rows: int, length: int) -> float:
        if length > 64:
            raise RunFailure(Kind.REJECTED, "no such position")
        return 1e-3

    machine = Machine(short)
    assert list(by_length(machine.watch(100.0), ONE, 2, LENGTHS).latency) == [8, 16, 32, 64]
    assert max(length for _, length in machine.runs) == 128


def test_work_is_what_the_processor_did() -> None:
    """Beside what the clock says, where the machine waits for others in between."""
    machine = Machine(linear)
    watch = Stopwatch(machine.run, OwnTime(lambda: machine.now * 3, lambda: machine.now), lambda: 100.0 - machine.now)
    tables = by_length(watch, ONE, 4, LENGTHS)
    assert tables.work[16][2] == pytest.approx(linear(2, 16) * 1e6, abs=0.1)
    assert tables.latency[16][2] == pytest.approx(3 * linear(2, 16) * 1e6, abs=0.3)


def test_what_took_longer_than_more_was_disturbed() -> None:
    """A table only rises, by rows and by length."""
    machine = Machine(lambda rows, length: 9.0 if (rows, length) == (2, 16) else linear(rows, length))
    table = by_length(machine.watch(1000.0), ONE, 4, LENGTHS).latency
    assert table[16][2] == table[16][4] == pytest.approx(linear(4, 16) * 1e6, abs=0.1)
    assert steady({4: 300.0, 1: 10.0, 2: 20.0, 8: 60.0}) == {1: 10.0, 2: 20.0, 4: 60.0, 8: 60.0}
    assert [sizes(limit) for limit in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8]]


def test_waiting_for_a_core_is_no_latency() -> None:
    """Where every run was held up as much, not even the shortest tells; what the threads waited is taken off."""
    machine = Machine(linear)
    own = OwnTime(lambda: machine.now * 3, lambda: machine.now, lambda: machine.now * 2)
    watch = Stopwatch(machine.run, own, lambda: 100.0 - machine.now)
    assert by_rows(watch, ONE, 4) == pytest.approx({rows: linear(rows, 8) * 1e6 for rows in (1, 2, 4)}, abs=0.1)
