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
from typing import Any, NoReturn

from fairlead_server.catalog.leases import Lease
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse, Terms
from fairlead_server.routing import choose
from fairlead_server.service import metadata
from fairlead_server.service.handle import Handle

Catalog = WorkerCatalog[Any, Handle]


class Service:
    """`refused` counts the requests that reached no version, by error kind; what a version refuses it counts itself.
    `accepting` is the worker's word on whether its doors are open."""

    def __init__(self, catalog: Catalog, *, build: str = "", draw: Callable[[], float] = random.random) -> None:
        self._catalog = catalog
        self._build = build
        self._draw = draw
        self.accepting = False
        self.refused: collections.Counter[str] = collections.Counter()

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return self.accepting

    def server_metadata(self) -> dict[str, Any]:
        return metadata.of_server(self._build)

    def model_metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """Of this version; without one, of the version that the route gives most to."""
        with self._catalog.lease(model, version or self._main(model)) as lease:
            return metadata.of_model(model, self._catalog.ready_versions(model), lease.handle.signature)

    def model_ready(self, model: str, version: str | None) -> bool:
        """NOT_FOUND for what is unknown."""
        try:
            with self._catalog.lease(model, version or self._main(model)):
                return True
        except ServingError as error:
            if error.kind is not Kind.NOT_READY:
                raise
            return False

    async def infer(
        self, model: str, version: str | None, request: InferRequest, headers: Mapping[str, str], terms: Terms
    ) -> InferResponse:
        """`headers` by lower-case name; the deadline in seconds of time.monotonic. A caller that is cancelled gives
        its place in the queue and its lease back."""
        try:
            lease = self._catalog.lease(model, version or self._routed(model, request, headers))
        except ServingError as error:
            self.refused[error.kind.value] += 1
            raise
        with lease:
            return await self._through(model, lease, request, terms)

    async def _through(self, model: str, lease: Lease[Handle], request: InferRequest, terms: Terms) -> InferResponse:
        handle = lease.handle
        checker, batcher = handle.checker, handle.batcher
        try:
            inputs, names = checker.inputs(request), checker.outputs(request.outputs)
        except ServingError as error:
            batcher.counts.failed(error.kind.value)
            raise
        answer = await batcher.submit(inputs, None, names, terms.deadline, terms.priority)
        return InferResponse(model, lease.version, request.id, checker.answer(names, answer.outputs))

    def _routed(self, model: str, request: InferRequest, headers: Mapping[str, str]) -> str:
        route = self._catalog.route(model)

        def header(name: str) -> str | None:
            return headers.get(name.lower())

        def parameter(name: str) -> str | None:
            return _text(request.parameters.get(name))

        return choose(route, self._draw(), header, parameter, model) or _nowhere(model)

    def _main(self, model: str) -> str:
        weights = self._catalog.route(model).weights
        version = max(weights, key=lambda name: weights[name], default=None)
        return version if version is not None and weights[version] > 0 else _nowhere(model)


def _nowhere(model: str) -> NoReturn:
    raise ServingError(Kind.NOT_READY, f"model '{model}' is not ready: no version of its route has a weight")


def _text(value: object) -> str | None:
    """A parameter as a route's match writes it: JSON's words for what is not text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None
