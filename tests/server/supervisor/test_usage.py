"""What a replica says of how much of it is used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead_server.link.messages import Histogram, VersionCounts
from fairlead_server.supervisor.usage import Look, Meter, Processor, Usage, between, processor_of

M = ("m", "1")


def counts(
    requests: int = 0, queue_us: int = 0, run_us: int = 0, batch: int = 1, later_us: int = 0, **failures: int
) -> VersionCounts:
    """`batch` requests share each run."""
    return VersionCounts(
        model="m", version="1", requests=requests, failures=failures, rows=requests, runs=requests // batch,
        request_us=0, queue_us=queue_us, input_us=0, infer_us=run_us * batch, output_us=0,
        latency=Histogram([], 0.0), batch_rows=Histogram([], 0.0), queued_rows=0, leases=0,
        run_us=run_us, later_us=later_us,
    )  # fmt: skip


def usage(before: Look, after: Look, cores: int = 4, gpu: bool = False, slo_ms: float = 0.0) -> Usage | None:
    return between(before, after, cores, gpu, {M: slo_ms})


def test_the_share_of_the_cores() -> None:
    """Two workers that spent six of forty core-seconds."""
    before = Look(0.0, {1: Processor(5.0, 1.0), 2: Processor(0.0, 0.0)}, {})
    after = Look(10.0, {1: Processor(9.0, 1.5), 2: Processor(2.0, 0.5)}, {})
    assert usage(before, after) == Usage(0.15)


def test_a_full_event_loop_is_a_full_replica() -> None:
    """However many cores there are beside it."""
    before, after = Look(0.0, {1: Processor(0.0, 0.0)}, {}), Look(10.0, {1: Processor(9.9, 9.5)}, {})
    assert usage(before, after, cores=16) == Usage(0.95)


def test_time_in_which_a_gpu_runs() -> None:
    """It counts where there is one; the processor waits meanwhile."""
    before = Look(0.0, {1: Processor(0.0, 0.0)}, {M: counts()})
    after = Look(10.0, {1: Processor(1.0, 0.5)}, {M: counts(100, run_us=8_000_000)})
    assert usage(before, after, gpu=True) == Usage(0.8)
    assert usage(before, after) == Usage(0.05)


def test_a_run_of_many_requests_is_one_run() -> None:
    """Ten runs a second of 12 ms, each of 32 requests: the GPU is idle for most of the time."""
    before = Look(0.0, {1: Processor(0.0, 0.0)}, {M: counts()})
    after = Look(10.0, {1: Processor(0.0, 0.0)}, {M: counts(3200, run_us=1_200_000, batch=32)})
    assert usage(before, after, gpu=True) == Usage(0.12)


@pytest.mark.parametrize(("slo_ms", "share"), [(0.0, 0.2), (50.0, 0.4)])
def test_waiting_by_the_slo(slo_ms: float, share: float) -> None:
    """20 ms on average, of the SLO or of 100 ms."""
    before = Look(0.0, {1: Processor(0.0, 0.0)}, {M: counts(50, 1_000_000)})
    after = Look(1.0, {1: Processor(0.0, 0.0)}, {M: counts(150, 3_000_000)})
    assert usage(before, after, slo_ms=slo_ms) == Usage(0.0, queue=share)


def test_a_large_request_waits_until_its_first_part_runs() -> None:
    """Ten of 16 parts, each of 5 ms after the one before: their own runs are no want of replicas."""
    later_us = 10 * sum(part * 5_000 for part in range(1, 16))
    before = Look(0.0, {1: Processor(0.0, 0.0)}, {M: counts()})
    after = Look(1.0, {1: Processor(0.0, 0.0)}, {M: counts(10, later_us + 10_000, later_us=later_us)})
    assert usage(before, after) == Usage(0.0, queue=0.01)


def test_what_was_refused() -> None:
    """For want of time or room, and for nothing else."""
    before = Look(0.0, {1: Processor(0.0, 0.0)}, {M: counts(100, invalid=10)})
    after = Look(1.0, {1: Processor(0.0, 0.0)}, {M: counts(180, invalid=20, overloaded=6, deadline=4)})
    assert usage(before, after) == Usage(0.0, refused=0.1)


def test_a_restart_is_no_negative_count() -> None:
    """A worker that was not there before is left out once; a version that begins anew counts from zero."""
    before = Look(0.0, {1: Processor(50.0, 9.0)}, {M: counts(1000, 10**9)})
    after = Look(1.0, {2: Processor(0.5, 0.1)}, {M: counts(10, 10_000)})
    assert usage(before, after) is None
    assert usage(Look(0.0, {2: Processor(0.0, 0.0)}, before.versions), after) == Usage(0.125, queue=0.01)


def test_asked_too_soon_it_says_what_it_said() -> None:
    """Serve asks several times a second; a share of so short a time would be one of anything."""
    meter, me = Meter(cores=1, gpu=False), [os.getpid()]
    assert meter.read(0.0, me, {M: counts()}, {}) is None
    assert meter.read(0.3, me, {M: counts()}, {}) is None
    told = meter.read(0.6, me, {M: counts(9, overloaded=1)}, {})
    assert told is not None
    assert told.refused == 0.1
    assert meter.read(0.9, me, {M: counts(9, overloaded=1)}, {}) == told
    later = meter.read(1.2, me, {M: counts(9, overloaded=1)}, {})
    assert later is not None
    assert later.refused == 0.0


def test_a_real_process() -> None:
    """Its processor time grows while it works; one that has ended has none."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                spent = processor_of(process.pid)
                if spent is not None and spent.loop_s > 0.05:
                    break
                time.sleep(0.02)
            assert spent is not None
            assert 0.05 < spent.loop_s <= spent.all_s
        finally:
            process.kill()
    assert processor_of(process.pid) is None


def test_a_name_with_brackets(tmp_path: Path) -> None:
    """The fields are counted after the last one."""
    pid = os.getpid()
    (tmp_path / f"{pid}/task/{pid}").mkdir(parents=True)
    line = f"{pid} (a) b) S " + " ".join(["0"] * 10) + " 150 50 0"
    for path in (tmp_path / f"{pid}/stat", tmp_path / f"{pid}/task/{pid}/stat"):
        path.write_text(line)
    tick = os.sysconf("SC_CLK_TCK")
    assert processor_of(pid, tmp_path) == Processor(200 / tick, 200 / tick)
