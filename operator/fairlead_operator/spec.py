"""What somebody asks to be served: a ServedModel, from YAML or from the tags of a registered model.

    apiVersion: fairlead.dev/v1alpha1        registered model   fairlead.serve = true
    kind: ServedModel                                           fairlead.alias, fairlead.name, fairlead.pool,
    metadata: {name: churn}                                     fairlead.strategy, fairlead.hold
    spec: {model: churn, alias: champion}                       fairlead.settings.max_batch_size = 64, ...

Parsing raises nothing but SpecFault, which names the place. This module must not know the registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

API_VERSION = "fairlead.dev/v1alpha1"
STRATEGIES = ("blue-green",)
VERBS = ("approve", "promote", "abort", "rollback", "pause")
DEFAULT_ALIAS = "champion"
DEFAULT_HOLD_S = 600.0
SETTINGS = "settings."
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
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", installation) or installation in RESERVED:
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


class _Metadata(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _Spec(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    model: Annotated[str, msgspec.Meta(min_length=1)] = ""
    alias: str = ""
    version: str | int = ""
    served_name: str = ""
    pool: str = "default"
    strategy: str = "blue-green"
    settings: dict[str, Any] = {}
    hold_seconds: float | None = None
    allow_signature_change: bool = False


class _ServedModel(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Metadata
    spec: _Spec


def from_yaml(text: str, where: str, created: int = 0, default_alias: str = DEFAULT_ALIAS) -> list[Served]:
    """The ServedModels of one YAML file (documents separated by ---). `where` begins each fault. Raises SpecFault."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecFault(where, " ".join(f"not YAML: {error}".split())) from None
    return [_one(document, f"{where}[{i}]", created, default_alias) for i, document in enumerate(documents)]


def _one(document: Any, where: str, created: int, default_alias: str) -> Served:
    try:
        found = msgspec.convert(document, _ServedModel)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise SpecFault(where + place.rstrip("`"), message) from None
    if (found.api_version, found.kind) != (API_VERSION, "ServedModel"):
        raise SpecFault(f"{where}$.kind", f"wants apiVersion {API_VERSION} and kind ServedModel")
    spec = found.spec
    if spec.alias and spec.version != "":
        raise SpecFault(f"{where}$.spec", "names an alias and a version: use one of them")
    try:
        settings = _plain(spec.settings)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SpecFault(f"{where}$.spec.settings", str(error)) from None
    served = Served(
        served=spec.served_name or found.metadata.name,
        model=spec.model or found.metadata.name,
        alias=spec.alias or ("" if spec.version != "" else default_alias),
        version=str(spec.version),
        pool=spec.pool,
        strategy=spec.strategy,
        settings=settings,
        hold_s=spec.hold_seconds,
        allow_signature_change=spec.allow_signature_change,
        created=created,
    )
    return _checked(served, f"{where}$.spec")


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
