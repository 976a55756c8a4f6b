"""What the worker's doors ask of whatever answers: the service, or a fake of it.

Every method raises ServingError and nothing else. A version is a number or an alias, or None for
what the model's route chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse, Tell, Terms

_LARGEST = 2**64 - 1  # what gRPC can say; JSON can say more than a float holds


class UnderWay(Protocol):
    """An inference that was begun."""

    def cancel(self) -> object:
        """Nobody waits for it any more: `tell` will not be called."""
        ...


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

    def submit(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        terms: Terms,
        tell: Tell,
    ) -> UnderWay:
        """Begin one inference; `tell` is called once with its outcome, later, unless it is cancelled before."""
        ...

    async def infer(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        terms: Terms,
    ) -> InferResponse:
        """`submit`, awaited. `headers` have lower-case names."""
        ...


def terms_of(parameters: Mapping[str, Any], headers: Mapping[str, str], now: float) -> Terms:
    """What the request asks of the serving: the nearest of its deadlines, and its priority.

    Parameters as in Triton: `timeout` (microseconds, 0 for none) and `priority` (0 for the model's default).
    """
    timeout, priority = parameters.get("timeout", 0), parameters.get("priority", 0)
    if type(timeout) is not int or not 0 <= timeout <= _LARGEST:
        raise ServingError(Kind.INVALID, "the parameter timeout must be a whole number of microseconds")
    if type(priority) is not int or not 0 <= priority <= _LARGEST:
        raise ServingError(Kind.INVALID, "the parameter priority must be a whole number")
    return Terms(now + timeout / 1e6 if timeout else None, priority)
