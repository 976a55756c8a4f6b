"""perf_analyzer's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.generator import GeneratorFailed
from benchmark.load.perf_analyzer import parse

RECORDED = (Path(__file__).with_name("recorded") / "perf_analyzer.csv").read_text()


def test_a_recorded_table_is_a_load() -> None:
    load = parse(RECORDED, 6.0, 3.0)
    assert (load.rate, load.p50_ms, load.p99_ms, load.busy) == (3224.76, 9.135, 21.778, 0.5)


def test_an_empty_table_is_a_failure() -> None:
    with pytest.raises(GeneratorFailed, match="no figures"):
        parse("", 6.0, 3.0)
