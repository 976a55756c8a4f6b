"""A rule machine over the worker's catalog: any order of orders, opens, failures and leases keeps the promises."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead_server.catalog.effective import routed
from fairlead_server.catalog.leases import Lease
from fairlead_server.catalog.version import Close, Open
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.catalog import Match, Route
from fairlead_server.models.entry import WorkerEntry
from fairlead_server.models.states import State, may_move

MODELS = st.sampled_from(["churn", "fraud"])
VERSIONS = st.sampled_from(["1", "2"])
BYTES = st.sampled_from("ab")


def uid(model: str, version: str, letter: str) -> str:
    return f"{model}-{version}-{letter}"


class CatalogMachine(RuleBasedStateMachine):
    """Beside the catalog it remembers only what it was told: states by uid, the weights in effect."""

    @initialize()
    def start(self) -> None:
        self.catalog: WorkerCatalog[str, str] = WorkerCatalog()
        self.opening: str | None = None
        self.closing: str | None = None
        self.leases: list[Lease[str]] = []
        self.told: dict[str, State] = {}
        self.weights: dict[str, dict[str, float] | None] = {}
        self.routed_once: set[str] = set()
        self.unloaded: set[str] = set()
        self.generation = 0

    # the supervisor

    @rule(model=MODELS, version=VERSIONS, letter=BYTES)
    def load(self, model: str, version: str, letter: str) -> None:
        name = uid(model, version, letter)
        self.catalog.load(name, model, version, f"open {name}")
        self.unloaded.discard(name)

    @rule(model=MODELS, version=VERSIONS, letter=BYTES)
    def unload(self, model: str, version: str, letter: str) -> None:
        name = uid(model, version, letter)
        self.catalog.unload(name)
        self.unloaded.add(name)

    @rule(
        model=MODELS,
        letters=st.dictionaries(VERSIONS, BYTES, min_size=1),
        unfetched=st.sets(VERSIONS, max_size=1),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
        data=st.data(),
    )
    def apply(
        self,
        model: str,
        letters: dict[str, str],
        unfetched: set[str],
        flags: tuple[bool, bool, bool],
        data: st.DataObject,
    ) -> None:
        failed, match, loads = flags
        if loads:
            for version, letter in letters.items():
                self.load(model, version, letter)
            unfetched = set()
        versions = {v: "" if v in unfetched else uid(model, v, letter) for v, letter in letters.items()}
        weights = data.draw(st.dictionaries(st.sampled_from(sorted(letters)), st.sampled_from([0.0, 1.0, 3.0])))
        weights[min(letters)] = 1.0
        matches = (Match(max(letters), "beta", header="x-group"),) if match else ()
        reasons = dict.fromkeys(unfetched & set(letters), "it is condemned") if failed else {}
        entry = WorkerEntry(versions, {"champion": min(letters)}, Route(weights, None, matches), reasons)
        self.generation += 1
        self.catalog.apply(self.generation, {model: entry})

    @rule(model=MODELS)
    def leave_out(self, model: str) -> None:
        self.generation += 1
        self.catalog.apply(self.generation, {model: None})
        self.routed_once.discard(model)

    # the worker

    @rule()
    def works(self) -> None:
        """All that can be opened is opened, so that routes are often in effect."""
        while self.opening is None and isinstance(action := self.catalog.next_action(), Open):
            self.catalog.begin(action)
            self.catalog.opened(action.uid, f"handle {action.uid}")

    @rule()
    def act(self) -> None:
        action = self.catalog.next_action()
        if action is None:
            return
        held = self.catalog.begin(action)
        if isinstance(action, Open):
            assert self.opening is None
            self.opening = action.uid
        else:
            assert self.closing is None
            assert held.leases == 0
            self.closing = action.uid

    @precondition(lambda self: self.opening is not None)
    @rule(warm=st.booleans())
    def opens(self, warm: bool) -> None:
        assert self.opening is not None
        if warm:
            self.catalog.warming(self.opening)
        self.catalog.opened(self.opening, f"handle {self.opening}")
        self.opening = None

    @precondition(lambda self: self.opening is not None)
    @rule(final=st.booleans())
    def fails(self, final: bool) -> None:
        assert self.opening is not None
        self.catalog.failed(self.opening, "it is broken", final=final)
        self.opening = None

    @precondition(lambda self: self.closing is not None)
    @rule()
    def closes(self) -> None:
        assert self.closing is not None
        self.catalog.closed(self.closing)
        self.closing = None

    # the clients

    @rule(model=MODELS, name=st.sampled_from(["1", "2", "champion"]))
    def ask(self, model: str, name: str) -> None:
        try:
            lease = self.catalog.lease(model, name)
        except ServingError as error:
            assert error.kind in (Kind.NOT_FOUND, Kind.NOT_READY)  # noqa: PT017 - both ways are right
            return
        assert self.catalog.versions[lease.uid].state is State.READY
        assert lease.handle == f"handle {lease.uid}"
        assert name in (lease.version, "champion")
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1))).release()

    # the promises

    @invariant()
    def states_move_forward_and_are_told(self) -> None:
        for move in self.catalog.take_moves():
            old = self.told.get(move.uid, State.WANTED)
            begins_anew = old is State.CLOSED
            assert may_move(State.WANTED if begins_anew else old, move.state)
            self.told[move.uid] = move.state
        for name, held in self.catalog.versions.items():
            assert held.state is State.WANTED or self.told[name] is held.state

    @invariant()
    def a_route_in_effect_names_only_ready_versions(self) -> None:
        for model in self.catalog.models:
            try:
                route = self.catalog.route(model)
            except ServingError as error:
                assert error.kind is Kind.NOT_READY  # noqa: PT017 - both ways are right
                assert model not in self.routed_once
                continue
            assert routed(route)
            self.routed_once.add(model)
            for version in routed(route):
                with self.catalog.lease(model, version) as lease:
                    assert lease.version == version

    @invariant()
    def what_is_told_is_what_is_in_effect(self) -> None:
        news = self.catalog.take_news()
        if news is not None:
            assert news.generation == self.generation
            self.weights.update(news.routes)
        for model in self.catalog.models:
            try:
                weights = dict(self.catalog.route(model).weights)
            except ServingError:
                assert self.weights.get(model) is None
            else:
                assert self.weights[model] == weights

    @invariant()
    def leases_are_those_given_out(self) -> None:
        assert self.catalog.leases == len(self.leases)
        assert all(held.leases >= 0 for held in self.catalog.versions.values())
        for lease in self.leases:
            assert self.catalog.versions[lease.uid].state in (State.READY, State.DRAINING)
            assert lease.uid != self.closing

    def teardown(self) -> None:
        """Left out, answered and worked off, everything that was unloaded is closed, and nothing else."""
        if not hasattr(self, "catalog"):
            return
        for lease in self.leases:
            lease.release()
        for model in self.catalog.models:
            self.catalog.apply(self.generation + 1, {model: None})
        kept = {name for name in self.catalog.versions if name not in self.unloaded}
        if self.opening is not None:
            self.catalog.opened(self.opening, "handle")
        if self.closing is not None:
            self.catalog.closed(self.closing)
        while (action := self.catalog.next_action()) is not None:
            self.catalog.begin(action)
            if isinstance(action, Close):
                self.catalog.closed(action.uid)
            else:
                self.catalog.opened(action.uid, "handle")
        assert set(self.catalog.versions) == kept


CatalogMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCatalog = CatalogMachine.TestCase
