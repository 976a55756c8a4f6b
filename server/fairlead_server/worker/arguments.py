"""What a child is started with: `--link-fd N --settings JSON ...`, made by the supervisor and by nobody else."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence

import msgspec

from fairlead_server.settings import ReplicaSettings


@dataclasses.dataclass(frozen=True)
class Arguments:
    """`http_fd` and `marks_fd` are -1 in a trial; `cores` is what this process may count on."""

    link_fd: int
    settings: ReplicaSettings
    boot: str
    id: str
    http_fd: int
    marks_fd: int
    cores: int


def parse(argv: Sequence[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="fairlead_server", allow_abbrev=False)
    parser.add_argument("--link-fd", type=int, required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--boot", default="")
    parser.add_argument("--id", default="trial")
    parser.add_argument("--http-fd", type=int, default=-1)
    parser.add_argument("--marks-fd", type=int, default=-1)
    parser.add_argument("--cores", type=int, default=0)
    found = vars(parser.parse_args(argv))
    settings = msgspec.json.decode(found.pop("settings"), type=ReplicaSettings)
    cores = found.pop("cores") or _share(settings)
    return Arguments(settings=settings, cores=cores, **found)


def _share(settings: ReplicaSettings) -> int:
    """A trial measures with what each worker will have."""
    cores = settings.cores or len(os.sched_getaffinity(0))
    return max(1, cores // max(1, settings.workers))
