"""Whether one more version fits, and where the limit comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead_server.supervisor.memory import (
    PROCESS_BYTES,
    REPLICA_BYTES,
    Need,
    both_fit,
    gpu_both_fit,
    gpu_refusal,
    limit_bytes,
    refusal,
)

MIB = 2**20
FIXED = REPLICA_BYTES + 2 * PROCESS_BYTES  # one worker, and a trial or successor


@pytest.mark.parametrize(
    ("need", "limit", "held", "refused", "never"),
    [
        (Need(100 * MIB, True), FIXED + 100 * MIB, [], False, False),
        (Need(100 * MIB, True), FIXED + 99 * MIB, [], True, True),
        (Need(100 * MIB, True), FIXED + 150 * MIB, [60 * MIB], True, False),
        (Need(50 * MIB, False), FIXED + 200 * MIB, [], False, False),
        (Need(50 * MIB, False), FIXED + 199 * MIB, [], True, True),
    ],
)
def test_what_fits(need: Need, limit: int, held: list[int], refused: bool, never: bool) -> None:
    """A proven version counts once for each worker; an unproven one twice its files, and in its trial too."""
    reason, hopeless = refusal(need, limit, 1, held)
    assert (bool(reason), hopeless) == (refused, never)
    assert not refused or "give the pool more memory" in reason


@pytest.mark.parametrize(
    ("gpu", "proven", "limit", "held", "says", "never"),
    [
        (None, True, 1 * MIB, 900 * MIB, "", False),
        (0, True, 0, 0, "", False),
        (500 * MIB, False, 0, 900 * MIB, "", False),
        (500 * MIB, False, 1000 * MIB, 0, "", False),
        (500 * MIB, True, 1000 * MIB, 500 * MIB, "", False),
        (500 * MIB, True, 1000 * MIB, 501 * MIB, "1001 MiB with what is loaded", False),
        (500 * MIB, False, 999 * MIB, 0, "1000 MiB even alone", True),
        (0, True, 1000 * MIB, 0, "set gpu_mem_limit_bytes", True),
    ],
)
def test_what_fits_on_the_gpu(gpu: int | None, proven: bool, limit: int, held: int, says: str, never: bool) -> None:
    """A session's limit counts, in its trial too; where the replica has a limit, each of its sessions needs one."""
    reason, hopeless = gpu_refusal(Need(1, proven, gpu), limit, 1, held)
    assert (says in reason, bool(says), hopeless) == (True, bool(reason), never)


def test_a_successor_needs_room_on_the_gpu() -> None:
    """For all that the old worker holds there, unless nobody counts."""
    assert gpu_both_fit(1000 * MIB, 1, 500 * MIB)
    assert not gpu_both_fit(1000 * MIB, 1, 501 * MIB)
    assert gpu_both_fit(0, 1, 501 * MIB)


def test_a_successor_needs_room_for_all_models() -> None:
    """Where memory does not hold both, the old worker leaves first."""
    limit = FIXED + 200 * MIB
    assert both_fit(limit, 1, [100 * MIB])
    assert not both_fit(limit, 1, [101 * MIB])


@pytest.mark.parametrize(
    ("group", "files", "wanted"),
    [
        ("0::/", {"memory.max": "1000000"}, 1000000),
        ("0::/a/b", {"a/memory.max": "500000", "a/b/memory.max": "max"}, 500000),
        ("4:memory:/x\n0::/", {"memory/x/memory.limit_in_bytes": "700000"}, 700000),
    ],
)
def test_the_container_tells_its_limit(tmp_path: Path, group: str, files: dict[str, str], wanted: int) -> None:
    """Of cgroup v2 and v1, the least of its own group and those above it."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group + "\n")
    for name, text in files.items():
        (tmp_path / "cg" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cg" / name).write_text(text + "\n")
    assert limit_bytes(0, tmp_path / "cg", tmp_path / "proc") == wanted
    assert limit_bytes(42, tmp_path / "cg", tmp_path / "proc") == 42
