"""Room for answers: each connection has its own, and nobody is asked who he is while there is enough for all."""

from __future__ import annotations

import asyncio

import pytest

from fairlead_server.doors.untaken import Untaken
from fairlead_server.errors import Kind, ServingError


class Call:
    def __init__(self, peer: bytes) -> None:
        self._peer = peer
        self.asked = False

    @property
    def peer(self) -> bytes:
        self.asked = True
        return self._peer


def test_within_the_limit_nobody_is_asked() -> None:
    """The name of a connection costs more than the count."""
    untaken, calls = Untaken(100, 1), [Call(b"a"), Call(b"b")]
    outs = [untaken.answered(call, 50) for call in calls]
    assert untaken.has_room(calls[0])
    for out in outs:
        out()
    assert not any(call.asked for call in calls)


def test_one_connection_over_the_limit_does_not_hold_up_another() -> None:
    """What was counted before anybody was asked counts too, and what is out does not any more."""
    untaken, a, b = Untaken(100, 1), Call(b"a"), Call(b"b")
    outs = [untaken.answered(Call(b"a"), 60), untaken.answered(Call(b"a"), 60), untaken.answered(Call(b"b"), 60)]
    assert (untaken.has_room(a), untaken.has_room(b)) == (False, True)
    late = untaken.answered(Call(b"b"), 60)
    assert (untaken.has_room(a), untaken.has_room(b)) == (False, False)
    outs[0]()
    late()
    assert (untaken.has_room(a), untaken.has_room(b)) == (True, True)
    outs[1]()
    outs[2]()
    assert (untaken._all_bytes, untaken._unnamed, untaken._bytes) == (0, {}, {})


def test_who_waits_goes_on_as_soon_as_there_is_room() -> None:
    """And is refused when there is none in time."""

    async def story() -> None:
        untaken, call = Untaken(100, 0.2), Call(b"a")
        out = untaken.answered(Call(b"a"), 101)
        with pytest.raises(ServingError, match="101 bytes") as caught:
            await untaken.room(call)
        assert caught.value.kind is Kind.SLOW_CLIENT
        waiting = asyncio.ensure_future(untaken.room(call))
        await asyncio.sleep(0)
        out()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(story())
