"""One inference as the doors hand it to the service, and back: no protocol, no model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fairlead_server.tensors.array import Tensor


@dataclasses.dataclass(slots=True)
class RequestedOutput:
    name: str
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class InferRequest:
    """What a protocol decoded. `outputs` empty means all. `id` is given back as it came ("" for none)."""

    inputs: list[Tensor]
    outputs: list[RequestedOutput] = dataclasses.field(default_factory=list)
    id: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Terms(NamedTuple):
    """What a request asks of the serving rather than of the model: a `deadline` in the loop's time, and a `priority`
    (1 is the highest, 0 leaves it to the model's settings)."""

    deadline: float | None = None
    priority: int = 0


NO_TERMS = Terms()


@dataclasses.dataclass(slots=True)
class InferResponse:
    model: str
    version: str
    id: str
    outputs: list[Tensor]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Outcome = InferResponse | BaseException
Tell = Callable[[Outcome], None]  # how whoever asked hears of it, once
