"""What the operator knows: of the world (Observed), of a rollout (Rollout), and what it wants (Plan). All frozen.

    Observed --+
    Rollout  --+--> plan --> Plan: the entry in the catalog, the next Rollout, the tags, the reason
    spec     --+

A Rollout is the memory of one served model, stored as `<state-dir>/rollouts/NAME.json`. It holds times and
remembered refusals; which version is routed is the stored catalog's knowledge, so a Rollout that was lost
is rebuilt from there.
"""

from __future__ import annotations

import enum

import msgspec

from fairlead_operator.documents import Catalog, ModelEntry, ReplicaStatus, Signature
from fairlead_operator.spec import Served

ROLLED_BACK = "a person rolled it back"  # in a refusal's reason: such a version has served


class Phase(enum.StrEnum):
    """What a person reads first. docs/rollouts.md says what to do in each."""

    WAITING = "Waiting"  # nothing to serve yet: no alias, no version
    LOADING = "Loading"  # a new version is beside the old one; replicas fetch, try and warm it
    APPROVAL = "Approval"  # the new version is proven, and waits until a person approves it
    PAUSED = "Paused"  # a person holds the new version back, or all rollouts
    SWITCHING = "Switching"  # the route has moved; not every replica has confirmed it yet
    HOLDING = "Holding"  # the new version serves, the old one is kept warm
    SERVING = "Serving"  # the version that was asked for serves, alone
    REFUSED = "Refused"  # the version that was asked for is not served; the old one is, where there is one
    CONFLICT = "Conflict"  # another model has the same served name
    RETIRED = "Retired"  # nobody asks for it any more; it is being left out


class RegistryUnavailable(Exception):
    """The registry gave no complete answer: never an absence."""


class CatalogConflict(Exception):
    """The stored catalog is not the one that was read, or belongs to another installation."""


# --- the registry


class RegisteredModel(msgspec.Struct, frozen=True):
    """`created` in Unix milliseconds."""

    name: str
    created: int
    tags: dict[str, str]
    aliases: dict[str, str]


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """The version that is asked for, as the registry has it. `source` can be fetched by a replica; "" where
    it cannot, and `problem` says why. `status` and `digest` are what the operator wrote there before; `names_claim`:
    that status names the claim which asks."""

    version: str
    source: str
    problem: str = ""
    status: str = ""
    digest: str = ""
    allow_signature_change: bool = False
    settings: dict[str, object] = {}
    names_claim: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """One complete answer of the registry. `models` that ask to be served or were asked for by name; `gone`
    those of the latter that it does not have, for some of which a `hint` helps; `denied` those that the operator may
    not read: neither there nor gone; `versions` by model (None: it has no such version)."""

    models: dict[str, RegisteredModel]
    gone: tuple[str, ...]
    versions: dict[str, dict[str, Target | None]]
    denied: tuple[str, ...] = ()
    hints: dict[str, str] = {}


class Wanted(msgspec.Struct, frozen=True):
    """What the registry says for one claim: a target, or why there is none (`gone`: a condition and a sentence).
    Both empty: it has not been heard since the operator started. `denied` is why it tells nothing now, a sentence: the
    rest is what it said last."""

    target: Target | None = None
    gone: tuple[str, str] | None = None
    denied: str = ""


# --- the fleet

Seen = ReplicaStatus | str  # what a control address answered, or why it did not


class Answer(msgspec.Struct, frozen=True):
    """What became of a PUT: `stored`; or `conflict`: the replica has a newer catalog, or another one of this
    generation; or neither, and `why` tells."""

    stored: bool = False
    conflict: bool = False
    why: str = ""


class Stored(msgspec.Struct, frozen=True):
    """The stored catalog as it was read: the bytes (None: there is no file yet) and what they say."""

    data: bytes | None
    catalog: Catalog


class Observed(msgspec.Struct, frozen=True):
    """The world, as far as one served model goes. `generation` is that of the stored catalog that holds
    `entry`; `watching` since when this operator has been looking (Unix seconds)."""

    entry: ModelEntry | None
    generation: int
    replicas: dict[str, Seen]
    wanted: Wanted
    next_generation: int = 0  # that of the catalog which would carry this plan's entry
    watching: float = 0.0
    full: str = ""  # why the stored catalog cannot take more of this model; "" while it may


# --- the memory of a rollout


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The version on its way. `ranks` is the furthest that each replica has come with it, and
    `progress_at` when one of them last came further."""

    version: str
    source: str
    since: float
    progress_at: float
    ranks: dict[str, int] = {}


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version that is not tried again unasked. `left`: the alias has moved away since; its return is the retry."""

    version: str
    source: str
    reason: str
    at: float
    digest: str = ""
    left: bool = False


class Spent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verb that has counted, for this digest; `said` is why nothing came of it."""

    digest: str
    said: str = ""


class VersionTags(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version's tags say, or should."""

    status: str = ""
    digest: str = ""


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """`stable` is the last version that was fully promoted, at `promoted`, and `signature` its. `switched` is the
    generation that carries the route to `routed`. `held` maps versions kept warm to the time their hold began (0:
    not yet confirmed); of those in `doubted` it is not known whether they ever served. `attempts` holds the time of
    a version's last retry, which the catalog tells the server. `spent`: annotations that have counted, by verb.
    `tags` are wanted, `written` are known to be in the registry. `blank`: it has just begun, or was lost, and the
    registry has not been heard since."""

    served: str
    model: str
    spec: Served | None = None
    phase: Phase = Phase.WAITING
    reason: str = ""
    since: float = 0.0
    target: Target | None = None
    stable: str = ""
    promoted: float = 0.0
    signature: Signature | None = None
    candidate: Candidate | None = None
    routed: str = ""
    switched: int = 0
    held: dict[str, float] = {}
    doubted: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    attempts: dict[str, int] = {}
    spent: dict[str, Spent] = {}
    conditions: dict[str, str] = {}
    tags: dict[str, VersionTags] = {}
    written: dict[str, VersionTags] = {}
    blank: bool = False


# --- the decision


class Event(msgspec.Struct, frozen=True):
    """One line of the audit log. `who`: "" is the operator itself."""

    what: str
    why: str
    version: str = ""
    digest: str = ""
    who: str = ""


class Plan(msgspec.Struct, frozen=True):
    """`entry` is what the catalog should hold (None: leave the model out). `done`: nothing is left to
    remember once this is stored."""

    entry: ModelEntry | None
    rollout: Rollout
    events: tuple[Event, ...] = ()
    done: bool = False


class Outlook(msgspec.Struct, frozen=True):
    """All that is known of one claim after a step: what a ServedModel's status is made of. `entry` is what the
    stored catalog holds for it, `ready` the replicas in which its routed version is ready."""

    rollout: Rollout
    entry: ModelEntry | None
    ready: int
    replicas: int
    fault: str = ""  # why the claim cannot be read, or is not allowed
    ref: str = ""  # who asks: NAMESPACE/NAME of a ServedModel; for a fault without a rollout, what it is known by
