"""One request from its route to its answer, whatever protocol it came by.

    find the version --lease--> check the signature --> queue --> answer, named by the version that gave it
          |                          |                    |
       NOT_FOUND, NOT_READY        INVALID     OVERLOADED, DEADLINE, REJECTED, INTERNAL

It knows neither status codes nor bytes, nor how a version came to be ready. All of it runs on the loop's thread.
"""

from __future__ import annotations

import collections
import random
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from fairlead_server import log
from fairlead_server.batching.request import BatchAnswer
from fairlead_server.catalog.leases import Lease
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import InferRequest, InferResponse, Outcome, Tell, Terms
from fairlead_server.routing import choose, drawn
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

    def model_configuration(self, model: str, version: str | None) -> dict[str, Any]:
        """Of the same version as `model_metadata`."""
        with self._catalog.lease(model, version or self._main(model)) as lease:
            return metadata.configuration_of(model, lease.handle.signature)

    def model_ready(self, model: str, version: str | None) -> bool:
        """NOT_FOUND for what is unknown."""
        try:
            with self._catalog.lease(model, version or self._main(model)):
                return True
        except ServingError as error:
            if error.kind is not Kind.NOT_READY:
                raise
            return False

    def submit(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        terms: Terms,
        tell: Tell,
    ) -> UnderWay:
        """Begin one inference. `tell` is called once with its outcome, later, on the loop's thread, unless it is
        cancelled before. Raises ServingError for what is refused at once.

        `headers` by lower-case name; the deadline in seconds of time.monotonic."""
        try:
            lease = self._catalog.lease(model, version or self._routed(model, request, headers))
        except ServingError as error:
            self.refused[error.kind.value] += 1
            raise
        try:
            return UnderWay(model, lease, request, terms, tell)
        except BaseException:
            lease.release()
            raise

    def _routed(self, model: str, request: InferRequest, headers: Mapping[str, str]) -> str:
        route = self._catalog.route(model)
        if route.sticky is None and not route.matches:  # nothing that the request says has a part in the choice
            return drawn(route.weights, self._draw()) or _nowhere(model)

        def header(name: str) -> str | None:
            return headers.get(name.lower())

        def parameter(name: str) -> str | None:
            return _text(request.parameters.get(name))

        return choose(route, self._draw(), header, parameter, model) or _nowhere(model)

    def _main(self, model: str) -> str:
        weights = self._catalog.route(model).weights
        version = max(weights, key=lambda name: weights[name], default=None)
        return version if version is not None and weights[version] > 0 else _nowhere(model)


class UnderWay:
    """One inference in the queue or in a run: under a lease until it is told or cancelled.

    To the batcher it is who awaits the answer, and hands it on at once: no turn of the loop, no future for each."""

    __slots__ = ("_at_end", "_done", "_lease", "_model", "_names", "_request", "_tell")

    def __init__(self, model: str, lease: Lease[Handle], request: InferRequest, terms: Terms, tell: Tell) -> None:
        checker, batcher = lease.handle.checker, lease.handle.batcher
        try:
            inputs, self._names = checker.inputs(request), checker.outputs(request.outputs)
        except ServingError as error:
            batcher.counts.failed(error.kind.value)
            raise
        self._model, self._lease, self._request, self._tell = model, lease, request, tell
        self._done = False
        self._at_end: tuple[Callable[[UnderWay], object], ...] = ()
        batcher.queue(self, inputs, None, self._names, terms.deadline, terms.priority)

    def cancel(self) -> None:
        """Give the place in the queue and the lease back, and tell nobody. Nothing happens once it is told."""
        if not self._done:
            self._tell = _nobody
            self._end()

    # What the batcher asks and tells.

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._tell is _nobody

    def set_result(self, answer: BatchAnswer) -> None:
        self._end()
        lease = self._lease
        try:
            outputs = lease.handle.checker.answer(self._names, answer.outputs)
        except Exception as fault:  # a session that gives other outputs than it says
            self._hand_on(fault)
        else:
            self._hand_on(InferResponse(self._model, lease.version, self._request.id, outputs))

    def set_exception(self, error: ServingError) -> None:
        self._end()
        self._hand_on(error)

    def add_done_callback(self, call: Callable[[UnderWay], object]) -> None:
        self._at_end = (*self._at_end, call)

    def _end(self) -> None:
        self._done = True
        self._lease.release()
        for call in self._at_end:
            call(self)

    def _hand_on(self, outcome: Outcome) -> None:
        """Whatever becomes of it, those who shared the run are told, too (rule 3)."""
        try:
            self._tell(outcome)
        except Exception:
            log.error("an answer was lost", model=self._model, trace=traceback.format_exc())


def _nobody(_outcome: Outcome) -> None:
    return None


def _nowhere(model: str) -> NoReturn:
    raise ServingError(Kind.NOT_READY, f"model '{model}' is not ready: no version of its route has a weight")


def _text(value: object) -> str | None:
    """A parameter as a route's match writes it: JSON's words for what is not text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None
