"""The versions of the replica: what the decider in `steps` says is done here, and how it went is noted.

One owner of every wanted version's life, from its source to its hand-over to the workers. Whether something may
be loaded is asked of the journal and of memory; who fetches and tries are the two children beside it. Thousands of
versions are ordinary: what waits stands in queues (`queues`), and a change of one model looks at that model alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from fairlead_server import log
from fairlead_server.link.messages import Fetched, FetchFailed, Load
from fairlead_server.models.catalog import VersionEntry
from fairlead_server.models.settings import resolve
from fairlead_server.models.states import State
from fairlead_server.supervisor.fetching import AT_ONCE, Fetcher
from fairlead_server.supervisor.handed import Handed
from fairlead_server.supervisor.held import Held, Queue, Want
from fairlead_server.supervisor.identity import key_of, uid_of
from fairlead_server.supervisor.journal import Journal, Proof
from fairlead_server.supervisor.memory import Need, Taken
from fairlead_server.supervisor.steps import Again, Around, Fail, Fetch, HandOver, Life, Step, Try, next_step
from fairlead_server.supervisor.times import Times, back_off
from fairlead_server.supervisor.trial import Died, Passed, Refused, Trials, Verdict

TRIALS_WITHOUT_VERDICT = 3

MayLoad = Callable[[Need, Taken], tuple[str, bool]]  # what it needs, and what all others take


class Versions:
    """`changed` is called with the name of a model when the workers have to be told something of it."""

    def __init__(
        self,
        children: tuple[Fetcher, Trials],
        journal: Journal,
        times: Times,
        may_load: MayLoad,
        changed: Callable[[str], None],
    ) -> None:
        self._fetcher, self._trials = children
        self._journal = journal
        self._times = times
        self._may_load = may_load
        self._changed = changed
        self._models: dict[str, dict[tuple[Want, str], Held]] = {}
        self._handed = Handed()
        self._to_fetch, self._to_try = Queue(), Queue()
        self._fetching: set[Held] = set()
        self._trying: set[Held] = set()
        self._failed: set[Held] = set()  # to be tried again
        self._writing = asyncio.Lock()

    # what is wanted

    def want(self, model: str, wanted: Iterable[tuple[int, str, VersionEntry]]) -> None:
        """All versions of one model that must be here, each with its rank (the least is the most urgent). What is left
        out is forgotten, and its work ended."""
        before = self._models.pop(model, {})
        of_want: dict[Want, list[Held]] = {}
        for (want, _), held in before.items():
            of_want.setdefault(want, []).append(held)
        after: dict[tuple[Want, str], Held] = {}
        for rank, version, entry in wanted:
            want, pin = Want.of(model, version, entry), entry.digest or ""
            if (want, pin) not in after:
                after[want, pin] = self._held_as(want, pin, of_want.setdefault(want, []), rank)
        if after:
            self._models[model] = after
        staying = set(after.values())
        for held in before.values():
            if held not in staying:
                self._drop(held)
        self._hand(model)

    def _held_as(self, want: Want, pin: str, known: list[Held], rank: int) -> Held:
        held = next((held for held in known if held.may_be(pin)), None)
        if held is None:
            held = Held(want, Life(State.WANTED, time.time()), pin)
            known.append(held)
        held.rank, held.pin = rank, held.pin or pin
        if held.life.state is State.WANTED:
            self._queue(held)
        return held

    def _drop(self, held: Held) -> None:
        held.dropped = True
        self._note(held)
        if held.work is not None:
            held.work.cancel()

    def forget_all(self) -> None:
        """Nothing is wanted any more: the replica ends."""
        for model in list(self._models):
            self.want(model, ())

    def reconsider(self) -> None:
        """Another set of versions may fit where the old one did not."""
        for held in self._failed:
            held.life = dataclasses.replace(held.life, retry_at=0.0)

    def fetch_anew(self) -> None:
        """The sources answer again: how often something could not be fetched before says nothing any more."""
        for held in self._every():
            if not held.life.path and not held.life.final:
                held.life = dataclasses.replace(held.life, attempts=0, retry_at=0.0)

    # what is known

    def life(self, model: str, version: str, entry: VersionEntry) -> Life | None:
        held = self._models.get(model, {}).get((Want.of(model, version, entry), entry.digest or ""))
        return held.life if held is not None else None

    def handed_over(self, model: str) -> Mapping[str, Load]:
        """What the workers are to hold of one model, by uid."""
        return self._handed.of(model)

    def load(self, uid: str) -> Load | None:
        return self._handed.load(uid)

    def model_of(self, uid: str) -> str:
        """Of what is handed over; "" for what is not, or not any more."""
        load = self._handed.load(uid)
        return load.model if load is not None else ""

    def by_urgency(self) -> list[str]:
        """The models of which the workers are to hold something, what serves first."""
        ranks = {name: min(held.rank for held in self._models[name].values()) for name in self._handed.models()}
        return sorted(ranks, key=lambda name: ranks[name])

    @property
    def taken(self) -> Taken:
        """By all that the workers are to hold."""
        return self._handed.taken

    def digests(self) -> list[str]:
        """All that the model cache must keep."""
        return [digest for held in self._every() for digest in (held.life.digest, held.pin) if digest]

    @property
    def idle(self) -> bool:
        """Nothing is on its way to the workers."""
        return not (self._fetching or self._trying or self._to_fetch or self._to_try)

    def proof(self, uid: str) -> Proof | None:
        return self._journal.proof(key_of(uid))

    def _every(self) -> Iterator[Held]:
        for helds in self._models.values():
            yield from helds.values()

    # what to do

    def tick(self) -> None:
        now = time.time()
        for failed in [held for held in self._failed if now >= held.life.retry_at]:
            self._look(failed)
        while len(self._fetching) < AT_ONCE and (held := self._to_fetch.pop()) is not None:
            self._look(held)
        while not self._busy and (held := self._to_try.pop()) is not None:
            self._look(held)
        if self.idle:
            self._trials.drop_spare_soon()

    @property
    def _busy(self) -> bool:
        return self._trials.busy or bool(self._trying)

    def _look(self, held: Held) -> None:
        step = next_step(held.life, self._around(held))
        if step is not None:
            self._do(step, held)
        elif held.life.state is State.WANTED:
            self._queue(held)

    def _queue(self, held: Held) -> None:
        (self._to_try if held.life.path else self._to_fetch).put(held)

    def _around(self, held: Held) -> Around:
        life = held.life
        proof, refusal, never = self.proof(life.uid), "", False
        if life.path and life.state is State.WANTED:
            gpu = life.settings.gpu_mem_limit_bytes if life.settings.on_gpu else None
            size = proof.profile.bytes if proof is not None else life.bytes
            need = Need(size, proof is not None, gpu)
            refusal, never = self._may_load(need, self._handed.taken_beside(life.uid))
        condemned = self._journal.condemned(key_of(life.uid))
        may_fetch = len(self._fetching) < AT_ONCE
        return Around(time.time(), may_fetch, not self._busy, proof is not None, condemned, refusal, never)

    def _do(self, step: Step, held: Held) -> None:
        if isinstance(step, Fetch):
            self._move(held, State.FETCHING)
            if not self._journal.knows(held.pin):
                self._trials.prepare()
            held.work = asyncio.get_running_loop().create_task(self._fetch(held))
        elif isinstance(step, Try):
            self._move(held, State.TRYING)
            held.work = asyncio.get_running_loop().create_task(self._try(held))
        elif isinstance(step, HandOver):
            self._move(held, State.LOADING, attempts=0)
        elif isinstance(step, Again):
            self._move(held, State.WANTED, reason=held.life.reason)
            self._queue(held)
        else:
            self._fail(held, step)

    async def _fetch(self, held: Held) -> None:
        answer = await self._fetcher.fetch(held.want.source, held.pin or None)
        held.work = None
        if isinstance(answer, FetchFailed):
            self._fail(held, Fail(answer.reason, not answer.retry))
        elif held.pin and answer.digest != held.pin:  # pinned while its bytes were on the way
            self._move(held, State.WANTED)
            self._queue(held)
        else:
            self._fetched(held, answer)
        self.tick()

    def _fetched(self, held: Held, answer: Fetched) -> None:
        want = held.want
        try:
            settings = resolve(answer.defaults, want.decoded_settings())
        except ValueError as fault:
            self._fail(held, Fail(f"the settings in the model's folder cannot be used: {fault}", final=True))
            return
        uid = uid_of(want.model, want.version, answer.digest, settings, want.attempt)
        held.life = dataclasses.replace(
            held.life, path=answer.path, digest=answer.digest, bytes=answer.bytes, settings=settings, uid=uid
        )
        self._move(held, State.WANTED, reason=held.life.reason, attempts=0)  # its trials are counted anew
        if self.proof(uid) is not None or self._journal.condemned(key_of(uid)):
            self._look(held)  # no trial to wait for
        else:
            self._queue(held)

    async def _try(self, held: Held) -> None:
        life, want = held.life, held.want
        load = Load(life.uid, want.model, want.version, life.path, life.digest, life.settings)
        suspect = life.attempts > 0 or self._journal.has_died(key_of(life.uid))
        try:
            step = await self._judge(life, await self._trials.run(load, alone=suspect))
        except OSError as fault:  # no process to be had, or a full disk below the journal: both can pass
            step = Fail(f"it could not be tried: {fault}", final=False)
        held.work = None
        self._do(step, held)
        for waiting in self._to_try.take_all(key_of(life.uid)):  # of the same bytes: what this told counts for them
            self._look(waiting)
        self.tick()

    async def _judge(self, life: Life, verdict: Verdict) -> Step:
        key = key_of(life.uid)
        async with self._writing:
            if isinstance(verdict, Passed):
                await asyncio.to_thread(self._journal.prove, key, life.digest, verdict.signature, verdict.profile)
                return HandOver()
            if isinstance(verdict, Died):
                condemned = await asyncio.to_thread(self._journal.died, key, "trial", verdict.cause)
                return Fail(condemned or verdict.cause, bool(condemned))
        assert isinstance(verdict, Refused)
        return Fail(verdict.reason, verdict.final or life.attempts + 1 >= TRIALS_WITHOUT_VERDICT)

    async def died_in_worker(self, uids: Collection[str], cause: str) -> list[str]:
        """A worker died by a signal while these were running. All that is condemned by it."""
        for uid in uids:
            log.warning("version_died", uid=uid, model=self.model_of(uid), cause=cause)
        condemned = set()
        async with self._writing:
            for key in sorted({key_of(uid) for uid in uids}):
                try:
                    if await asyncio.to_thread(self._journal.died, key, "worker", cause):
                        condemned.add(key)
                except OSError as fault:  # a full disk: the other versions, and the other workers, go on
                    log.error("death_not_noted", key=key, reason=str(fault))
        lost = []
        for held in list(self._every()) if condemned else ():
            if key_of(held.life.uid) in condemned and held.life.state is State.LOADING:
                lost.append(held.life.uid)
                self._fail(held, Fail(self._journal.condemned(key_of(held.life.uid)), final=True))
        return lost

    def _fail(self, held: Held, failure: Fail) -> None:
        attempts = held.life.attempts + 1
        pause = back_off(self._times.retry, self._times.retry_most, attempts)
        self._move(
            held, State.FAILED, reason=failure.reason, final=failure.final, attempts=attempts,
            retry_at=time.time() + pause,
        )  # fmt: skip

    def _move(self, held: Held, state: State, *, reason: str = "", **fields: Any) -> None:
        want, before = held.want, held.life.state
        held.life = dataclasses.replace(held.life, state=state, since=time.time(), reason=reason, **fields)
        self._note(held)
        log.info(
            "version_moved", model=want.model, version=want.version, state=state, digest=held.life.digest,
            **({"reason": reason, "final": held.life.final} if reason else {}),
        )  # fmt: skip
        if State.LOADING in (state, before):
            self._hand(want.model)
        if state in (State.LOADING, State.FAILED):
            self._changed(want.model)

    def _note(self, held: Held) -> None:
        """Keep the sets of what is under way."""
        state = None if held.dropped else held.life.state
        for members, of in ((self._fetching, State.FETCHING), (self._trying, State.TRYING)):
            (members.add if state is of else members.discard)(held)
        again = state is State.FAILED and not held.life.final
        (self._failed.add if again else self._failed.discard)(held)

    def _hand(self, model: str) -> None:
        loading = [held for held in self._models.get(model, {}).values() if held.life.state is State.LOADING]
        proofs = [(held, self.proof(held.life.uid)) for held in loading]
        self._handed.set(model, [(held, proof.profile) for held, proof in proofs if proof is not None])
