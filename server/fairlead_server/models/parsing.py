"""A catalog document's bytes -> the Catalog, with every fault named by its place in the document.

    whole document   broken text, wrong apiVersion, unknown `requires`   CatalogFault: nothing is taken
    one model        anything inside `models.NAME`                       left out of the catalog, told in `faults`

A fault inside one model must not stop the others, so the caller lets such a model keep its last good
entry (`compare.with_last_good`). Unknown optional fields are ignored: a newer operator may write them;
what a reader must understand is named in `requires`.

JSON is the form on the wire; a file may be YAML. This module must not know where the bytes came from.
Measured: 5,000 models of two versions (2 MB) take 57 ms as JSON, 1.6 s as YAML. Of the next document only the entries
are read whose bytes differ: 2.5 ms for one of 5,000.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from fairlead_server.models import from_yaml
from fairlead_server.models.catalog import API_VERSION, FEATURES, Catalog, Match, ModelEntry, Route, VersionEntry
from fairlead_server.models.settings import resolve


class CatalogFault(Exception):
    """`path` is the place in the document, `$.models["churn"].route` say; `message` what is wrong there."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class Parsed(NamedTuple):
    """`faults` maps each model that was left out of `catalog` to the reason."""

    catalog: Catalog
    faults: dict[str, str]


class _Document(msgspec.Struct):
    """The catalog with its models left as they are, so that one of them cannot spoil the rest."""

    apiVersion: str  # noqa: N815 - the field's name in the document
    generation: Annotated[int, msgspec.Meta(ge=1)]
    models: dict[str, msgspec.Raw]
    owner: str = ""
    requires: tuple[str, ...] = ()


class _YamlDocument(_Document):
    models: dict[str, Any]  # YAML has no raw text to keep


_json_document = msgspec.json.Decoder(_Document)
_json_entry = msgspec.json.Decoder(ModelEntry)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # neither logs nor metrics have a place for them


def parse(data: bytes, *, yaml: bool = True) -> Parsed:
    """Raises CatalogFault, and nothing else, when the document as a whole cannot be taken.

    `yaml` allows YAML beside JSON: for a file, not for what came over the wire.
    """
    return Reader().read(data, yaml=yaml)


class Reader:
    """Reads one document after the other: an entry with the bytes of last time is the same object again. From one
    thread at a time."""

    def __init__(self) -> None:
        self._texts: dict[str, Any] = {}
        self._last: Parsed | None = None

    def read(self, data: bytes, *, yaml: bool = True) -> Parsed:
        """As `parse`."""
        document = _read(data, yaml)
        if document.apiVersion != API_VERSION:
            raise CatalogFault("$.apiVersion", f"is {document.apiVersion!r}, and this server reads {API_VERSION!r}")
        unknown = sorted(set(document.requires) - FEATURES)
        if unknown:
            raise CatalogFault("$.requires", f"this server does not know {', '.join(unknown)}: upgrade it first")
        models, faults = self._entries(document.models)
        catalog = Catalog(
            apiVersion=document.apiVersion,
            generation=document.generation,
            models=models,
            owner=document.owner,
            requires=document.requires,
        )
        self._texts, self._last = document.models, Parsed(catalog, faults)
        return self._last

    def _entries(self, texts: dict[str, Any]) -> tuple[dict[str, ModelEntry], dict[str, str]]:
        models: dict[str, ModelEntry] = {}
        faults: dict[str, str] = {}
        last = self._last.catalog.models if self._last is not None else {}
        for name, text in texts.items():
            unchanged = isinstance(text, msgspec.Raw) and self._texts.get(name) == text
            same = last.get(name) if unchanged else None
            try:
                models[name] = same or _entry(name, text)
            except CatalogFault as fault:
                faults[name] = str(fault)
        return models, faults


def _read(data: bytes, yaml: bool) -> _Document:
    try:
        if data.lstrip()[:1] == b"{" or not yaml:
            return _json_document.decode(data)
        return msgspec.convert(from_yaml.read(data), _YamlDocument)
    except from_yaml.YamlFault as fault:
        raise CatalogFault("$", f"is neither JSON nor YAML: {fault}") from None
    except msgspec.ValidationError as error:
        raise _located("$", error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CatalogFault("$", str(error)) from None
    except RecursionError:
        raise CatalogFault("$", "is nested too deeply") from None


def _entry(name: str, raw: Any) -> ModelEntry:
    """One model's entry. Decoded in one go where all is well; read piece by piece to find a fault's place."""
    if not name:
        raise CatalogFault('$.models[""]', "a model needs a name")
    path = f"$.models[{json.dumps(name, ensure_ascii=False)}]"
    if _CONTROL.search(name):
        raise CatalogFault(path, "a model's name holds no control characters")
    try:
        entry = _json_entry.decode(raw) if isinstance(raw, msgspec.Raw) else msgspec.convert(raw, ModelEntry)
    except msgspec.ValidationError as error:
        raise _in_pieces(path, raw) or _located(path, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CatalogFault(path, str(error)) from None
    _check_versions(path, entry)
    _check_route(f"{path}.route", entry)
    return entry


def _in_pieces(path: str, raw: Any) -> CatalogFault | None:
    """The first version that does not hold, by its name: msgspec itself says only `versions[...]`."""
    try:
        built = msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else raw
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    versions = built.get("versions") if isinstance(built, Mapping) else None
    for version, value in versions.items() if isinstance(versions, Mapping) else ():
        if not isinstance(version, str):
            return CatalogFault(f"{path}.versions", f'a version is text: write "{version}" in quotes')
        try:
            msgspec.convert(value, VersionEntry)
        except msgspec.ValidationError as error:
            return _located(f"{path}.versions[{json.dumps(version)}]", error)
    return None


def _check_versions(path: str, entry: ModelEntry) -> None:
    if not entry.versions:
        raise CatalogFault(f"{path}.versions", "holds no version")
    for version, wanted in entry.versions.items():
        here = f"{path}.versions[{json.dumps(version)}]"
        if not version or _CONTROL.search(version):
            raise CatalogFault(here, "a version needs a name, without control characters")
        if not wanted.source:
            raise CatalogFault(f"{here}.source", "is empty")
        try:
            resolve(wanted.settings)
        except ValueError as error:
            raise CatalogFault(f"{here}.settings", str(error)) from None
    for alias, version in entry.aliases.items():
        here = f"{path}.aliases[{json.dumps(alias, ensure_ascii=False)}]"
        _check_known(here, version, entry)
        if alias in entry.versions and alias != version:
            raise CatalogFault(here, f"is also the name of a version, and names version {version}")


def _check_route(path: str, entry: ModelEntry) -> None:
    route: Route = entry.route
    for version in route.weights:
        _check_known(f"{path}.weights", version, entry)
    total = sum(route.weights.values())
    # All of them 0 is how a version is loaded before anything is routed to it.
    if not route.weights or not 0 <= total < float("inf"):
        raise CatalogFault(f"{path}.weights", "names no version, or its sum is not finite")
    if route.sticky is not None and (route.sticky.header is None) == (route.sticky.parameter is None):
        raise CatalogFault(f"{path}.sticky", "names one header or one parameter")
    for i, match in enumerate(route.matches):
        _check_match(f"{path}.matches[{i}]", match, entry)


def _check_match(path: str, match: Match, entry: ModelEntry) -> None:
    _check_known(f"{path}.version", match.version, entry)
    if (match.header is None) == (match.parameter is None):
        raise CatalogFault(path, "names one header or one parameter")


def _check_known(path: str, version: str, entry: ModelEntry) -> None:
    if version not in entry.versions:
        known = ", ".join(sorted(entry.versions))
        raise CatalogFault(path, f"names version {version!r}, and the entry holds {known}")


def _located(path: str, error: msgspec.ValidationError) -> CatalogFault:
    """msgspec ends its text with the place below what it was given: " - at `$.route`", or " - at `key` in `$`"."""
    message, _, place = str(error).partition(" - at `")
    if place.startswith("key` in "):
        message, place = f"a key: {message} (YAML reads bare numbers as such: use quotes)", place.partition("`$")[2]
    return CatalogFault(path + place.rstrip("`").removeprefix("$"), message)
