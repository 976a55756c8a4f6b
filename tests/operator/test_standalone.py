"""The loop: a registry that hangs, fails or is slow delays nothing but what it alone knows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from operator_site import KEYS, Site

from fairlead_operator import standalone
from fairlead_operator.report import Report
from fairlead_operator.standalone import Asking, Standalone
from fairlead_operator.state import RegistryUnavailable


class Board:
    """Keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def publish(self, report: Report) -> None:
        self.reports.append(report)


class Slow:
    """The site's registry, with a gate that every call has to pass."""

    def __init__(self, site: Site) -> None:
        self.inner = site.registry
        self.gate = threading.Event()
        self.gate.set()

    def open(self) -> None:
        pass

    def snapshot(self, *asked):
        self.gate.wait(20)
        return self.inner.snapshot(*asked)

    def write_tag(self, *asked):
        self.gate.wait(20)
        self.inner.write_tag(*asked)


def run(site: Site, registry: Slow, board: Board, story: Callable[[Standalone], Awaitable[None]]) -> None:
    async def main() -> None:
        operator = Standalone(registry, Asking(KEYS, "champion"), site.operator, board, 0.05)
        task = asyncio.create_task(operator.run())
        await story(operator)
        operator.stop()
        await asyncio.wait_for(task, 5)

    asyncio.run(main())


async def until(look: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(standalone, "MOVING_S", 0.02)
    site = Site()
    site.registry.register("m", "/m/1", "/m/2")
    site.registry.promote("m", "1")
    return site


def test_a_rollout_goes_on_while_the_registry_hangs(site: Site) -> None:
    """A call that hangs in the middle of a promotion: it is finished, and the operator ends without waiting."""
    registry, board = Slow(site), Board()

    async def story(operator: Standalone) -> None:
        await until(site.entry)
        registry.gate.clear()
        for _ in range(8):
            site.fleet.tick()
            await asyncio.sleep(0.05)
        await until(lambda: site.routed() == "1")

    try:
        run(site, registry, board, story)
    finally:
        registry.gate.set()


def test_the_report_says_since_when_the_registry_is_not_seen(site: Site) -> None:
    """While it fails: the last time it was seen, since when it fails, and with what. Then it is well again."""
    registry, board = Slow(site), Board()

    async def story(operator: Standalone) -> None:
        await until(lambda: board.reports and board.reports[-1].registry.seen)
        site.registry.down = "answered 503"
        await until(lambda: board.reports[-1].registry.error)
        first = board.reports[-1].registry
        assert first.error == "answered 503"
        assert first.seen is not None
        assert first.seen <= first.since
        await asyncio.sleep(0.3)
        assert board.reports[-1].registry == first
        assert site.entry() is not None
        site.registry.down = ""
        await until(lambda: not board.reports[-1].registry.error)

    run(site, registry, board, story)


def test_a_new_operator_begins_with_what_was_asked_last(site: Site) -> None:
    """Settings are not taken away by a tag that cannot be read, in the loop as it really starts."""
    model = site.registry.models["m"]
    model.tags["fairlead.settings.max_batch_size"] = "8"
    site.run()
    model.tags["fairlead.hold"] = "soon"
    site.start()
    board = Board()

    async def story(operator: Standalone) -> None:
        await until(lambda: board.reports and "SpecInvalid" in board.reports[-1].rollouts[0].conditions)

    run(site, Slow(site), board, story)
    assert site.entry().versions["1"].settings == {"max_batch_size": 8}


def test_a_tag_that_is_never_taken_holds_up_no_other(site: Site) -> None:
    """The registry refuses the tags of one model for ever: those of the other are written, and the loop goes on."""
    site.registry.register("a", "/m/3")
    site.registry.promote("a", "1")

    class Refusing(Slow):
        def write_tag(self, model: str, *rest: str) -> None:
            if model == "a":
                raise RegistryUnavailable("403: not yours")
            self.inner.write_tag(model, *rest)

    async def story(operator: Standalone) -> None:
        await until(lambda: site.fleet.tick() or site.status_tag("1") == "serving")

    run(site, Refusing(site), Board(), story)
    assert site.status_tag("1", "a") == ""


def test_what_cannot_be_stored_is_told_once(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """A full disk: the loop goes on trying, and its log does not fill what is left."""
    tries = []

    def full(*_: object) -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    site.carrier.on_write = full

    async def story(operator: Standalone) -> None:
        await until(lambda: len(tries) >= 5)

    run(site, Slow(site), Board(), story)
    assert capfd.readouterr().err.count("No space left on device") == 1
