"""vegeta's hits, one by one, against the schedule that they were due by."""

from __future__ import annotations

from pathlib import Path

from benchmark.load.hits import load_of
from benchmark.load.vegeta import parse

RECORDED = (Path(__file__).with_name("recorded") / "vegeta.csv").read_text()  # 50 a second; every fifth is refused


def test_every_recorded_hit_is_read_in_the_order_of_the_schedule() -> None:
    hits = parse("".join(reversed(RECORDED.splitlines(keepends=True))), 0.02, 50)
    assert hits.due_s.tolist() == [number * 0.02 for number in range(50)]
    assert list(hits.status) == ["", "", "", "", "400"] * 10


def test_the_sum_of_a_recorded_run() -> None:
    load = load_of(parse(RECORDED, 0.02, 50), deadline_ms=2)
    assert (load.sent, load.good, load.failed) == (50, 40, {"400": 10})
    assert 0.9 < load.p50_ms < load.p99_ms <= load.most_ms < 10
    assert load.late + round(load.goodput * load.seconds) == 40


def test_a_request_that_found_no_server_says_why() -> None:
    row = '1,0,10,0,0,"Post ""http://h/"": dial tcp 127.0.0.1:0->127.0.0.1:1: connect: connection refused",,,0,POST,u,'
    assert list(parse(row, 0.02, 1).status) == ["connection refused"]


def test_no_hit_at_all_is_no_answer() -> None:
    load = load_of(parse("", 0.02, 50))
    assert (load.sent, load.good, load.failed, load.rate) == (0, 0, {"never sent": 50}, 0.0)
