import json
import os

import pytest

from fairlead_server import log


@pytest.fixture(autouse=True)
def _as_it_was() -> object:
    yield
    log.configure("info")


def test_a_line_carries_who_wrote_it() -> None:
    """Replica, boot and worker stand in every line, and empty names in none."""
    log.configure("info", replica="node-1", boot="b1", worker="")
    record = json.loads(log.line("info", "ready", {"port": 8000}, 12.5))
    assert record == {"ts": 12.5, "level": "info", "event": "ready", "replica": "node-1", "boot": "b1", "port": 8000}


def test_what_json_cannot_hold_is_told_by_its_repr() -> None:
    """A field of any type still makes a line, for a log must not raise."""
    assert json.loads(log.line("info", "odd", {"value": object}, 0.0))["value"] == repr(object)


def test_one_event_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of several processes on one stream cannot be torn: each is one write."""
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _fd, data: written.append(data) or len(data))
    log.configure("warning")
    log.info("left out")
    log.warning("told", text="two\nlines")
    assert len(written) == 1
    assert written[0].count(b"\n") == 1
