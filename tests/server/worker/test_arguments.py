"""What a child is started with."""

from __future__ import annotations

import msgspec
import pytest

from fairlead_server.settings import ReplicaSettings
from fairlead_server.worker.arguments import parse

SETTINGS = ReplicaSettings(state_dir="/state", cores=4, workers=2)
COMMON = ["--link-fd", "7", "--settings", msgspec.json.encode(SETTINGS).decode()]


def test_a_worker_is_told_everything() -> None:
    """Descriptors by number, settings as JSON."""
    found = parse([*COMMON, "--boot", "b1", "--id", "w1", "--http-fd", "8", "--marks-fd", "9", "--cores", "3"])
    assert (found.link_fd, found.http_fd, found.marks_fd, found.cores) == (7, 8, 9, 3)
    assert (found.settings, found.boot, found.id) == (SETTINGS, "b1", "w1")


def test_a_trial_counts_on_a_workers_share_of_the_cores() -> None:
    """What it measures is what a worker will have."""
    found = parse(COMMON)
    assert (found.id, found.cores, found.http_fd) == ("trial", 2, -1)


def test_unknown_arguments_end_the_child() -> None:
    """Both ends are of one build; anything else is a fault."""
    with pytest.raises(SystemExit):
        parse([*COMMON, "--colour", "blue"])
