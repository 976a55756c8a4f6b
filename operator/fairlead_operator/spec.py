"""What somebody asks to be served: a ServedModel, from a cluster or a file, or the tags of a registered model.

    apiVersion: fairlead.dev/v1alpha1        registered model   fairlead.serve = true
    kind: ServedModel                                           fairlead.alias, fairlead.name, fairlead.pool,
    metadata: {name: churn}                                     fairlead.strategy, fairlead.hold
    spec: {model: churn, alias: champion}                       fairlead.settings.max_batch_size = 64, ...

Annotations `fairlead.dev/VERB: DIGEST` are a person's one-shot words about one version's files. The YAML's fields and
their rules stand in resource.py. Parsing raises nothing but SpecFault, which names the place. This module must not
know the registry.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead_operator.resource import API_VERSION, DIGEST, KIND, PREFIX, RULES, STRATEGIES, Metadata, ServedModel

VERBS = ("approve", "promote", "abort", "rollback", "pause")
DEFAULT_ALIAS = "champion"
DEFAULT_HOLD_S = 600.0
SETTINGS = "settings."
INSTALLATION = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# Words after `fairlead.` that are tags of ours: an installation of that name could not be told from them.
RESERVED = frozenset(
    {"serve", "alias", "name", "pool", "strategy", "hold", "settings", "status", "digest", "allow_signature_change"}
)


class SpecFault(ValueError):
    """`path` is the place: a field of the YAML, or a tag."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model to serve under the name `served`. Either `alias` or `version` is set.

    `created` (Unix milliseconds) is the claim's age: of two claims to one name the older wins.
    `ref` is who asks: NAMESPACE/NAME of a ServedModel in a cluster, "" for tags and files. `verbs` are its one-shot
    annotations: a verb and the digest that it names.
    """

    served: str
    model: str
    alias: str = ""
    version: str = ""
    pool: str = "default"
    strategy: str = "blue-green"
    settings: dict[str, Any] = {}
    hold_s: float | None = None  # None: the operator's own
    allow_signature_change: bool = False
    require_approval: bool = False
    created: int = 0
    ref: str = ""
    verbs: dict[str, str] = {}


class Tags:
    """The keys of one installation: `fairlead.status`, or `fairlead.staging.status` where it has a name of its own."""

    def __init__(self, installation: str = "default") -> None:
        if not re.fullmatch(INSTALLATION, installation) or installation in RESERVED:
            raise SpecFault(
                "installation", f"{installation!r}: use lower-case letters, digits and dashes, no tag's name"
            )
        self.installation = installation
        self.own = "fairlead." if installation == "default" else f"fairlead.{installation}."

    def key(self, name: str) -> str:
        return self.own + name

    def get(self, tags: Mapping[str, str], name: str) -> str | None:
        """The installation's own tag, else the common one."""
        own = tags.get(self.own + name)
        return own if own is not None else tags.get(f"fairlead.{name}")

    def settings(self, tags: Mapping[str, str]) -> dict[str, Any]:
        """`fairlead.settings.KEY` = JSON (or plain text); the installation's own win."""
        found: dict[str, Any] = {}
        for prefix in dict.fromkeys(("fairlead." + SETTINGS, self.own + SETTINGS)):
            for key in sorted(tags):
                if key.startswith(prefix):
                    found[key.removeprefix(prefix)] = _value(tags[key])
        return found

    def asks(self, tags: Mapping[str, str]) -> bool:
        return (self.get(tags, "serve") or "").strip().lower() == "true"


def from_tags(
    model: str, tags: Mapping[str, str], created: int, keys: Tags, default_alias: str = DEFAULT_ALIAS
) -> Served:
    """The claim that a registered model's tags make. Raises SpecFault."""
    hold = keys.get(tags, "hold")
    try:
        hold_s = None if hold is None else float(hold)
    except ValueError:
        raise SpecFault(f"tag {keys.key('hold')} of {model}", f"{hold!r} is not a number of seconds") from None
    served = Served(
        served=keys.get(tags, "name") or model,
        model=model,
        alias=keys.get(tags, "alias") or default_alias,
        pool=keys.get(tags, "pool") or "default",
        strategy=keys.get(tags, "strategy") or "blue-green",
        settings=keys.settings(tags),
        hold_s=hold_s,
        created=created,
    )
    return _checked(served, f"tags of {model}")


def from_object(found: Any, default_alias: str = DEFAULT_ALIAS) -> Served:
    """The claim of one ServedModel as the API server holds it; its age and its verbs come from its metadata.
    Raises SpecFault, for a verb that names no digest too."""
    model = _converted(found, "")
    created, ref = _milliseconds(model.metadata), f"{model.metadata.namespace}/{model.metadata.name}"
    return msgspec.structs.replace(_claim(model, "", default_alias), created=created, ref=ref)


def from_yaml(text: str, where: str, created: int = 0, default_alias: str = DEFAULT_ALIAS) -> list[Served]:
    """The ServedModels of one YAML file (documents separated by ---). `where` begins each fault. Raises SpecFault."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecFault(where, " ".join(f"not YAML: {error}".split())) from None
    claims = []
    for i, document in enumerate(documents):
        model = _converted(document, f"{where}[{i}]")
        claim = _claim(model, f"{where}[{i}]", default_alias)
        claims.append(msgspec.structs.replace(claim, created=_milliseconds(model.metadata) or created))
    return claims


def _converted(document: Any, where: str) -> ServedModel:
    try:
        found = msgspec.convert(document, ServedModel)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise SpecFault(_at(where, place.removeprefix("$").rstrip("`")), message) from None
    if (found.api_version, found.kind) != (API_VERSION, KIND):
        raise SpecFault(_at(where, ".kind"), f"wants apiVersion {API_VERSION} and kind {KIND}")
    return found


def _claim(found: ServedModel, where: str, default_alias: str) -> Served:
    """What it asks for, but for who asks and since when."""
    spec, name = found.spec, found.metadata.name
    for rule in RULES:
        if not rule.holds(spec):
            raise SpecFault(_at(where, f".{rule.place}".rstrip(".")), rule.message)
    try:
        settings = _plain(spec.settings)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SpecFault(_at(where, ".spec.settings"), str(error)) from None
    fixed = spec.version is not msgspec.UNSET
    served = Served(
        served=spec.served_name or name,
        model=spec.model or name,
        alias=spec.alias or ("" if fixed else default_alias),
        version=str(spec.version) if fixed else "",
        pool=spec.pool,
        strategy=spec.strategy,
        settings=settings,
        hold_s=None if isinstance(spec.hold_seconds, msgspec.UnsetType) else spec.hold_seconds,
        allow_signature_change=spec.allow_signature_change,
        require_approval=spec.require_approval,
        verbs=_verbs(found.metadata.annotations or {}, _at(where, ".metadata.annotations")),
    )
    return _checked(served, _at(where, ".spec"))


def _at(where: str, place: str) -> str:
    """A place in a document of a file, FILE[0]$.spec, or in an object, spec."""
    if not where:
        return place.removeprefix(".") or KIND
    return f"{where}${place}" if place else where


def _verbs(annotations: Mapping[str, str], where: str) -> dict[str, str]:
    said = {verb: annotations[PREFIX + verb] for verb in VERBS if PREFIX + verb in annotations}
    for verb, digest in said.items():
        if not re.fullmatch(DIGEST, digest):
            status = "stable" if verb == "rollback" else "candidate"
            raise SpecFault(
                f"{where}[{PREFIX}{verb}]",
                f"{digest!r} names no digest: write sha256: and 64 hexadecimal digits, as .status.{status}.digest has "
                "them, or take the annotation away",
            )
    return said


def _milliseconds(metadata: Metadata) -> int:
    """When the object was made, Unix milliseconds; 0 where it does not say."""
    made = metadata.creation_timestamp
    if made is None:
        return 0
    return int((made if made.tzinfo else made.replace(tzinfo=datetime.UTC)).timestamp() * 1000)


def from_folder(folder: Path, default_alias: str = DEFAULT_ALIAS) -> tuple[list[Served], dict[str, str]]:
    """All ServedModels below a folder of YAML files, and the faults by file: a file that cannot be read
    is a fault and never an absence. Raises OSError where the folder itself cannot be read."""
    claims: list[Served] = []
    faults: dict[str, str] = {}
    for path in sorted(_yaml_files(folder)):
        try:
            created = int(path.stat().st_mtime * 1000)
            claims += from_yaml(path.read_text(encoding="utf-8"), path.name, created, default_alias)
        except (OSError, UnicodeDecodeError, SpecFault) as error:
            faults[path.name] = str(error)
    return claims, faults


def _yaml_files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and not path.name.startswith("."))


def _checked(served: Served, where: str) -> Served:
    if served.strategy not in STRATEGIES:
        raise SpecFault(where, f"strategy {served.strategy!r} is not known: {', '.join(STRATEGIES)}")
    if served.hold_s is not None and not 0 <= served.hold_s < 1e9:
        raise SpecFault(where, f"hold of {served.hold_s} seconds: give 0 or more")
    return served


def _value(text: str) -> Any:
    """A tag's value: JSON where it is JSON, else the text as it is. The server judges what it means."""
    try:
        return _plain(msgspec.json.decode(text))
    except (ValueError, OverflowError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """As it will be read back from the catalog: a value that changes on the way would be written for ever."""
    return msgspec.json.decode(msgspec.json.encode(value))
