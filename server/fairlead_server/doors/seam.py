"""What the worker's doors ask of whatever answers: the service, or a fake of it.

Every method raises ServingError and nothing else. A version is a number or an alias, or None for
what the model's route chooses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import NO_TERMS, InferRequest, Tell, Terms

TIMEOUT = "x-request-timeout-ms"
_PROXY_TIMEOUT = "x-envoy-expected-rq-timeout-ms"
TIMEOUTS = (TIMEOUT, _PROXY_TIMEOUT)
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

    def model_configuration(self, model: str, version: str | None) -> dict[str, Any]:
        """name, platform, max_batch_size, and input and output (each a list of name, data_type, dims), as Triton has
        them."""
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
        """Begin one inference; `tell` is called once with its outcome, later, unless it is cancelled before.
        `headers` have lower-case names."""
        ...


def terms_of(parameters: Mapping[str, Any], headers: Mapping[str, str], now: float) -> Terms:
    """What the request asks of the serving: the nearest of its deadlines, and its priority.

    Parameters as in Triton: `timeout` (microseconds, 0 for none) and `priority` (0 for the model's default). Headers,
    in milliseconds: ours, and Envoy's, which proxies set without the client's knowledge. `now` is the loop's time.
    """
    timeout_s = min(_of_parameter(parameters), _of_header(headers), _of_proxy(headers))
    priority = parameters.get("priority", 0) if parameters else 0
    if type(priority) is not int or not 0 <= priority <= _LARGEST:
        raise ServingError(Kind.INVALID, "the parameter priority must be a whole number")
    if timeout_s == math.inf and not priority:
        return NO_TERMS
    return Terms(now + timeout_s if timeout_s < math.inf else None, priority)


def _of_parameter(parameters: Mapping[str, Any]) -> float:
    timeout = parameters.get("timeout", 0) if parameters else 0
    if type(timeout) is not int or not 0 <= timeout <= _LARGEST:
        raise ServingError(Kind.INVALID, "the parameter timeout must be a whole number of microseconds")
    return timeout / 1e6 or math.inf


def _of_header(headers: Mapping[str, str]) -> float:
    if TIMEOUT not in headers:
        return math.inf
    milliseconds = _whole(headers[TIMEOUT])
    if not milliseconds:
        raise ServingError(Kind.INVALID, f"{TIMEOUT} must be a whole number of milliseconds above 0")
    return milliseconds / 1e3


def _of_proxy(headers: Mapping[str, str]) -> float:
    """Nobody asked the client for it, so what is wrong with it is not the client's fault."""
    return _whole(headers[_PROXY_TIMEOUT]) / 1e3 or math.inf if _PROXY_TIMEOUT in headers else math.inf


def _whole(text: str) -> int:
    """0 for what is no whole number; a number too large for a clock counts as the largest."""
    return min(int(text[:20]), _LARGEST) if text.isascii() and text.isdigit() else 0
