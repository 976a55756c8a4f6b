"""Which of several operators is the active one: a Lease, judged by one's own clock alone.

    nobody's, or unchanged for 15 s as seen from here    take it
    seen before, and not there any more for 15 s         make it anew
    ours                                                 renew it every 5 s; active for 10 s after that began
    another's, and still changing                        wait

Clocks of other machines are not compared: what counts is that the record changes. Who holds it stops writing 5 s
before anybody may take it, and no call to the API server takes longer than 4 s, so two never write at once. One
case is left: a person empties the holder, or deletes the Lease while an operator starts that never saw it. Until the
old one's next renewal two are active then, and only the catalog's own precondition fences, as it always does besides.
An annotation on the Lease freezes all rollouts.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable
from typing import Any

import msgspec

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.resource import PREFIX

DURATION_S = 15.0
ACTIVE_S = 10.0  # after the last renewal began
RENEW_S = 5.0
RETRY_S = 2.0
FREEZE = PREFIX + "freeze"
DELETED = {"holderIdentity": "whoever held what somebody deleted"}  # seen in place of a record that was there before


class Sight(msgspec.Struct, frozen=True):
    """The record as it was seen last, and since when it has not changed (own monotonic seconds)."""

    record: dict[str, Any]
    since: float


def sighted(old: Sight | None, record: dict[str, Any], now: float) -> Sight:
    """Only a change of the record is a sign of life; what times it names is not looked at."""
    return old if old is not None and old.record == record else Sight(record, now)


def free_at(sight: Sight) -> float:
    """When (own monotonic seconds) the lease may be taken from whoever holds it."""
    if not sight.record.get("holderIdentity"):
        return sight.since
    duration = sight.record.get("leaseDurationSeconds") or DURATION_S
    return sight.since + max(float(duration), DURATION_S)


def wait_s(sight: Sight, now: float) -> float:
    """Until the next look at another's lease."""
    return max(0.1, min(RETRY_S, free_at(sight) - now))


class Lease:
    """One operator's hold on the Lease `name`. `identity` must be its alone. `changed` is called when `held` turns."""

    def __init__(
        self, server: api.Api, namespace: str, name: str, identity: str, changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._api = server
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._changed = changed
        self._clock = clock
        self._until = float("-inf")
        self._sight: Sight | None = None
        self._last: api.Object | None = None  # as our own last write left it
        self.frozen = ""

    def held(self) -> bool:
        """Whether this operator may write now."""
        return self._clock() < self._until

    async def run(self) -> None:
        """Takes, renews and waits, for ever; gives the lease back when it is cancelled."""
        was, trouble = False, ""
        try:
            while True:
                began = self._clock()
                try:
                    wait = await self._round(began)
                    trouble = ""
                except (OSError, KeyError) as error:
                    wait = RETRY_S
                    if str(error) != trouble:
                        log.warning("lease not renewed", why=str(error), held=self.held())
                    trouble = str(error)
                if self.held() != was:
                    was = self._told()
                deadline = self._clock() + wait
                while (now := self._clock()) < deadline:  # so that its end is noticed when it comes
                    await asyncio.sleep(min(deadline - now, max(0.01, self._until - now) if was else wait))
                    if self.held() != was:
                        was = self._told()
        finally:
            self._until = float("-inf")
            with contextlib.suppress(OSError, KeyError):
                await asyncio.shield(self._release())

    def _told(self) -> bool:
        held = self.held()
        log.info("active" if held else "passive", why="the lease is ours" if held else "the lease is not ours any more",
                 identity=self.identity)  # fmt: skip
        self._changed()
        return held

    async def _round(self, began: float) -> float:
        """One look, where our own last write does not spare it, and one write where it is ours to make.
        The seconds until the next."""
        lease, self._last = self._last or await self._read(), None
        if lease is None:
            return await self._make(began)
        self.frozen = str((lease["metadata"].get("annotations") or {}).get(FREEZE, ""))
        spec = lease.get("spec") or {}
        ours = spec.get("holderIdentity") == self.identity
        self._sight = sighted(self._sight, spec, self._clock())
        if not ours and self._clock() < free_at(self._sight):
            self._until = float("-inf")
            return wait_s(self._sight, self._clock())
        body = {**lease, "spec": self._spec(spec, ours=ours)}
        try:
            self._last = await self._api.replace(api.leases(self._namespace, self._name), body)
        except api.ApiFault as fault:
            if fault.gone:  # somebody deleted it
                self._until = float("-inf")
                return 0.1
            if fault.conflict:  # somebody else wrote it, be it an annotation: look again, at once
                return 0.1
            raise
        return self._won(began)

    async def _make(self, began: float) -> float:
        """There is none: nobody's where none was ever seen, else deleted, and whoever held it may still be active."""
        self._until = float("-inf")
        if self._sight is not None:
            self._sight = sighted(self._sight, DELETED, self._clock())
            if self._clock() < free_at(self._sight):
                return wait_s(self._sight, self._clock())
        self._last = await self._api.create(api.leases(self._namespace), self._new())
        return self._won(began)

    async def _read(self) -> api.Object | None:
        try:
            return await self._api.get(api.leases(self._namespace, self._name))
        except api.ApiFault as fault:
            if fault.gone:
                return None
            raise

    def _won(self, began: float) -> float:
        self._until = began + ACTIVE_S
        return RENEW_S

    def _new(self) -> api.Object:
        metadata = {"name": self._name, "namespace": self._namespace}
        spec = self._spec({}, ours=False)
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _spec(self, old: dict[str, Any], *, ours: bool) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(DURATION_S),
            "acquireTime": old.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if ours else 1),
        }

    async def _release(self) -> None:
        """So that the next one need not wait. The precondition keeps another's record as it is."""
        lease = await self._read()
        if lease is None or lease.get("spec", {}).get("holderIdentity") != self.identity:
            return
        spec = {**lease["spec"], "holderIdentity": ""}
        await self._api.replace(api.leases(self._namespace, self._name), {**lease, "spec": spec})
