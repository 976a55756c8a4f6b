"""Loads, changes, memory and starts: what is counted, and that each can be asked for by its row's name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from benchmark.callers import Caller
from benchmark.goals import GOALS
from benchmark.load.calls import Call
from benchmark.measures import loading, memory
from benchmark.measures.catalog import CatalogChange, until_all
from benchmark.measures.registry import ENTRIES

NAMES = ("load-under-load", "catalog-change", "catalog-change-5000", "memory", "ready-edge", "ready-ray")
CALL = Call("json", "", "", ())


@pytest.mark.parametrize("name", NAMES)
def test_each_row_can_be_asked_for(name: str) -> None:
    """Alone, by its name."""
    (entry,) = [entry for entry in ENTRIES if name in entry.names]
    measure = entry.make([name])
    assert tuple(measure.names) == (name,)
    assert measure.needs


def test_every_row_has_its_goal() -> None:
    """One figure at least is judged."""
    assert set(NAMES) <= {goal.measure for goal in GOALS}


def test_only_the_rows_asked_for_are_measured() -> None:
    """The large one takes minutes."""
    assert CatalogChange(["catalog-change"]).names == ("catalog-change",)


class Scripted(Caller):
    """A worker that answers from these versions in turn."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = list(answers)

    def version(self, call: Call) -> str:
        return self.answers.pop(0)


def test_a_change_is_over_when_the_last_worker_has_changed() -> None:
    """Who has changed is not asked again; who does not is a failure."""
    slow, quick = Scripted(["1", "1", "2"]), Scripted(["2"])
    until_all([slow, quick], CALL, "2", float("inf"))
    assert slow.answers == quick.answers == []
    with pytest.raises(TimeoutError, match="1 workers did not change"):
        until_all([Scripted(["2"]), Scripted(["1"])], CALL, "2", deadline=0.0)


def test_the_warm_up_run_is_the_longest_beside_the_traffic() -> None:
    """What a worker would not run beside traffic does not count, nor what has no profile, nor what its time does not
    reach to."""
    tables = [{"1": 100.0, "64": 90_000.0}, {"1": 100.0, "64": 5 * loading.REHEARSAL_US}]
    tables.append({"1": 80_000.0, "2": 85_000.0, "4": 120_000.0})
    versions = {str(number): {"profile": {"latency_us": table}} for number, table in enumerate(tables)}
    status = {"models": {"a": {"versions": versions}, "b": {"versions": {"1": {"state": "failed"}}}}}
    assert loading.warm_up_ms(status) == 90.0


def test_memory_counts_a_process_and_what_it_has_started() -> None:
    """And what has ended counts nothing."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdout.readline()
        found = list(memory.tree(started.pid))
        assert (len(found), found[0]) == (2, started.pid)
        assert memory.resident(memory.Endpoint("", "", (started.pid,))) > 2**20
        started.stdin.write(b"\n")
        started.stdin.close()
    assert memory.resident(memory.Endpoint("", "", (started.pid,))) == 0
    assert os.getpid() not in found
