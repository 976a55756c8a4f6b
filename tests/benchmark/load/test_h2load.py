"""What h2load printed becomes a load; an error over gRPC is seen by the bytes that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.generator import GeneratorFailed
from benchmark.load.h2load import parse

RECORDED = Path(__file__).with_name("recorded")
PRINTED = (RECORDED / "h2load.txt").read_text()  # 250 answers of 43 bytes in 0.1 s
TIMES = (RECORDED / "h2load-times.tsv").read_text()


def test_a_recorded_run_is_read_to_the_call() -> None:
    load = parse(PRINTED, TIMES, 43, 0.1, 0.05)
    assert (load.generator, load.sent, load.good, load.failed) == ("h2load", 250, 250, {})
    assert (load.rate, load.busy, load.most_ms) == (2500, 0.5, 4.011)
    assert 0.391 <= load.p50_ms < load.p99_ms <= load.most_ms


def test_answers_without_their_bytes_are_none() -> None:
    """An error over gRPC is a 200 with a trailer and no data."""
    load = parse(PRINTED.replace("(10750) data", f"({43 * 200}) data"), TIMES, 43, 0.1, 0.05)
    assert (load.sent, load.good, load.failed) == (250, 200, {"no answer": 50})


def test_calls_that_broke_are_told_apart() -> None:
    printed = PRINTED.replace("0 failed, 0 errored, 0 timeout", "3 failed, 2 errored, 1 timeout")
    printed = printed.replace("250 2xx", "244 2xx").replace("(10750) data", f"({43 * 240}) data")
    load = parse(printed, TIMES, 43, 0.1, 0.05)
    assert (load.good, load.failed) == (240, {"no answer": 4, "failed": 6})


def test_a_run_that_breaks_off_is_said_to_have() -> None:
    with pytest.raises(GeneratorFailed, match="no figures: could not connect"):
        parse("could not connect to host", "", 43, 0.1, 0.05)
