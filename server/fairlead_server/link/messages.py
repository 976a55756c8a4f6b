"""The messages between a supervisor and its children: entries down, states and counters up.

Both ends are the same build, so there is no version in them. They know nothing of how they travel.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_server.models.entry import WorkerEntry as WorkerEntry
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature
from fairlead_server.models.states import State

# --- down: supervisor -> worker


class Load(msgspec.Struct, frozen=True, tag=True):
    """Open and warm one version. `uid` names (digest, settings): the same version with other bytes
    or settings is another uid. Without a profile the worker measures one (a trial); with one it trusts it."""

    uid: str
    model: str
    version: str
    path: str  # a verified directory
    digest: str
    settings: VersionSettings
    profile: Profile | None = None


class Unload(msgspec.Struct, frozen=True, tag=True):
    """Close this version as soon as no effective route and no lease needs it."""

    uid: str


class Apply(msgspec.Struct, frozen=True, tag=True):
    """The entries that changed since the last Apply; None leaves a model out."""

    generation: int
    entries: dict[str, WorkerEntry | None]


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Accept nothing new, answer what is here, then end with status 0."""

    grace_s: float
    idle_s: float


ToWorker = Load | Unload | Apply | Drain

# --- up: worker -> supervisor


class Hello(msgspec.Struct, frozen=True, tag=True):
    pid: int


class Moved(msgspec.Struct, frozen=True, tag=True):
    """A version changed its state here. `final`: trying again unasked would fail again."""

    uid: str
    state: State
    since: float
    reason: str = ""
    final: bool = False
    signature: Signature | None = None
    profile: Profile | None = None


class Applied(msgspec.Struct, frozen=True, tag=True):
    """The generation that was taken in, and by model what has changed since the last time. `pending`: why its wanted
    route is not in effect yet (the last good one is), "" when it is; `routes`: the weights in effect, None for none."""

    generation: int
    pending: dict[str, str]
    routes: dict[str, dict[str, float] | None]


class Accepting(msgspec.Struct, frozen=True, tag=True):
    """The doors are open, or closed."""

    open: bool


class Histogram(msgspec.Struct, frozen=True):
    """Cumulative over the worker's life; `counts` has one more place than the bounds (+Inf)."""

    counts: list[int]
    sum: float


class VersionCounts(msgspec.Struct, frozen=True):
    """Cumulative over the worker's life, but for the gauges `queued_rows` and `leases`. Microseconds. As in
    batching.counts."""

    model: str
    version: str
    requests: int
    failures: dict[str, int]
    rows: int
    runs: int
    request_us: int
    queue_us: int
    input_us: int
    infer_us: int
    output_us: int
    latency: Histogram
    batch_rows: Histogram
    queued_rows: int
    leases: int
    run_us: int = 0
    later_us: int = 0


class Counts(msgspec.Struct, frozen=True, tag=True):
    """Sent every second, and once before the worker ends. It is the heartbeat too."""

    versions: dict[str, VersionCounts]  # by uid, those that have changed since the last message
    refused: dict[str, int]  # requests that reached no version, by error kind
    connections: int
    rss_bytes: int
    loop_lag_ms: float  # the worst of the last second
    closed: tuple[str, ...] = ()  # versions that are told of no more


class Broken(msgspec.Struct, frozen=True, tag=True):
    """A device is lost to this worker's process: it goes on with what needs none, and has to be replaced. `uids` are
    the versions that were running on the device, where one of them did it."""

    reason: str
    uids: tuple[str, ...] = ()


ToSupervisor = Hello | Moved | Applied | Accepting | Counts | Broken

# --- the fetcher


class Fetch(msgspec.Struct, frozen=True, tag=True):
    id: int
    source: str
    digest: str | None


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Evict every cached digest that is not in `keep`, oldest first, until the cache fits."""

    keep: list[str]


class Fetched(msgspec.Struct, frozen=True, tag=True):
    """`defaults` is what the model's folder says of its settings (fairlead.yaml). `copied`: it was not in the
    cache before, so there was room on the disk for it."""

    id: int
    path: str
    digest: str
    bytes: int
    defaults: dict[str, Any]
    copied: bool = False


class FetchFailed(msgspec.Struct, frozen=True, tag=True):
    """`condition` is "" or a named state of the replica, such as DiskFull."""

    id: int
    reason: str
    retry: bool
    condition: str = ""


ToFetcher = Fetch | Forget
FromFetcher = Fetched | FetchFailed
