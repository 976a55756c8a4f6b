"""Which worker to start, drain or kill: a table, and a rule machine's worth of random walks."""

from __future__ import annotations

import dataclasses
import random

import pytest

from fairlead_server.supervisor.crew import Around, DrainOne, Kill, Stand, Start, next_move
from fairlead_server.supervisor.times import Times

TIMES = Times(hello=30.0, stuck=10.0)
A = Stand("w1", "accepting", 0.0, 100.0)
B = Stand("w2", "accepting", 1.0, 100.0)
NEW = Stand("w3", "starting", 99.0, 99.0)
LEAVING = dataclasses.replace(A, leaving=True)
DRAINING = dataclasses.replace(A, state="draining", drain_until=110.0)


@pytest.mark.parametrize(
    ("workers", "around", "wanted"),
    [
        ([], Around(100.0, 1), Start()),
        ([], Around(100.0, 1, start_after=101.0), None),
        ([A], Around(100.0, 1), None),
        ([A], Around(100.0, 2), Start()),
        ([A, B], Around(100.0, 1), DrainOne("w2")),
        ([LEAVING], Around(100.0, 1), Start()),
        ([LEAVING], Around(100.0, 1, both_fit=False), DrainOne("w1")),
        ([LEAVING, NEW], Around(100.0, 1), None),
        ([LEAVING, B], Around(100.0, 1), DrainOne("w1")),
        ([LEAVING, dataclasses.replace(B, leaving=True)], Around(100.0, 1), DrainOne("w1")),
        ([LEAVING, dataclasses.replace(NEW, leaving=True)], Around(100.0, 1), DrainOne("w3")),
        ([DRAINING], Around(100.0, 1, both_fit=False), Start()),
        ([DRAINING, B], Around(100.0, 1), None),
        ([DRAINING, B], Around(111.0, 1), Kill("w1", "it did not drain in time")),
        ([A], Around(111.0, 1), Kill("w1", "it was silent for 11.0 s")),
        ([dataclasses.replace(NEW, greeted=False)], Around(111.0, 1), None),
        ([dataclasses.replace(NEW, greeted=False)], Around(130.0, 1), Kill("w3", "it said nothing since its start")),
    ],
)
def test_the_next_move(workers: list[Stand], around: Around, wanted: object) -> None:
    """Successor first, one at a time; the silent are killed."""
    assert next_move(workers, around, TIMES) == wanted


def test_replacing_all_never_leaves_fewer_accepting() -> None:
    """Whatever the order in which workers come up and end, a replacement of all keeps as many accepting as wanted."""
    for seed in range(200):
        draw = random.Random(seed)
        count = draw.randint(1, 4)
        workers = [Stand(f"w{i}", "accepting", 0.0, 0.0, leaving=True) for i in range(count)]
        name = count
        for _ in range(200):
            move = next_move(workers, Around(1.0, count), TIMES)
            if isinstance(move, Start):
                workers.append(Stand(f"w{name}", "starting", 1.0, 1.0))
                name += 1
            elif isinstance(move, DrainOne):
                workers = [_as(worker, "draining") if worker.id == move.id else worker for worker in workers]
            else:
                waiting = [worker for worker in workers if worker.state != "accepting"]
                if not waiting:
                    break
                chosen = draw.choice(waiting)
                workers = [_as(worker, "accepting") if worker is chosen else worker for worker in workers] if (
                    chosen.state == "starting"
                ) else [worker for worker in workers if worker is not chosen]  # fmt: skip
            assert sum(worker.state == "accepting" for worker in workers) >= count
        assert not any(worker.leaving for worker in workers)
        assert len(workers) == count


def _as(worker: Stand, state: str) -> Stand:
    return dataclasses.replace(worker, state=state, drain_until=1e9)
