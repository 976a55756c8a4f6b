"""What happened to a ServedModel, as Kubernetes events: for `kubectl describe`, and never needed by anybody.

Each step once: the same sentence about the same object is counted up, at most once a minute. Rate-bounded for each
object and in all; what exceeds it is dropped and counted, for the audit log has it anyway.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import hashlib
import time
from collections.abc import Callable

import msgspec

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.cluster.objects import Known
from fairlead_operator.resource import GROUP, KIND, VERSION

QUEUE = 1000
PER_SECOND = 10.0
EACH, EACH_S = 25, 60.0  # so many at once for each object, and one more each so many seconds
REMEMBERED = 4096
AGAIN_S = 60.0  # the same sentence is counted up no more often
FRESH_S = 3000.0  # and is a new event after so long: the API server keeps them for an hour


class Note(msgspec.Struct, frozen=True):
    """`reason` one word in CamelCase; `warning`: something a person should look at."""

    reason: str
    message: str
    warning: bool = False


class Allowance:
    """A bucket for each object: `EACH` notes, refilled with time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def take(self, uid: str) -> bool:
        now = self._clock()
        left, at = self._left.pop(uid, (float(EACH), now))
        left = min(float(EACH), left + max(0.0, now - at) / EACH_S)
        allowed = left >= 1
        self._left[uid] = (left - allowed, now)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return allowed


class _Told(msgspec.Struct):
    name: str
    count: int
    first: float
    last: float


class Recorder:
    """Notes in, events out. `dropped` counts those that were too many."""

    def __init__(self, server: api.Api, identity: str, allowed: Callable[[], bool]) -> None:
        self._api = server
        self._identity = identity
        self._allowed = allowed
        self._allowance = Allowance()
        self._queue: asyncio.Queue[tuple[Known, Note]] = asyncio.Queue(QUEUE)
        self._told: collections.OrderedDict[tuple[str, Note], _Told] = collections.OrderedDict()
        self.dropped = 0
        self.written = 0

    def note(self, one: Known, note: Note) -> None:
        if self._queue.full() or not self._allowance.take(one.uid):
            self.dropped += 1
        else:
            self._queue.put_nowait((one, note))

    async def run(self) -> None:
        trouble = ""
        while True:
            one, note = await self._queue.get()
            if not self._allowed():
                continue
            try:
                await self._write(one, note)
                trouble = ""
            except OSError as error:
                self.dropped += 1
                if str(error) != trouble:
                    log.warning("event not written", object=one.ref, why=str(error))
                trouble = str(error)
            await asyncio.sleep(1 / PER_SECOND)

    async def _write(self, one: Known, note: Note) -> None:
        now = time.time()
        key = (one.uid, note)
        told = self._told.pop(key, None)
        if told is None or now - told.first > FRESH_S:
            told = _Told(_name(one, note, now), 1, now, now)
            await self._api.create(api.events(one.namespace), _event(one, note, told, self._identity))
            self.written += 1
        else:
            told.count += 1
            if now - told.last >= AGAIN_S:
                told.last = now
                counted = {"count": told.count, "lastTimestamp": _time(now)}
                await self._api.merge(api.events(one.namespace, told.name), counted)
                self.written += 1
        self._told[key] = told
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)


def _name(one: Known, note: Note, now: float) -> str:
    said = f"{one.uid} {note.reason} {note.message} {now}"
    return f"{one.name[:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _event(one: Known, note: Note, told: _Told, identity: str) -> api.Object:
    involved = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "namespace": one.namespace, "name": one.name}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": told.name, "namespace": one.namespace},
        "involvedObject": {**involved, "uid": one.uid, "resourceVersion": str(one.version)},
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": note.message[:1024],
        "count": told.count,
        "firstTimestamp": _time(told.first),
        "lastTimestamp": _time(told.last),
        "source": {"component": api.MANAGER},
        "reportingComponent": api.MANAGER,
        "reportingInstance": identity[:128],
    }


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
