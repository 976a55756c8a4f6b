"""ghz's calls, which it tells by their ends, in both loops."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.calls import Body
from benchmark.load.ghz import counted, parse_closed, parse_open
from benchmark.load.hits import load_of

RECORDED = (Path(__file__).with_name("recorded") / "ghz.json").read_bytes()  # 50 a second; every fifth is refused


def test_every_recorded_call_is_put_in_the_order_in_which_it_began() -> None:
    hits = parse_open(RECORDED, 0.02, 50)
    assert hits.due_s.tolist() == pytest.approx([number * 0.02 for number in range(50)])
    assert list(hits.status) == ["", "", "", "", "InvalidArgument"] * 10


def test_an_open_loop_counts_from_when_a_call_was_due() -> None:
    load = load_of(parse_open(RECORDED, 0.02, 50))
    assert (load.sent, load.good, load.failed) == (50, 40, {"InvalidArgument": 10})
    assert load.most_ms >= 34.659647  # the slowest call's own time, and how late it began


def test_a_closed_loop_counts_what_each_call_took() -> None:
    load = parse_closed(RECORDED)
    assert (load.sent, load.good, load.failed) == (50, 40, {"InvalidArgument": 10})
    assert load.rate == pytest.approx(40 / 1.002022229)
    assert load.most_ms == pytest.approx(34.659647)


def test_messages_follow_their_lengths() -> None:
    data = b"".join(counted([Body(b"a" * 300, {}), Body(b"b", {})]))
    assert data == b"\xac\x02" + b"a" * 300 + b"\x01b"
