"""The custom resource ServedModel: what a person writes (`spec`) and what the operator answers (`status`).

    types here --hack/generate--> charts/fairlead/files/servedmodels.yaml, the CustomResourceDefinition
              \\--spec.py--------> Served, which is what the rest of the operator reads

Descriptions are what `kubectl explain` shows, field names what people type in `kubectl get -o jsonpath`. What types
cannot say stands in RULES, in the API server's language and in Python side by side: the same YAML is refused by both.
This module must not know the cluster.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

KIND, PLURAL, GROUP, VERSION = "ServedModel", "servedmodels", "fairlead.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
PREFIX = "fairlead.dev/"  # of annotations and labels
STRATEGIES = ("blue-green",)
DIGEST = r"sha256:[0-9a-f]{64}"


Name = Annotated[str, Meta(min_length=1, max_length=256)]
Alias = Annotated[str, Meta(min_length=1, max_length=255)]
Pool = Annotated[str, Meta(min_length=1, max_length=63)]
Seconds = Annotated[float, Meta(ge=0, le=999_999_999)]


def _says(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which model is served, under which name, by which pool, and how a new version takes over."""

    model: Annotated[
        Name | UnsetType,
        _says("The registered model in MLflow. Left out: this object's name. It cannot be changed later."),
    ] = UNSET
    alias: Annotated[
        Alias | UnsetType,
        _says(
            "The alias whose version is served: moving it in MLflow is a promotion. Left out, and no version either: "
            "the operator's own, which is champion unless the chart says otherwise."
        ),
    ] = UNSET
    version: Annotated[
        int | str | UnsetType,
        _says(
            "One fixed version of the model, such as 3, instead of an alias. Changing it is a promotion.", maxLength=10
        ),
    ] = UNSET
    served_name: Annotated[
        Name | UnsetType,
        _says(
            "The name in the URL, /v2/models/NAME; one claim to each name in a pool. Left out: this object's name. "
            "It cannot be changed later."
        ),
    ] = UNSET
    pool: Annotated[Pool, _says("The pool that serves it. It cannot be changed later.")] = "default"
    strategy: Annotated[
        str,
        _says(
            "How the traffic moves to a new version. blue-green: at once, when it is proven in every replica.",
            enum=list(STRATEGIES),
        ),
    ] = "blue-green"
    settings: Annotated[
        dict[str, Any],
        _says("Settings of all its versions; they win over those in the model's folder. See docs/settings.md."),
    ] = {}
    hold_seconds: Annotated[
        Seconds | UnsetType,
        _says(
            "Seconds for which the old version stays loaded after the traffic moved, so that going back is instant. "
            "Left out: the operator's own, which is 600 unless the chart says otherwise."
        ),
    ] = UNSET
    allow_signature_change: Annotated[
        bool, _says("true lets a version through that does not accept what the one before it did.")
    ] = False
    require_approval: Annotated[
        bool,
        _says(
            "true holds a proven version back until somebody approves it by the annotation fairlead.dev/approve, "
            "which names its digest."
        ),
    ] = False


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of an object's metadata; in a file the name is enough."""

    name: Annotated[str, Meta(min_length=1)]
    namespace: str = ""
    creation_timestamp: datetime.datetime | None = None
    annotations: dict[str, str] | None = None


class ServedModel(msgspec.Struct, frozen=True, rename="camel"):
    """A model of the MLflow registry that a pool serves under a name; moving its alias brings a new version."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec


# --- what types cannot say


class Rule(NamedTuple):
    """`cel` is asked by the API server of `place`, and `holds` by whoever reads a file. `message` says what to write
    instead, in the field `blames` (relative to `place`) where that is another one."""

    place: str  # "spec.alias", say; "" is the whole object
    cel: str
    message: str
    holds: Callable[[Spec], bool]
    blames: str = ""


def _matching(field: str, pattern: str, message: str) -> Rule:
    """A text of this form, where the field is set. `pattern` is read by Python and by RE2 alike."""
    name, whole = re.sub("([A-Z])", r"_\1", field).lower(), re.compile(pattern)

    def holds(spec: Spec) -> bool:
        value = getattr(spec, name)
        return value is UNSET or whole.fullmatch(str(value)) is not None

    escaped = f"^({pattern})$".replace("\\", "\\\\")
    return Rule(f"spec.{field}", f"self.matches('{escaped}')", message, holds)


def _version() -> Rule:
    text = _matching("version", "[1-9][0-9]{0,9}", "a version is a positive whole number, such as 3")
    return text._replace(cel=f"type(self) == int ? self > 0 && self <= 9999999999 : {text.cel}")


def _always(spec: Spec) -> bool:
    """Of what must stay as it was: who reads a file does not know how it was."""
    return True


def _stays(field: str, message: str) -> Rule:
    """A name that is the object's own where it is left out."""
    now, before = (f"(has({of}.spec.{field}) ? {of}.spec.{field} : {of}.metadata.name)" for of in ("self", "oldSelf"))
    return Rule("", f"{now} == {before}", f"cannot be changed: {message}", _always, blames=f".spec.{field}")


RULES = (
    _stays("model", "make another ServedModel with another servedName, and delete this one when nobody calls it"),
    _stays("servedName", "make another ServedModel with the new name, and delete this one when nobody calls it"),
    Rule(
        "spec",
        "!has(self.alias) || !has(self.version)",
        "names an alias and a version: use one of them",
        lambda spec: spec.alias is UNSET or spec.version is UNSET,
    ),
    _matching("model", r"[^/:\x00-\x1f\x7f]+", "a registered model's name holds no / and no :"),
    _matching(
        "alias", "[A-Za-z0-9_-]+", "an alias is letters, digits, _ and -; give a name such as champion, without @"
    ),
    _version(),
    _matching("servedName", r"[^\x00-\x1f\x7f]+", "a served name holds no control characters, such as a line's end"),
    _matching("pool", "[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a pool's name is lower-case letters, digits and -"),
    Rule(
        "spec.pool",
        "self == oldSelf",
        "cannot be changed: make another ServedModel for the other pool, and delete this one when that is Ready",
        _always,
    ),
)


# --- the answer


class Pinned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version, and the digest of its files once it is pinned."""

    version: Annotated[str, _says("The version's number in the registry.")]
    digest: Annotated[
        str, _says("The sha256 over its files, once every replica has fetched the same. Verbs name it.")
    ] = ""


class Replicas(msgspec.Struct, frozen=True):
    """How many of the pool's replicas serve it."""

    ready: Annotated[int, _says("Replicas in which the routed version is ready.")]
    total: Annotated[int, _says("Replicas that the pool has.")]


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the last candidate."""

    result: Annotated[str, _says("Pass or Fail.")]
    version: Annotated[str, _says("The candidate's version.")]
    reason: Annotated[str, _says("Why, in a sentence.")]
    time: Annotated[str, _says("When it was decided.", format="date-time")]
    digest: Annotated[str, _says("The candidate's digest, where it was known.")] = ""


Type = Annotated[str, Meta(min_length=1, max_length=316)]
Reason = Annotated[str, Meta(min_length=1, max_length=1024)]
Message = Annotated[str, Meta(max_length=32768)]


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One thing that holds or not, as in metav1.Condition, whose limits these are."""

    type: Annotated[Type, _says("What it is about: Ready, Progressing, Degraded, RegistryReachable, Conflict.")]
    status: Annotated[str, _says("True, False or Unknown.", enum=["True", "False", "Unknown"])]
    reason: Annotated[Reason, _says("Why, in one word for programs.")]
    message: Annotated[Message, _says("Why, in a sentence for people.")]
    last_transition_time: Annotated[str, _says("When the status last changed.", format="date-time")]
    observed_generation: Annotated[int, _says("The generation of the object that this speaks of.")] = 0


_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
# One piece for server-side apply: an owner of each key would take more room than the keys.
_WHOLE = {"x-kubernetes-map-type": "atomic"}
_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True, **_WHOLE}


class Status(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the operator found and does. It can be deleted: the operator writes it again."""

    observed_generation: Annotated[int, _says("The generation of the object that this status speaks of.")]
    phase: Annotated[str, _says("Where its rollout stands, in a word. See docs/rollouts.md.")]
    reason: Annotated[str, _says("Why it stands there and what is waited for, in a sentence.")]
    served_name: Annotated[str, _says("The name in the URL.")]
    pool: Annotated[str, _says("The pool that serves it.")]
    stable: Annotated[Pinned | None, _says("The last version that was fully promoted; going back leads there.")] = None
    candidate: Annotated[Pinned | None, _says("The version on its way to the traffic.")] = None
    weights: Annotated[dict[str, float], _says("How the traffic is spread: percent by version.", **_WHOLE)] = {}
    step: Annotated[str, _says("The step of the strategy that it is at.")] = ""
    replicas: Annotated[Replicas | None, _says("How many of the pool's replicas serve it.")] = None
    conditions: Annotated[
        tuple[Condition, ...],
        _says("Ready, Progressing, Degraded, RegistryReachable, Conflict and others, with reasons.", **_BY_TYPE),
    ] = ()
    last_verdict: Annotated[Verdict | None, _says("What became of the last candidate.")] = None
    memory: Annotated[
        dict[str, Any],
        _says("The operator's memory of the rollout. Lost, it is rebuilt from the stored catalog.", **_ANYTHING),
    ] = {}
