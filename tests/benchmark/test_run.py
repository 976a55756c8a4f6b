"""The order of a run, and what becomes of parts that fail: subjects and measures are made up, the rest is real."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmark import results
from benchmark.arguments import Asked
from benchmark.figures import Figure
from benchmark.load.tools import ToolMissing
from benchmark.measure import Bench
from benchmark.measures.registry import Entry
from benchmark.progress import Progress
from benchmark.run import causes, run
from benchmark.subject import Endpoint, Model, Role, Wire


class Made:
    """A subject that needs an installation, or cannot have one."""

    settings = "as it comes"
    protocols: frozenset[Wire] = frozenset()

    def __init__(self, name: str, role: Role, fault: str = "") -> None:
        self.name = name
        self.role: Role = role
        self._fault = fault
        self._installed = role == "fairlead"

    def missing(self) -> str:
        return "" if self._installed else "not installed"

    def prepare(self) -> None:
        if self._fault:
            raise RuntimeError(self._fault)
        self._installed = True

    @contextlib.contextmanager
    def serve(self, models: Sequence[Model], threads: int) -> Iterator[Endpoint]:
        yield Endpoint("", "", ())


class Counting:
    """One figure for each subject and round, the number of the round; a name with an f breaks in it."""

    needs = ()

    def __init__(self, name: str, log: list[str]) -> None:
        self.names = (name,)
        self._log = log
        self._round = 0

    def round(self, bench: Bench) -> Iterator[Figure]:
        self._round += 1
        self._log.append(self.names[0])
        for name in bench.subjects:
            yield Figure(self.names[0], name, self._round, "requests/s", "more")
        if self.names[0] == "fails":
            raise RuntimeError("lost its way")


FAIRLEAD, PEER = Made("fairlead", "fairlead"), Made("peer", "peer")


def silent(_: str) -> None:
    pass


def measure(
    folder: Path, rows: Sequence[str], subjects: Sequence[Made], log: list[str] | None = None, once: str = ""
) -> results.Results:
    """Three rounds; of the row `once` only one."""
    made = [] if log is None else log
    entries = [
        Entry((row,), lambda names: Counting(names[0], made), beside=True, most_rounds=1 if row == once else 9)
        for row in rows
    ]
    asked = Asked(tuple(rows), (), (), 3, 1.0, 1, False, False, False, folder / "out")
    return run(asked, subjects, entries, folder, Progress(3, silent))


def test_rounds_are_interleaved_and_long_measures_have_fewer(tmp_path: Path) -> None:
    log: list[str] = []
    measure(tmp_path, ["A", "B", "C"], [FAIRLEAD], log, once="B")
    assert "".join(log) == "ABC" + "AC" + "AC"


def test_every_round_of_every_subject_is_in_the_results_on_disk(tmp_path: Path) -> None:
    found = measure(tmp_path, ["A"], [FAIRLEAD, PEER])
    assert [(row.subject, row.rounds, row.value) for row in found.rows] == [
        ("fairlead", (1, 2, 3), 2),
        ("peer", (1, 2, 3), 2),
    ]
    assert results.read(tmp_path / "out") == found


def test_a_peer_is_installed_when_it_is_wanted_and_its_settings_are_told(tmp_path: Path) -> None:
    peer = Made("peer", "peer")
    found = measure(tmp_path, ["A"], [FAIRLEAD, peer])
    assert not peer.missing()
    assert [(one.name, one.role, one.settings) for one in found.subjects][1] == ("peer", "peer", "as it comes")


def test_a_peer_that_cannot_be_installed_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    found = measure(tmp_path, ["A"], [FAIRLEAD, Made("peer", "peer", fault="no room on the disk")])
    assert found.failures == ("peer: no room on the disk",)
    assert [row.subject for row in found.rows] == ["fairlead"]


def test_a_measure_that_breaks_keeps_what_it_read_and_the_others_go_on(tmp_path: Path) -> None:
    found = measure(tmp_path, ["fails", "B"], [FAIRLEAD])
    assert found.failures == ("fails: RuntimeError: lost its way",)
    assert [(row.measure, len(row.rounds)) for row in found.rows] == [("fails", 3), ("B", 3)]


def test_a_missing_generator_is_one_line_and_its_measures_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise ToolMissing(f"{name} is not installed: apt install {name}")

    monkeypatch.setattr("benchmark.run.tool", missing)
    log: list[str] = []
    entries = [
        Entry(("A",), lambda names: Counting(names[0], log), ("wrk", "ghz")),
        Entry(("B",), lambda names: Counting(names[0], log)),
    ]
    asked = Asked(("A", "B"), (), (), 1, 1.0, 1, False, False, False, tmp_path / "out")
    found = run(asked, [FAIRLEAD], entries, tmp_path, Progress(1, silent))
    assert log == ["B"]
    assert found.failures == ("A: wrk is not installed: apt install wrk",)


def test_the_causes_beside_the_benchmark_are_about_rows_that_there_are() -> None:
    from benchmark.goals import TITLES

    assert set(causes()) <= set(TITLES)


def test_a_measure_of_fairlead_alone_meets_no_peer(tmp_path: Path) -> None:
    log: list[str] = []
    entries = [
        Entry(("A",), lambda names: Counting(names[0], log), beside=True),
        Entry(("B",), lambda names: Counting(names[0], log)),
    ]
    asked = Asked(("A", "B"), (), (), 1, 1.0, 1, False, False, False, tmp_path / "out")
    found = run(asked, [FAIRLEAD, PEER], entries, tmp_path, Progress(1, silent))
    assert [(row.measure, row.subject) for row in found.rows] == [("A", "fairlead"), ("A", "peer"), ("B", "fairlead")]


def test_what_was_measured_before_an_interruption_is_on_disk(tmp_path: Path) -> None:
    class Interrupted(Counting):
        def round(self, bench: Bench) -> Iterator[Figure]:
            raise KeyboardInterrupt

    log: list[str] = []
    entries = [
        Entry(("A",), lambda names: Counting(names[0], log)),
        Entry(("B",), lambda names: Interrupted(names[0], log)),
    ]
    asked = Asked(("A", "B"), (), (), 1, 1.0, 1, False, False, False, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(asked, [FAIRLEAD], entries, tmp_path, Progress(1, silent))
    assert [row.measure for row in results.read(tmp_path / "out").rows] == ["A"]
