"""How much memory the replica may use, what it uses, and whether one more version fits.

The limit covers the supervisor, its workers, and one trial or successor (rule 9). It is asked before a load
starts, since afterwards the kernel answers, with a kill. Estimates err upwards until a trial has measured.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

PROCESS_BYTES = 120 * 2**20  # a worker or trial that holds no model yet
REPLICA_BYTES = 160 * 2**20  # supervisor and fetcher
UNPROVEN_FACTOR = 2.0  # resident over artifact bytes, until measured
FULL = 0.95  # of the limit: a process is ended before the kernel chooses one

ROOT = Path("/sys/fs/cgroup")
V1_NONE = 2**62  # what v1 says where there is no limit


def limit_bytes(setting: int, root: Path = ROOT, proc: Path = Path("/proc")) -> int:
    """The setting, else the container's limit (cgroup v2, v1), else the machine's memory."""
    if setting:
        return setting
    found = [value for value in map(_number, _limit_files(root, proc)) if 0 < value < V1_NONE]
    return min([*found, _machine_bytes()])


def cpu_cores(root: Path = ROOT, proc: Path = Path("/proc")) -> int:
    """What this process may use: its affinity, and the container's quota rounded up."""
    cores = len(os.sched_getaffinity(0))
    for folder in _own_groups(root, proc, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period):
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    return cores


@dataclasses.dataclass(frozen=True)
class Taken:
    """What versions take in each worker: measured bytes, and the limits of their sessions on a GPU."""

    bytes: int = 0
    gpu: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.bytes + other.bytes, self.gpu + other.gpu)

    def __sub__(self, other: Taken) -> Taken:
        return Taken(self.bytes - other.bytes, self.gpu - other.gpu)


@dataclasses.dataclass(frozen=True)
class Need:
    """A version to load: `bytes` measured where `proven`, else of its artifact; `gpu` is its session's limit on a GPU
    (0: it has none; None: it needs no GPU)."""

    bytes: int
    proven: bool
    gpu: int | None = None

    @property
    def resident(self) -> int:
        return self.bytes if self.proven else int(self.bytes * UNPROVEN_FACTOR)


def refusal(need: Need, limit: int, workers: int, held: Iterable[int]) -> tuple[str, bool]:
    """Why this version may not be loaded now ("" when it may), and whether it would fit in no case."""
    fixed = REPLICA_BYTES + (workers + 1) * PROCESS_BYTES
    copies = workers if need.proven else workers + 1  # an unproven one is in its trial first
    alone = fixed + copies * need.resident
    together = alone + workers * sum(held)
    if together <= limit:
        return "", False
    never = alone > limit
    what = "measured" if need.proven else "estimated from its files"
    return (
        f"it does not fit into memory: it needs {_mib(need.resident)} MiB ({what}) in each of {copies} processes, "
        f"that makes {_mib(alone if never else together)} MiB {'even alone' if never else 'with what is loaded'}, "
        f"and the limit is {_mib(limit)} MiB: give the pool more memory, or serve fewer models here"
    ), never


def gpu_refusal(need: Need, limit: int, workers: int, held: int) -> tuple[str, bool]:
    """As `refusal`, for the arenas of sessions on a GPU. Without a limit of the replica nothing is counted."""
    if not limit or need.gpu is None:
        return "", False
    if not need.gpu:
        return "its memory on the GPU has no limit, and this replica's has: set gpu_mem_limit_bytes", True
    copies = workers if need.proven else workers + 1
    alone = copies * need.gpu
    together = alone + workers * held
    if together <= limit:
        return "", False
    never = alone > limit
    makes = f"{_mib(alone)} MiB even alone" if never else f"{_mib(together)} MiB with what is loaded"
    return (
        f"it does not fit on the GPU: it may take {_mib(need.gpu)} MiB in each of {copies} processes, that makes "
        f"{makes}, and the limit is {_mib(limit)} MiB: give the pool more of a GPU, or serve fewer models here"
    ), never


def gpu_both_fit(limit: int, workers: int, held: int) -> bool:
    """Whether a successor's sessions may live beside those of the worker that it replaces."""
    return not limit or (workers + 1) * held <= limit


def both_fit(limit: int, workers: int, held: Iterable[int]) -> bool:
    """Whether a successor may live beside the worker that it replaces."""
    return REPLICA_BYTES + (workers + 1) * (PROCESS_BYTES + sum(held)) <= limit


def container_bytes(root: Path = ROOT, proc: Path = Path("/proc")) -> int:
    """What the kernel counts against the container's limit and cannot drop; 0 where there is no container."""
    for folder in (*_own_groups(root, proc, ""), *_own_groups(root, proc, "memory")):
        for usage, limit, inactive in _FILES:
            if 0 < _number(folder / limit) < V1_NONE and (folder / usage).exists():
                stat = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
                return max(0, _number(folder / usage) - int(stat.get(inactive, "0")))
    return 0


_FILES = (
    ("memory.current", "memory.max", "inactive_file"),
    ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"),
)


def _limit_files(root: Path, proc: Path) -> list[Path]:
    return [folder / "memory.max" for folder in _own_groups(root, proc, "")] + [
        folder / "memory.limit_in_bytes" for folder in _own_groups(root, proc, "memory")
    ]


def _own_groups(root: Path, proc: Path, controller: str) -> list[Path]:
    """This process's groups of one hierarchy, from its own up to the root; inside a container the root is its own."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            base = root / controller if controller else root
            own = base / path.strip("/")
            return [group for group in (own, *own.parents) if group == base or base in group.parents]
    return []


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _mib(size: int) -> int:
    return round(size / 2**20)
