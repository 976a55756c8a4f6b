"""The status document: how far a replica got. Published schema: docs/schemas/status.v1.json (generated).

Over the workers of the replica: `applied` is the least generation, ready means in all of them,
failed means in any.
"""

from __future__ import annotations

import msgspec

from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.models.states import State

API_VERSION = "fairlead.dev/status/v1"


class Readings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cumulative since `boot`, summed over all workers there have been. Durations in microseconds."""

    requests: int = 0  # answered well
    failures: dict[str, int] = {}  # by error kind
    rows: int = 0
    runs: int = 0
    request_us: int = 0
    queue_us: int = 0
    compute_us: int = 0


class WorkerVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    state: State
    since: float  # Unix time, seconds
    reason: str = ""


class VersionStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    state: State
    since: float
    reason: str = ""  # why it failed, or why it waits
    final: bool = False  # a failure that is not tried again unasked
    digest: str = ""
    signature: Signature | None = None
    profile: Profile | None = None
    readings: Readings = Readings()
    workers: dict[str, WorkerVersion] = {}


class ModelStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """`applied` is the generation whose route is in effect in every accepting worker; `route` its weights."""

    applied: int
    versions: dict[str, VersionStatus]
    route: dict[str, float] = {}
    reason: str = ""


class WorkerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    pid: int
    state: str  # starting, accepting, draining
    since: float
    generation: int = 0
    rss_bytes: int = 0


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    apiVersion: str  # noqa: N815 - the field's name in the document
    replica: str  # the same after a restart of this replica on this node
    boot: str  # new at every start of the supervisor: counters begin again with it
    generation: int  # the newest document stored here
    applied: int
    ready: bool
    draining: bool
    models: dict[str, ModelStatus]
    owner: str = ""
    features: tuple[str, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    conditions: dict[str, str] = {}  # named states of the replica as a whole, such as DiskFull, with a sentence each
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
