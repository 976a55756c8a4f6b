"""One inference as the doors hand it to the service, and back: no protocol, no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from fairlead_server.tensors.array import Tensor


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


class InferRequest(msgspec.Struct, eq=False):
    """What a protocol decoded. `outputs` empty means all. `id` is given back as it came ("" for none)."""

    inputs: list[Tensor]
    outputs: list[RequestedOutput] = msgspec.field(default_factory=list)
    id: str = ""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Terms(NamedTuple):
    """What a request asks of the serving rather than of the model: a `deadline` in the loop's time, and a `priority`
    (1 is the highest, 0 leaves it to the model's settings)."""

    deadline: float | None = None
    priority: int = 0


NO_TERMS = Terms()


class InferResponse(msgspec.Struct, eq=False):
    model: str
    version: str
    id: str
    outputs: list[Tensor]
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


Outcome = InferResponse | BaseException
Tell = Callable[[Outcome], None]  # how whoever asked hears of it, once
