"""What the worker's doors ask of whatever answers: the service, or a fake of it.

Every method raises ServingError and nothing else. A version is a number or an alias, or None for
what the model's route chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse

_LONGEST_US = 2**64 - 1  # what gRPC can say; JSON can say more than a float holds


class InferenceService(Protocol):
    def live(self) -> bool: ...

    def ready(self) -> bool: ...

    def server_metadata(self) -> dict[str, Any]:
        """name, version, extensions."""
        ...

    def model_metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """name, versions, platform, and inputs and outputs (each a list of name, datatype, shape)."""
        ...

    def model_ready(self, model: str, version: str | None) -> bool: ...

    async def infer(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        deadline: float | None,
    ) -> InferResponse:
        """`headers` have lower-case names; `deadline` is in the loop's time."""
        ...


def deadline_of(parameters: Mapping[str, Any], now: float) -> float | None:
    """The `timeout` parameter (microseconds, 0 for none; Triton's) as a moment after `now`."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout <= _LONGEST_US:
        raise ServingError(Kind.INVALID, "the parameter timeout must be a whole number of microseconds")
    return now + timeout / 1e6 if timeout else None
