"""The two documents between operator and server, as the operator writes the one and reads the other.

The server has types of its own for the same documents; the two programs share no code. That they agree
is tests/test_contract.py's business. Of the status only what decisions need is read; what is not known
here is ignored, so that a newer server can be operated.

They are trees of frozen values, so the collector of cycles need not know them (gc=False): of thousands of models it
took most of the time of reading a status.
"""

from __future__ import annotations

from typing import Any

import msgspec

CATALOG_VERSION = "fairlead.dev/catalog/v1"
STATUS_VERSION = "fairlead.dev/status/v1"


class DocumentFault(ValueError):
    """A document that cannot be read; the text names the place."""


# --- the catalog: written


class VersionEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a version comes from; `digest` pins it. Another `attempt` asks the server to try what it condemned."""

    source: str
    digest: str | None = None
    settings: dict[str, Any] = {}
    attempt: int = 0


class Route(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Relative weights; all of them 0 means loaded, and routed nowhere. What else a route may hold is kept as it is."""

    weights: dict[str, float]
    sticky: dict[str, Any] | None = None
    matches: tuple[dict[str, Any], ...] = ()


class ModelEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`model` is its name in the registry ("": not known), which says nothing to a server."""

    versions: dict[str, VersionEntry]
    route: Route
    aliases: dict[str, str] = {}
    model: str = ""

    @property
    def routed(self) -> str:
        """The version that blue/green sends everything to; "" while it is none."""
        return next((version for version, weight in self.route.weights.items() if weight > 0), "")


class Retired(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the registry has not been told yet of a model that was left out: by version, the tags."""

    model: str
    tags: dict[str, dict[str, str]]


class Catalog(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`retired`, by served name, is the operator's own: servers pass it over."""

    apiVersion: str  # noqa: N815 - the field's name in the document
    generation: int
    models: dict[str, ModelEntry]
    owner: str = ""
    requires: tuple[str, ...] = ()
    retired: dict[str, Retired] = {}


def empty_catalog(owner: str) -> Catalog:
    return Catalog(CATALOG_VERSION, 0, {}, owner)


# --- the status: read


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    symbols: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    optional: bool = False


class Signature(msgspec.Struct, frozen=True, gc=False):
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Smoke(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`source`: "example" (the logged one), "made-up" or "none"."""

    source: str = "none"
    passed: bool = False
    detail: str = ""


class Profile(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    bytes: int = 0
    latency_us: dict[int, float] = {}
    batching: bool = False
    batching_reason: str = ""
    smoke: Smoke = Smoke()


class Readings(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    requests: int = 0
    failures: dict[str, int] = {}
    rows: int = 0
    runs: int = 0
    request_us: int = 0
    queue_us: int = 0
    compute_us: int = 0


class WorkerVersion(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    state: str
    since: float
    reason: str = ""


class VersionStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`state` is one of the server's states; `final`: a failure that is not tried again unasked."""

    state: str
    since: float
    reason: str = ""
    final: bool = False
    digest: str = ""
    signature: Signature | None = None
    profile: Profile | None = None
    readings: Readings = Readings()
    workers: dict[str, WorkerVersion] = {}


class ModelStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`applied` is the generation whose route is in effect in every accepting worker."""

    applied: int
    versions: dict[str, VersionStatus]
    route: dict[str, float] = {}
    reason: str = ""


class WorkerStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    id: str
    pid: int
    state: str
    since: float
    generation: int = 0
    rss_bytes: int = 0


class ReplicaStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`generation` is the newest document stored in the replica, `boot` new at every start of it."""

    apiVersion: str  # noqa: N815 - the field's name in the document
    replica: str
    boot: str
    generation: int
    applied: int
    ready: bool
    draining: bool
    models: dict[str, ModelStatus]
    owner: str = ""
    features: tuple[str, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    conditions: dict[str, str] = {}
    memory_bytes: int = 0
    memory_limit_bytes: int = 0


_catalog = msgspec.json.Decoder(Catalog)
_status = msgspec.json.Decoder(ReplicaStatus)


def encode(catalog: Catalog) -> bytes:
    """The bytes that are stored and PUT; the same catalog always gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(catalog, order="deterministic"), indent=1) + b"\n"


def read_catalog(data: bytes) -> Catalog:
    """Raises DocumentFault."""
    try:
        catalog = _catalog.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentFault(f"not a catalog that this operator reads: {error}") from None
    if catalog.apiVersion != CATALOG_VERSION:
        raise DocumentFault(f"$.apiVersion is {catalog.apiVersion!r}, this operator writes {CATALOG_VERSION!r}")
    return catalog


def read_status(data: bytes) -> ReplicaStatus:
    """Raises DocumentFault."""
    try:
        status = _status.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentFault(f"not a status that this operator reads: {error}") from None
    if status.apiVersion != STATUS_VERSION:
        raise DocumentFault(f"$.apiVersion is {status.apiVersion!r}, this operator reads {STATUS_VERSION!r}")
    return status
