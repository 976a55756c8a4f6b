"""Asking the registry: slow answers are asked for less often, and calls that hang are left behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fairlead_operator import polling
from fairlead_operator.polling import Errands, pause_s
from fairlead_operator.state import RegistryUnavailable


@pytest.mark.parametrize(
    ("before_s", "took_s", "pause"),
    [(0.0, 0.1, 2.0), (0.1, 0.1, 2.0), (0.0, 9.0, 2.0), (0.5, 9.0, 5.0), (0.5, 0.4, 4.0), (9.0, 9.0, 15.0)],
)
def test_a_slow_registry_is_asked_less(before_s: float, took_s: float, pause: float) -> None:
    """After two slow answers in a row the pause is ten times the quicker one, up to a limit."""
    assert pause_s(2.0, before_s, took_s) == pytest.approx(pause)


def test_calls_that_hang_are_left_behind_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call beyond its time is given up; when too many hang, no more are begun."""
    monkeypatch.setattr(polling, "HUNG_S", 0.05)
    monkeypatch.setattr(polling, "LEFT_BEHIND", 2)
    free = threading.Event()

    async def main() -> None:
        errands = Errands()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await errands.run(lambda: free.wait(10))
        with pytest.raises(RegistryUnavailable, match="2 earlier calls still hang"):
            await errands.run(lambda: None)
        free.set()
        monkeypatch.setattr(polling, "HUNG_S", 10)
        deadline = time.monotonic() + 10
        while errands.under_way:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert await errands.run(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await errands.run(lambda: 1 / 0)

    asyncio.run(main())
