"""An inference over gRPC and its call: whichever of them ends first, it is counted out once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fairlead_server.doors.gate import Gate
from fairlead_server.doors.rpc_infer import RpcInferDoor
from fairlead_server.doors.untaken import Untaken
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferResponse, Outcome
from fairlead_server.protocols.v2_messages import message
from fairlead_server.tensors.array import Tensor


class FakeCall:
    """The part of a call that an inference needs."""

    peer = b"ipv4:127.0.0.1:1"
    metadata = ()

    def __init__(self) -> None:
        self.gone: Callable[[], object] | None = None
        self.over = False
        self.said: list[str] = []

    def remaining_s(self) -> float:
        return math.inf

    def answer(self, _data: bytes, out: Callable[[], None]) -> None:
        self.said.append("OK")
        out()

    def refuse(self, status: str, _details: bytes, _trailers: Any = ()) -> None:
        self.said.append(status)

    def leave(self) -> None:
        self.over = True
        if self.gone is not None:
            self.gone()


class Held:
    """A service that is told when to tell."""

    def __init__(self) -> None:
        self.tells: list[Callable[[Outcome], None]] = []
        self.cancelled = 0

    def submit(self, *arguments: Any) -> Held:
        self.tells.append(arguments[-1])
        return self

    def cancel(self) -> None:
        self.cancelled += 1


ANSWER = InferResponse("m", "1", "", [Tensor("y", "FP32", np.zeros(1, np.float32))])
REQUEST = message("ModelInferRequest")(model_name="m").SerializeToString()


def begun() -> tuple[RpcInferDoor, Held, Gate, FakeCall]:
    async def make() -> tuple[RpcInferDoor, Held, Gate]:
        service, gate = Held(), Gate(10)
        return RpcInferDoor(service, gate, Untaken(100, 1)), service, gate  # type: ignore[arg-type]

    door, service, gate = asyncio.run(make())
    return door, service, gate, FakeCall()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(ANSWER, "OK"), (ServingError(Kind.NOT_READY, "no"), "UNAVAILABLE"), (ZeroDivisionError(), "INTERNAL")],
)
def test_an_outcome_is_told_and_the_call_is_counted_out(outcome: Outcome, status: str) -> None:
    """Answers and faults of every kind."""
    door, service, gate, call = begun()
    door.take(call, REQUEST)  # type: ignore[arg-type]
    assert (gate.inside, call.said) == (1, [])
    service.tells[0](outcome)
    assert (gate.inside, call.said, service.cancelled) == (0, [status], 0)


def test_a_client_that_leaves_is_counted_out_once() -> None:
    """Its request is cancelled, and an outcome that was on its way is nobody's any more."""
    door, service, gate, call = begun()
    door.take(call, REQUEST)  # type: ignore[arg-type]
    call.leave()
    service.tells[0](ANSWER)
    assert (gate.inside, call.said, service.cancelled) == (0, [], 1)


def test_who_leaves_while_it_waits_for_room_is_counted_out() -> None:
    """Before the wait has begun, or in the middle of it."""

    async def story() -> None:
        service, gate, untaken = Held(), Gate(10), Untaken(100, 60)
        door = RpcInferDoor(service, gate, untaken)  # type: ignore[arg-type]
        out = untaken.answered(FakeCall(), 101)
        calls = [FakeCall() for _ in range(3)]
        for call in calls:
            door.take(call, REQUEST)  # type: ignore[arg-type]
        calls[0].leave()
        await asyncio.sleep(0)
        calls[1].leave()
        assert (gate.inside, service.tells) == (1, [])
        out()
        await asyncio.sleep(0.01)
        assert (gate.inside, len(service.tells), gate.refused) == (1, 1, {})

    asyncio.run(story())


def test_who_has_left_before_is_not_served() -> None:
    """Nothing is submitted for a call that is over."""
    door, service, gate, call = begun()
    call.leave()
    door.take(call, REQUEST)  # type: ignore[arg-type]
    assert (gate.inside, service.tells, call.said) == (0, [], [])


def test_what_cannot_be_read_is_refused_and_noted() -> None:
    """The gate counts what no version was asked for."""
    door, service, gate, call = begun()
    door.take(call, b"\xff")  # type: ignore[arg-type]
    assert (gate.inside, gate.refused, call.said, service.tells) == (0, {"invalid": 1}, ["INVALID_ARGUMENT"], [])
