"""A watched folder of models, for a server with no registry: what lies there -> the models of a catalog.

    DIR/NAME/VERSION/model.onnx   Triton's layout        DIR/NAME/MLmodel            an MLflow model, version 1
    DIR/NAME/model.onnx           version 1              DIR/NAME/VERSION/MLmodel
    FILE.onnx                     one model of that name, version 1

All versions are loaded and the highest number takes the route. A version is taken when two scans in a row saw it
unchanged, so that a half-copied one is not, and disappears when two scans did not see it. What is broken or odd is
told by its reason and hurts nobody: a version that was taken stays as it was for as long as its folder is broken,
and everything stays while the watched folder itself cannot be read.

`scan` reads, `settle` decides. Files are hashed only when size, time or inode changed, but then whole: call
`scan` on a thread.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fairlead_server.models.catalog import ModelEntry, Route, VersionEntry
from fairlead_server.store.digest import digest_of, sha256_of
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Limits
from fairlead_server.store.listing import LocalFile, list_folder

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_MARKS = ("MLmodel", "model.onnx")  # either makes a folder a version
Key = tuple[str, str]  # model, version


class Sighting(NamedTuple):
    """One version as it lies there. `files` is equal as long as its content is."""

    source: str
    files: tuple[LocalFile, ...]


class Look(NamedTuple):
    """One pass. `broken` maps what could not be made out to the reason: "" (all), NAME or NAME/VERSION."""

    seen: Mapping[Key, Sighting]
    broken: Mapping[str, str]


class Taken(NamedTuple):
    sighting: Sighting
    digest: str


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the next scan needs of this one."""

    last: Look = dataclasses.field(default_factory=lambda: Look({}, {}))
    taken: Mapping[Key, Taken] = dataclasses.field(default_factory=dict)


class Scan(NamedTuple):
    """`problems` maps NAME, NAME/VERSION or "" (the watched folder itself) to the reason."""

    models: dict[str, ModelEntry]
    problems: dict[str, str]
    memory: Memory


def remember(models: Mapping[str, ModelEntry]) -> Memory:
    """For the first scan after a restart, from the stored catalog: what cannot be read then stays, as it does later."""
    taken = {
        (model, version): Taken(Sighting(one.source, ()), one.digest)
        for model, entry in models.items()
        for version, one in entry.versions.items()
        if one.digest is not None and _NUMBER.fullmatch(version)
    }
    return Memory(Look({key: old.sighting for key, old in taken.items()}, {}), taken)


def scan(path: Path, previous: Memory | None = None) -> Scan:
    """Never raises: what goes wrong is in `problems`."""
    memory = previous or Memory()
    look = look_at(path.absolute())
    digests: dict[Key, str] = {}
    broken = dict(look.broken)
    for key in to_hash(look, memory):
        try:
            digests[key] = _digest(look.seen[key])
        except (OSError, FetchFailure) as error:
            broken["/".join(key)] = f"cannot be read: {error}"
    return settle(Look(look.seen, broken), memory, digests)


def to_hash(look: Look, memory: Memory) -> list[Key]:
    """The versions that two looks saw unchanged and that are not taken as they are."""
    steady = [key for key, sighting in look.seen.items() if memory.last.seen.get(key) == sighting]
    return [key for key in steady if key not in memory.taken or memory.taken[key].sighting != look.seen[key]]


def settle(look: Look, memory: Memory, digests: Mapping[Key, str]) -> Scan:
    """`digests` holds what was hashed of `to_hash`; one that is missing stays as it was."""
    taken = {key: old for key, old in memory.taken.items() if _stays(key, look, memory.last)}
    taken |= {key: Taken(look.seen[key], digest) for key, digest in digests.items()}
    problems = {name: why for name, why in look.broken.items() if memory.last.broken.get(name) == why}
    return Scan(_models(taken), problems, Memory(look, taken))


def _stays(key: Key, look: Look, last: Look) -> bool:
    return key in look.seen or key in last.seen or any(name in look.broken for name in ("", key[0], "/".join(key)))


def _models(taken: Mapping[Key, Taken]) -> dict[str, ModelEntry]:
    versions: dict[str, dict[str, VersionEntry]] = {}
    for (model, version), one in sorted(taken.items(), key=lambda item: (item[0][0], int(item[0][1]))):
        versions.setdefault(model, {})[version] = VersionEntry(source=one.sighting.source, digest=one.digest)
    return {
        model: ModelEntry(versions=entries, route=Route(weights={max(entries, key=int): 1.0}))
        for model, entries in versions.items()
    }


# --- reading


def look_at(path: Path) -> Look:
    seen: dict[Key, Sighting] = {}
    broken: dict[str, str] = {}
    try:
        places = list(_places(path, broken))
    except OSError as error:
        return Look({}, {"": f"{path} cannot be read: {error.strerror or error}"})
    for key, place in places:
        try:
            seen[key] = Sighting(str(place), _files(place))
        except FetchFailure as failure:
            broken["/".join(key)] = failure.reason
        except OSError as error:
            broken["/".join(key)] = f"cannot be read: {error.strerror or error}"
    return Look(seen, broken)


def _places(path: Path, broken: dict[str, str]) -> Iterator[tuple[Key, Path]]:
    """Where versions lie; what is odd goes into `broken`. Raises OSError when `path` itself cannot be read."""
    if path.is_file():
        if path.suffix == ".onnx":
            yield (path.stem, "1"), path
        else:
            broken[""] = f"{path} is no .onnx file"
        return
    for entry in _children(path):
        if not entry.name.isprintable():
            broken[repr(entry.name)] = "the name holds characters that cannot be shown: rename it"
        elif entry.is_dir():
            try:
                yield from _versions(path / entry.name, broken)
            except OSError as error:
                broken[entry.name] = f"cannot be read: {error.strerror or error}"
        elif entry.name.endswith(".onnx") or entry.name in _MARKS:
            broken[entry.name] = f"a model has a folder of its own: move it to {path.name}/NAME/{entry.name}"


def _versions(folder: Path, broken: dict[str, str]) -> Iterator[tuple[Key, Path]]:
    children = list(_children(folder))
    marks = [entry.name for entry in children if entry.name in _MARKS]
    numbers = [entry.name for entry in children if entry.is_dir() and _NUMBER.fullmatch(entry.name)]
    name = folder.name
    if marks == ["model.onnx"] and numbers:
        broken[name] = f"holds model.onnx and also the version {numbers[0]}: move it into a version's folder"
    elif marks:
        yield (name, "1"), folder
    elif not numbers:
        broken[name] = "holds no model.onnx, no MLmodel, and no folder that is named by a version's number"
    for number in () if marks else numbers:
        if any((folder / number / mark).is_file() for mark in _MARKS):
            yield (name, number), folder / number
        else:
            broken[f"{name}/{number}"] = "holds no model.onnx and no MLmodel"


def _children(folder: Path) -> list[os.DirEntry[str]]:
    """Without the hidden ones, which belong to file systems and editors."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _files(place: Path) -> tuple[LocalFile, ...]:
    if place.is_dir():
        return tuple(list_folder(place, Limits()))
    facts = place.stat()
    return (LocalFile(place.name, facts.st_size, facts.st_mtime_ns, facts.st_ino),)


def _digest(sighting: Sighting) -> str:
    """As the fetcher will find it. Raises when the files changed meanwhile: the next scans will see."""
    place = Path(sighting.source)
    folder = place if place.is_dir() else place.parent
    digest = digest_of({file.path: sha256_of(folder / file.path) for file in sighting.files})
    if _files(place) != sighting.files:
        raise FetchFailure("changed while it was read", retry=True)
    return digest
