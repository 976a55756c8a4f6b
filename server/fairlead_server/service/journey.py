"""One request from its route to its answer, whatever protocol it came by.

    find the version --lease--> check the signature --> queue --> answer, named by the version that gave it
          |                          |                    |
       NOT_FOUND, NOT_READY        INVALID     OVERLOADED, DEADLINE, REJECTED, INTERNAL

It knows neither status codes nor bytes, nor how a version came to be ready. All of it runs on the loop's thread.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Mapping
from typing import Any

from fairlead_server.catalog.leases import Lease
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse
from fairlead_server.routing import choose
from fairlead_server.service.handle import Handle

Catalog = WorkerCatalog[Any, Handle]


class Service:
    """`refused` counts the requests that reached no version, by error kind; what a version refuses it counts itself."""

    def __init__(self, catalog: Catalog, *, draw: Callable[[], float] = random.random) -> None:
        self._catalog = catalog
        self._draw = draw
        self.refused: collections.Counter[str] = collections.Counter()

    async def infer(
        self, model: str, version: str | None, request: InferRequest, headers: Mapping[str, str], deadline: float | None
    ) -> InferResponse:
        """`headers` by lower-case name; `deadline` in seconds of time.monotonic. A caller that is cancelled gives
        its place in the queue and its lease back."""
        try:
            lease = self._catalog.lease(model, version or self._routed(model, request, headers))
        except ServingError as error:
            self.refused[error.kind.value] += 1
            raise
        with lease:
            return await self._through(model, lease, request, deadline)

    async def _through(
        self, model: str, lease: Lease[Handle], request: InferRequest, deadline: float | None
    ) -> InferResponse:
        handle = lease.handle
        checker, batcher = handle.checker, handle.batcher
        try:
            inputs, names = checker.inputs(request), checker.outputs(request.outputs)
        except ServingError as error:
            batcher.counts.failed(error.kind.value)
            raise
        answer = await batcher.submit(inputs, None, names, deadline)
        return InferResponse(model, lease.version, request.id, checker.answer(names, answer.outputs))

    def _routed(self, model: str, request: InferRequest, headers: Mapping[str, str]) -> str:
        route = self._catalog.route(model)

        def header(name: str) -> str | None:
            return headers.get(name.lower())

        def parameter(name: str) -> str | None:
            return _text(request.parameters.get(name))

        version = choose(route, self._draw(), header, parameter, model)
        if version is None:
            raise ServingError(Kind.NOT_READY, f"model '{model}' is not ready: no version of its route has a weight")
        return version


def _text(value: object) -> str | None:
    """A parameter as a route's match writes it: JSON's words for what is not text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None
