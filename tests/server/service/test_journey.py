"""A request from its route to its answer, on the real catalog and the real batcher."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.batcher import Batcher
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.threads import RunThreads
from fairlead_server.catalog.version import Open
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.catalog import Match, Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.inference import NO_TERMS, InferRequest, InferResponse, Outcome, RequestedOutput, Terms
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.service.handle import Handle
from fairlead_server.service.journey import Catalog, Service
from fairlead_server.tensors.array import Tensor

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("sum", "FP32", (-1,)), TensorSpec("version", "FP32", (-1,)))
)


class World:
    """A worker's catalog with versions whose model adds two numbers and names itself. `gate` holds runs up."""

    def __init__(self, *versions: str, route: Route, settings: VersionSettings | None = None) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.ran: list[tuple[str, ...]] = []
        self.catalog: Catalog = Catalog()
        self.service = Service(self.catalog, draw=lambda: 0.5)
        self._threads = RunThreads(2)
        entry = WorkerEntry({v: f"uid-{v}" for v in versions}, {"champion": versions[0]}, route)
        self.catalog.apply(1, {"adder": entry})
        for version in versions:
            self._open(version, settings or VersionSettings())

    def _open(self, version: str, settings: VersionSettings) -> None:
        def run(inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
            self.gate.wait(10)
            self.ran.append(tuple(outputs))
            total = inputs["x"].sum(axis=1)
            return {name: total if name == "sum" else np.full_like(total, float(version)) for name in outputs}

        turn = TurnBudget()
        profile = Profile(batching=True)
        batcher = Batcher(run, SIGNATURE, settings, profile, turn=turn, threads=self._threads)
        uid = f"uid-{version}"
        self.catalog.load(uid, "adder", version, None)
        self.catalog.begin(Open(uid))
        self.catalog.opened(uid, Handle(SIGNATURE, profile, batcher, lambda: None))

    def counts(self, version: str) -> Any:
        handle = self.catalog.versions[f"uid-{version}"].handle
        assert handle is not None
        return handle.batcher.counts

    async def ask(
        self,
        version: str | None = None,
        request: InferRequest | None = None,
        deadline: float | None = None,
        **headers: str,
    ) -> tuple[str, dict[str, list[float]]]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await infer(self.service, "adder", version, request or adding(), names, Terms(deadline))
        return answer.version, {output.name: output.array.tolist() for output in answer.outputs}


async def infer(
    service: Service, model: str, version: str | None, request: InferRequest, headers: dict[str, str], terms: Terms
) -> InferResponse:
    """`submit`, awaited; a caller that is cancelled cancels what it began."""
    answer: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()

    def tell(outcome: Outcome) -> None:
        if isinstance(outcome, InferResponse):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)

    under_way = service.submit(model, version, request, headers, terms, tell)
    try:
        return await answer
    finally:
        under_way.cancel()


def adding(*outputs: str, **parameters: Any) -> InferRequest:
    array = np.array([[1, 2], [3, 4]], np.float32)
    return InferRequest([Tensor("x", "FP32", array)], [RequestedOutput(name) for name in outputs], "an id", parameters)


def refusal(error: pytest.ExceptionInfo[ServingError]) -> tuple[Kind, str]:
    return error.value.kind, error.value.message


def test_an_answer_names_the_version_that_gave_it() -> None:
    """By route, by number and by alias: the version, the id and all outputs."""

    async def story() -> None:
        world = World("3", "4", route=Route({"4": 1.0}))
        assert await world.ask() == ("4", {"sum": [3.0, 7.0], "version": [4.0, 4.0]})
        assert await world.ask("3") == ("3", {"sum": [3.0, 7.0], "version": [3.0, 3.0]})
        assert (await world.ask("champion"))[0] == "3"
        answer = await infer(world.service, "adder", None, adding(), {}, NO_TERMS)
        assert (answer.model, answer.version, answer.id) == ("adder", "4", "an id")
        assert (world.counts("3").requests, world.counts("4").requests, world.catalog.leases) == (2, 2, 0)

    asyncio.run(story())


def test_only_the_outputs_asked_for_are_run() -> None:
    """The subset goes down to the run, and comes back in the order asked for."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}))
        assert (await world.ask(request=adding("version")))[1] == {"version": [3.0, 3.0]}
        assert world.ran == [("version",)]

    asyncio.run(story())


def test_a_header_or_a_parameter_chooses_the_version() -> None:
    """Header names in any case; a parameter's value as JSON writes it."""

    async def story() -> None:
        matches = (Match("4", "beta", header="X-Group"), Match("4", "true", parameter="test"))
        world = World("3", "4", route=Route({"3": 1.0}, None, matches))
        assert (await world.ask(x_group="beta"))[0] == "4"
        assert (await world.ask(request=adding(test=True)))[0] == "4"
        assert (await world.ask(request=adding(test=1.5)))[0] == "3"
        assert (await world.ask(request=adding(test=[1])))[0] == "3"

    asyncio.run(story())


def test_what_reaches_no_version_is_counted_by_its_kind() -> None:
    """Unknown model, unknown version, and a route without a weight."""

    async def story() -> None:
        world = World("3", route=Route({"3": 0.0}))
        with pytest.raises(ServingError) as caught:
            await world.ask()
        assert refusal(caught) == (Kind.NOT_READY, "model 'adder' is not ready: no version of its route has a weight")
        with pytest.raises(ServingError, match="no version or alias '9'"):
            await world.ask("9")
        with pytest.raises(ServingError, match="no model 'other'"):
            await infer(world.service, "other", None, adding(), {}, NO_TERMS)
        assert world.service.refused == {"not_ready": 1, "not_found": 2}

    asyncio.run(story())


def test_a_request_that_does_not_fit_is_the_versions_failure() -> None:
    """It reached the version, so it counts there, and its lease is back."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}))
        for request in (InferRequest([]), adding("logits")):
            with pytest.raises(ServingError) as caught:
                await world.ask(request=request)
            assert caught.value.kind is Kind.INVALID
        assert (world.counts("3").failures, world.service.refused) == ({"invalid": 2}, {})
        assert world.catalog.leases == 0

    asyncio.run(story())


def test_a_cancelled_caller_gives_its_lease_back_and_hurts_nobody() -> None:
    """The one beside it in the batch is answered."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}))
        world.gate.clear()
        first, second, third = (asyncio.ensure_future(world.ask()) for _ in range(3))
        await asyncio.sleep(0.05)
        assert world.catalog.leases == 3
        second.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert world.catalog.leases == 2
        world.gate.set()
        answers = await asyncio.wait_for(asyncio.gather(first, third), 5)
        assert [version for version, _ in answers] == ["3", "3"]
        assert (second.cancelled(), world.catalog.leases) == (True, 0)

    asyncio.run(story())


def test_the_settings_bring_a_deadline_to_requests_without_one() -> None:
    """slo_ms is the deadline of a request that brings none; its own wins."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}), settings=VersionSettings(slo_ms=50))
        world.gate.clear()
        running = asyncio.ensure_future(world.ask(deadline=asyncio.get_running_loop().time() + 60))
        await asyncio.sleep(0.02)
        with pytest.raises(ServingError) as caught:
            await asyncio.wait_for(world.ask(), 5)
        assert caught.value.kind is Kind.DEADLINE
        world.gate.set()
        assert (await asyncio.wait_for(running, 5))[0] == "3"

    asyncio.run(story())


def test_readiness_is_told_by_model_and_version() -> None:
    """By route, number or alias; what is not there is NOT_FOUND, what is there and not ready is false."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}))
        world.catalog.apply(2, {"adder": WorkerEntry({"3": "uid-3", "4": "uid-4"}, {"next": "4"}, Route({"3": 1.0}))})
        service = world.service
        assert [service.model_ready("adder", name) for name in (None, "3", "4", "next")] == [True, True, False, False]
        for model, version in (("other", None), ("adder", "9")):
            with pytest.raises(ServingError) as caught:
                service.model_ready(model, version)
            assert caught.value.kind is Kind.NOT_FOUND
        assert (service.live(), service.ready()) == (True, False)
        service.accepting = True
        assert service.ready()

    asyncio.run(story())


def test_metadata_tells_the_ready_versions_and_the_tensors() -> None:
    """Without a version it is the one with the most weight; one without weights has none to tell of."""

    async def story() -> None:
        world = World("9", "10", route=Route({"9": 1.0, "10": 3.0}))
        document = world.service.model_metadata("adder", None)
        assert document["versions"] == ["9", "10"]
        assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        assert world.service.model_metadata("adder", "champion") == document
        world.catalog.apply(2, {"adder": WorkerEntry({"9": "uid-9"}, {}, Route({"9": 0.0}))})
        with pytest.raises(ServingError, match="no version of its route has a weight"):
            world.service.model_metadata("adder", None)
        assert not world.service.model_ready("adder", None)

    asyncio.run(story())


def test_one_whose_teller_fails_costs_the_others_of_its_run_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever is told acts at once, inside the batcher's turn: what fails there is logged, and goes no further."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}))
        told: asyncio.Queue[Any] = asyncio.Queue()

        def failing(_outcome: object) -> None:
            raise ZeroDivisionError("in the door")

        for tell in (failing, told.put_nowait, failing, told.put_nowait):
            world.service.submit("adder", None, adding(), {}, NO_TERMS, tell)
        answers = [await asyncio.wait_for(told.get(), 5) for _ in range(2)]
        assert [answer.version for answer in answers] == ["3", "3"]
        assert (world.counts("3").requests, world.catalog.leases) == (4, 0)

    asyncio.run(story())
    assert "ZeroDivisionError: in the door" in capfd.readouterr().err


def test_a_large_request_that_is_cancelled_leaves_the_queue_at_once() -> None:
    """With all its parts, and without a word to who asked."""

    async def story() -> None:
        world = World("3", route=Route({"3": 1.0}), settings=VersionSettings(max_batch_size=2))
        world.gate.clear()
        rows = Tensor("x", "FP32", np.ones((9, 2), np.float32))
        told: list[Any] = []
        under_way = world.service.submit("adder", None, InferRequest([rows]), {}, NO_TERMS, told.append)
        await asyncio.sleep(0.02)
        under_way.cancel()
        under_way.cancel()
        assert world.catalog.leases == 0
        world.gate.set()
        assert (await asyncio.wait_for(world.ask(), 5))[0] == "3"
        assert (told, world.counts("3").failures, len(world.ran)) == ([], {"cancelled": 1}, 2)

    asyncio.run(story())
