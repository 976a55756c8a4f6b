"""The versions of the replica: what the decider in `steps` says is done here, and how it went is noted.

One owner of every wanted version's life, from its source to its hand-over to the workers. Whether something may
be loaded is asked of the journal and of memory; who fetches and tries are the two children beside it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from fairlead_server import log
from fairlead_server.link.messages import Fetched, FetchFailed, Load
from fairlead_server.models.catalog import VersionEntry
from fairlead_server.models.settings import resolve
from fairlead_server.models.states import State
from fairlead_server.supervisor.fetching import AT_ONCE, Fetcher
from fairlead_server.supervisor.identity import key_of, uid_of
from fairlead_server.supervisor.journal import Journal, Proof
from fairlead_server.supervisor.memory import Need
from fairlead_server.supervisor.steps import Again, Around, Fail, Fetch, HandOver, Life, Step, Try, next_step
from fairlead_server.supervisor.times import Times, back_off
from fairlead_server.supervisor.trial import Died, Passed, Refused, Trials, Verdict

TRIALS_WITHOUT_VERDICT = 3


@dataclasses.dataclass(frozen=True)
class Want:
    """One version as some entry asks for it. The pin is not part of it: to pin what is here changes nothing."""

    model: str
    version: str
    source: str
    settings: bytes
    attempt: int

    @classmethod
    def of(cls, model: str, version: str, entry: VersionEntry) -> Want:
        settings = msgspec.json.encode(entry.settings, order="deterministic")
        return cls(model, version, entry.source, settings, entry.attempt)


@dataclasses.dataclass(eq=False)
class _Held:
    life: Life
    pin: str
    work: asyncio.Task[None] | None = None

    def may_be(self, pin: str) -> bool:
        """Whether these bytes can be what an entry with this pin asks for, as far as is known."""
        known = self.life.digest or self.pin
        return not pin or not known or pin == known


MayLoad = Callable[[Need, int], tuple[str, bool]]  # what it needs, and what all others hold


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
        self._held: dict[tuple[Want, str], _Held] = {}
        self._writing = asyncio.Lock()

    # what is wanted

    def want(self, wanted: Iterable[tuple[str, str, VersionEntry]]) -> None:
        """The whole set, the most urgent first. What it leaves out is forgotten, and its work ended."""
        before: dict[Want, list[_Held]] = {}
        for (want, _), held in self._held.items():
            before.setdefault(want, []).append(held)
        self._held = {}
        for model, version, entry in wanted:
            want, pin = Want.of(model, version, entry), entry.digest or ""
            known = before.setdefault(want, [])
            held = next((held for held in known if held.may_be(pin)), None) or _Held(
                Life(State.WANTED, time.time()), pin
            )
            if held not in known:
                known.append(held)
            held.pin = held.pin or pin
            self._held[want, pin] = held
        kept = {id(held) for held in self._held.values()}
        for held in itertools.chain.from_iterable(before.values()):
            if id(held) not in kept and held.work is not None:
                held.work.cancel()
        self._retry_refused()

    def _retry_refused(self) -> None:
        """Another set of versions may fit where the old one did not."""
        for held in self._held.values():
            if held.life.state is State.FAILED and not held.life.final:
                held.life = dataclasses.replace(held.life, retry_at=0.0)

    # what is known

    def life(self, model: str, version: str, entry: VersionEntry) -> Life | None:
        held = self._held.get((Want.of(model, version, entry), entry.digest or ""))
        return held.life if held is not None else None

    def handed_over(self) -> dict[str, Load]:
        """What the workers are to hold, by uid, the most urgent first."""
        loads = {}
        for (want, _), held in self._held.items():
            proof = self.proof(held.life.uid) if held.life.state is State.LOADING else None
            if proof is not None:
                life = held.life
                loads[life.uid] = Load(
                    life.uid, want.model, want.version, life.path, life.digest, life.settings, proof.profile
                )
        return loads

    def sizes(self) -> dict[str, int]:
        """Measured bytes by uid, of all that the workers are to hold."""
        if self.idle:
            self._trials.drop_spare_soon()
        lives = [held.life for held in self._held.values() if held.life.state is State.LOADING]
        proofs = {life.uid: self.proof(life.uid) for life in lives}
        return {uid: proof.profile.bytes for uid, proof in proofs.items() if proof is not None}

    def digests(self) -> list[str]:
        """All that the model cache must keep."""
        return [digest for held in self._held.values() for digest in (held.life.digest, held.pin) if digest]

    def model_of(self, uid: str) -> str:
        return next((want.model for (want, _), held in self._held.items() if held.life.uid == uid), "")

    @property
    def idle(self) -> bool:
        """Nothing is on its way to the workers."""
        return all(held.life.state in (State.LOADING, State.FAILED) for held in self._held.values())

    def proof(self, uid: str) -> Proof | None:
        return self._journal.proof(key_of(uid))

    # what to do

    def tick(self) -> None:
        if self.idle:
            self._trials.drop_spare_soon()
        lives = [held.life.state for held in self._held.values()]
        fetching, trying = lives.count(State.FETCHING), self._trials.busy or State.TRYING in lives
        sizes = self.sizes()
        total = sum(sizes.values())
        for (want, _), held in list(self._held.items()):
            if self._may_move(held.life, fetching < AT_ONCE, not trying):
                others = total - sizes.get(held.life.uid, 0)
                step = next_step(held.life, self._around(held.life, others, fetching < AT_ONCE, not trying))
                if step is not None:
                    self._do(step, want, held)
                    fetching += isinstance(step, Fetch)
                    trying = trying or isinstance(step, Try)
                    if isinstance(step, HandOver) and (proof := self.proof(held.life.uid)) is not None:
                        sizes[held.life.uid] = proof.profile.bytes
                        total = others + proof.profile.bytes

    def _may_move(self, life: Life, may_fetch: bool, may_try: bool) -> bool:
        """A quick look, for of thousands all but a few wait for a fetch or for the one trial."""
        if life.state is not State.WANTED:
            return life.state is State.FAILED
        if not life.path:
            return may_fetch
        return may_try or self.proof(life.uid) is not None or bool(self._journal.condemned(key_of(life.uid)))

    def _around(self, life: Life, others: int, may_fetch: bool, may_try: bool) -> Around:
        proof = self.proof(life.uid)
        refusal, never = "", False
        if life.path and life.state is State.WANTED:
            need = Need(proof.profile.bytes, True) if proof is not None else Need(life.bytes, False)
            refusal, never = self._may_load(need, others)
        condemned = self._journal.condemned(key_of(life.uid))
        return Around(time.time(), may_fetch, may_try, proof is not None, condemned, refusal, never)

    def _do(self, step: Step, want: Want, held: _Held) -> None:
        if isinstance(step, Fetch):
            self._move(want, held, State.FETCHING)
            if not self._journal.knows(held.pin):
                self._trials.prepare()
            held.work = asyncio.get_running_loop().create_task(self._fetch(want, held))
        elif isinstance(step, Try):
            self._move(want, held, State.TRYING)
            held.work = asyncio.get_running_loop().create_task(self._try(want, held))
        elif isinstance(step, HandOver):
            self._move(want, held, State.LOADING, attempts=0)
        elif isinstance(step, Again):
            self._move(want, held, State.WANTED, reason=held.life.reason)
        else:
            self._fail(want, held, step)

    async def _fetch(self, want: Want, held: _Held) -> None:
        answer = await self._fetcher.fetch(want.source, held.pin or None)
        held.work = None
        if isinstance(answer, FetchFailed):
            self._fail(want, held, Fail(answer.reason, not answer.retry))
            return
        if held.pin and answer.digest != held.pin:  # pinned while its bytes were on the way
            self._move(want, held, State.WANTED)
            return
        try:
            self._fetched(want, held, answer)
        except ValueError as fault:
            reason = f"the settings in the model's folder cannot be used: {fault}"
            self._fail(want, held, Fail(reason, final=True))

    def _fetched(self, want: Want, held: _Held, answer: Fetched) -> None:
        settings = resolve(answer.defaults, _settings(want))
        uid = uid_of(want.model, want.version, answer.digest, settings, want.attempt)
        held.life = dataclasses.replace(
            held.life, path=answer.path, digest=answer.digest, bytes=answer.bytes, settings=settings, uid=uid
        )
        self._move(want, held, State.WANTED, reason=held.life.reason)
        self.tick()

    async def _try(self, want: Want, held: _Held) -> None:
        life = held.life
        try:
            verdict = await self._trials.run(
                Load(life.uid, want.model, want.version, life.path, life.digest, life.settings)
            )
            step = await self._judge(life, verdict)
        except OSError as fault:  # no process to be had, or a full disk below the journal: both can pass
            step = Fail(f"it could not be tried: {fault}", final=False)
        held.work = None
        self._do(step, want, held)
        self.tick()

    async def _judge(self, life: Life, verdict: Verdict) -> Step:
        async with self._writing:
            if isinstance(verdict, Passed):
                proof = (key_of(life.uid), life.digest, verdict.signature, verdict.profile)
                await asyncio.to_thread(self._journal.prove, *proof)
                return HandOver()
            if isinstance(verdict, Died):
                condemned = await asyncio.to_thread(self._journal.died, key_of(life.uid), "trial", verdict.cause)
                return Fail(condemned or verdict.cause, bool(condemned))
        assert isinstance(verdict, Refused)
        return Fail(verdict.reason, verdict.final or life.attempts + 1 >= TRIALS_WITHOUT_VERDICT)

    async def died_in_worker(self, uids: Collection[str], cause: str) -> list[str]:
        """A worker died, hung or lost its device while these were running. All that is condemned by it."""
        for uid in uids:
            log.warning("version_died", uid=uid, model=self.model_of(uid), cause=cause)
        condemned = set()
        async with self._writing:
            for key in sorted({key_of(uid) for uid in uids}):
                if await asyncio.to_thread(self._journal.died, key, "worker", cause):
                    condemned.add(key)
        lost = []
        for (want, _), held in self._held.items():
            if key_of(held.life.uid) in condemned and held.life.state is State.LOADING:
                lost.append(held.life.uid)
                self._fail(want, held, Fail(self._journal.condemned(key_of(held.life.uid)), final=True))
        return lost

    def _fail(self, want: Want, held: _Held, failure: Fail) -> None:
        attempts = held.life.attempts + 1
        pause = back_off(self._times.retry, self._times.retry_most, attempts)
        self._move(
            want, held, State.FAILED, reason=failure.reason, final=failure.final, attempts=attempts,
            retry_at=time.time() + pause,
        )  # fmt: skip

    def _move(self, want: Want, held: _Held, state: State, *, reason: str = "", **fields: Any) -> None:
        held.life = dataclasses.replace(held.life, state=state, since=time.time(), reason=reason, **fields)
        log.info(
            "version_moved", model=want.model, version=want.version, state=state, digest=held.life.digest,
            **({"reason": reason, "final": held.life.final} if reason else {}),
        )  # fmt: skip
        if state in (State.LOADING, State.FAILED):
            self._changed(want.model)


def _settings(want: Want) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(want.settings)
    return found
