"""What wrk printed becomes a load; what it is told to send is what the call says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.calls import Body, Call
from benchmark.load.generator import GeneratorFailed
from benchmark.load.wrk import parse, write_script

RECORDED = Path(__file__).with_name("recorded")


def test_a_recorded_run_is_read_to_the_request() -> None:
    load = parse((RECORDED / "wrk.txt").read_text())
    assert (load.generator, load.sent, load.good, load.failed) == ("wrk", 2145, 2145, {})
    assert load.rate == pytest.approx(1950.62, abs=0.01)  # as wrk's own table has it
    assert (load.p50_ms, load.p99_ms, load.p999_ms, load.most_ms) == (2.04, 8.519, 10.124, 10.206)


def test_answers_that_are_errors_are_no_good_ones() -> None:
    printed = (
        (RECORDED / "wrk.txt").read_text().replace('"status":0', '"status":145').replace('"timeout":0', '"timeout":2')
    )
    load = parse(printed)
    assert (load.sent, load.good, load.failed) == (2147, 2000, {"status": 145, "timeout": 2})


def test_a_wrk_that_breaks_off_is_said_to_have() -> None:
    with pytest.raises(GeneratorFailed, match="no figures: unable to connect"):
        parse("unable to connect\n")


def test_one_body_is_given_to_wrk_as_its_own(tmp_path: Path) -> None:
    """wrk then makes the request's bytes once."""
    body = Body(b"\x00raw", {"Content-Type": "application/octet-stream", "X-Quoted": 'a"b'})
    script = write_script(tmp_path, Call("binary", "127.0.0.1:1", "/", (body,))).read_text()
    assert (tmp_path / "body0").read_bytes() == body.data
    assert 'wrk.headers = {["Content-Type"] = "application/octet-stream", ["X-Quoted"] = "a\\"b"}' in script
    assert "function request" not in script


def test_several_bodies_are_sent_in_turn(tmp_path: Path) -> None:
    bodies = tuple(Body(bytes([number]), {"X-Number": str(number)}) for number in range(3))
    script = write_script(tmp_path, Call("binary", "127.0.0.1:1", "/", bodies)).read_text()
    assert [(tmp_path / f"body{number}").read_bytes() for number in range(3)] == [b"\x00", b"\x01", b"\x02"]
    assert script.count("wrk.format(") == 3
    assert "at = at % 3 + 1" in script
