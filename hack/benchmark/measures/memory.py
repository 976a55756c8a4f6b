"""What a server takes of the memory: by itself, for each further small model, and when those are gone again.

Proportional set size, summed over all processes of the subject: pages that several share are counted once. Peers are
told with the one model that is served; what a thousand models take, and what is given back, is Fairlead's alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark import control
from benchmark.figures import Figure
from benchmark.goals import FAIRLEAD
from benchmark.measure import Bench
from benchmark.subject import Endpoint, Subject
from benchmark.subjects.fairlead import Fairlead, Pool

NAME = "memory"
MODEL = "tiny"
FURTHER, QUICK_FURTHER = 1000, 10
LOAD_S = 120.0
SETTLE_S = 3.0  # after a start
GIVE_BACK_S = 10.0  # for what was unloaded to come back
_MIB = 2**20


class Memory:
    names = (NAME,)
    needs = (MODEL,)

    def __init__(self, names: Sequence[str]) -> None:
        """It has one row."""

    def round(self, bench: Bench) -> Iterator[Figure]:
        for subject in bench.subjects.values():
            if subject.role == "peer":
                yield from self._beside(bench, subject)
        bench.say(f"{NAME}: {FAIRLEAD}")
        try:
            with Fairlead(bench.scratch, FAIRLEAD).pool([bench.models[MODEL]], bench.threads) as pool:
                yield from self._figures(bench, pool)
        except Exception as fault:  # the other measures go on
            bench.fail(f"{NAME}: {fault}")

    def _beside(self, bench: Bench, subject: Subject) -> Iterator[Figure]:
        bench.say(f"{NAME}: {subject.name}")
        try:
            with subject.serve([bench.models[MODEL]], bench.threads) as endpoint:
                time.sleep(SETTLE_S)
                yield _figure("replica", resident(endpoint), subject.name)
        except Exception as fault:  # whatever a subject can bring: the others go on
            bench.fail(f"{subject.name}: {fault}")

    def _figures(self, bench: Bench, pool: Pool) -> Iterator[Figure]:
        further = QUICK_FURTHER if bench.quick else FURTHER
        time.sleep(SETTLE_S)
        alone = resident(pool.endpoint())
        yield _figure("replica", alone, note="supervisor, fetcher and one worker, with one model")
        self._want(bench, pool, 2, further)
        grown = resident(pool.endpoint())
        note = f"{further} further models of {MODEL}"
        each = (grown - alone) / further / 1024
        yield Figure(NAME, FAIRLEAD, each, "KiB", "less", "each further model", note)
        self._want(bench, pool, 3, 0)
        time.sleep(GIVE_BACK_S)
        yield _figure("after unloading", resident(pool.endpoint()), note=f"{note}, unloaded {GIVE_BACK_S:g} s ago")

    def _want(self, bench: Bench, pool: Pool, generation: int, further: int) -> None:
        replica, folder = pool.replicas[0], bench.models[MODEL].folder
        one = control.entry({"1": folder}, "1", {"threads": bench.threads})
        names = [MODEL, *(f"further-{number:04}" for number in range(further))]
        control.put(replica, control.document(generation, dict.fromkeys(names, one)))
        control.until(replica, "loading", control.all_applied(generation), LOAD_S)
        time.sleep(SETTLE_S)


def _figure(part: str, value: int, subject: str = FAIRLEAD, note: str = "") -> Figure:
    return Figure(NAME, subject, value / _MIB, "MiB", "less", part, note)


def resident(endpoint: Endpoint) -> int:
    """Bytes, of the processes and all that they have started."""
    return sum(_pss(pid) for root in endpoint.pids for pid in tree(root))


def tree(pid: int) -> Iterator[int]:
    """The process and those below it."""
    yield pid
    try:
        children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in _words(task)]
    except OSError:  # it has ended
        return
    for child in children:
        yield from tree(int(child))


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or is another user's
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
