"""One tag of a registered version, told by all claims that serve it: of several pools, or names in one. Pure, but for
the Board, which remembers what the registry was told.

    serving                                where all of them say the same
    serving (pool a); loading (pool b)     where they differ, in the order of the pools' names; with the served names
                                           where the claims of one pool differ
    refused: REASON (pool a: m)            always where the claim has nothing else loaded

A claim for which the version is not loaded any more says nothing while another one has something to say. `own` reads a
claim's part back. What a claim with nothing else loaded refuses is all that is left of it when its memory is lost, and
a new claim that reads it must not take it for its own: so that one is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set

import msgspec

from fairlead_operator.state import Snapshot, VersionTags

LONGEST = 5000  # characters of a tag in MLflow
PART = 300  # of what one claim says beside others
ALONE = 1000  # of what it says alone
NAMED = 8  # claims that say the same
OVER = ("retired", "withdrawn")
REFUSED = "refused:"
_PART = re.compile(r"(.*) \((pool [^()]*)\)")


class Said(msgspec.Struct, frozen=True):
    """What one claim says of a version, and what it knows to be told. `key`: whose it is within its pool."""

    pool: str
    key: str
    served: str
    model: str
    version: str
    wanted: VersionTags
    written: VersionTags


class Note(msgspec.Struct, frozen=True):
    """That what this claim said has been told."""

    pool: str
    key: str
    version: str
    tag: str
    value: str


class Untold(msgspec.Struct, frozen=True):
    """One tag that the registry should be told, and for whom that is news."""

    model: str
    version: str
    tag: str
    value: str
    notes: tuple[Note, ...] = ()


class Board:
    """What the registry was told last of versions that several claims share."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def heard(self, snapshot: Snapshot) -> None:
        """The registry's answer, which may be older than what it was told since; it counts where nothing was told."""
        for model, versions in snapshot.versions.items():
            for version, target in versions.items():
                if target is not None and _parts(target.status):
                    self._known.setdefault((model, version), target.status)

    def untold(self, said: Iterable[Said]) -> list[Untold]:
        """Once for each version and tag, however many claims it has."""
        shared: dict[tuple[str, str], list[Said]] = {}
        loaded = set()
        for one in said:
            shared.setdefault((one.model, one.version), []).append(one)
            if not one.wanted.status.startswith((REFUSED, *OVER)):
                loaded.add((one.pool, one.key))
        self._known = {key: value for key, value in self._known.items() if key in shared}
        found = []
        for key, claims in shared.items():
            if len(claims) == 1 and claims[0].wanted == claims[0].written and key not in self._known:
                continue
            claims.sort(key=lambda one: (one.pool, one.served, one.key))
            notes = _news(claims, "digest")
            if notes:  # files that differ are told as those of the first pool
                digest = next(one.wanted.digest for one in claims if one.wanted.digest)
                found.append(Untold(*key, "digest", digest, notes))
            notes, value = _news(claims, "status"), told(claims, loaded)
            if notes or self._known.get(key, "" if _parts(value) else value) != value:
                found.append(Untold(*key, "status", value, notes))
        return found

    def told(self, untold: Untold) -> None:
        """What names nobody is known by each claim's own memory."""
        if untold.tag == "status":
            self._known.pop((untold.model, untold.version), None)
            if _parts(untold.value):
                self._known[untold.model, untold.version] = untold.value


def _news(claims: Iterable[Said], tag: str) -> tuple[Note, ...]:
    found = []
    for one in claims:
        value: str = getattr(one.wanted, tag)
        if value and value != getattr(one.written, tag):
            found.append(Note(one.pool, one.key, one.version, tag, value))
    return tuple(found)


def told(claims: Sequence[Said], loaded: Set[tuple[str, str]]) -> str:
    """What the tag says. `claims` of one version, in order; `loaded`: pool and key of those that have any
    version loaded."""
    live = [one for one in claims if not one.wanted.status.startswith(OVER)] or claims[:1]
    bare = {(one.pool, one.key) for one in live if one.wanted.status.startswith(REFUSED)} - loaded
    said = {one.wanted.status for one in live}
    if len(said) == 1 and not bare:
        return said.pop()
    by_pool: dict[str, set[str]] = {}
    for one in live:
        by_pool.setdefault(one.pool, set()).add(one.wanted.status)
    parts: dict[str, dict[str, None]] = {}
    for one in live:
        pool, name = _labels(one.pool, one.served)
        label = pool if len(by_pool[one.pool]) == 1 and (one.pool, one.key) not in bare else name
        longest = PART if len(live) > 1 else ALONE
        parts.setdefault(one.wanted.status.replace(";", ",")[:longest], {})[label] = None
    text = "; ".join(f"{status} ({_list(list(labels))})" for status, labels in parts.items())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _labels(pool: str, served: str) -> tuple[str, str]:
    return f"pool {pool}", f"pool {pool}: {re.sub('[();,]', '_', served)}"


def _list(labels: list[str]) -> str:
    more = [f"and {len(labels) - NAMED} more"] if len(labels) > NAMED else []
    return ", ".join(labels[:NAMED] + more)


def own(value: str, pool: str, served: str) -> str:
    """What this claim said; the whole value where nobody is named, "" where others are."""
    parts = _parts(value)
    labels = _labels(pool, served)
    return next((said for said, named in parts if not named.isdisjoint(labels)), "") if parts else value


def names(value: str, pool: str, served: str) -> bool:
    """Whether this very claim is named, not its pool alone."""
    _, name = _labels(pool, served)
    return any(name in named for _, named in _parts(value))


def _parts(value: str) -> list[tuple[str, set[str]]]:
    """What is said, and who says it; empty where nobody is named."""
    if "(pool " not in value:
        return []
    found = [_PART.fullmatch(part) for part in value.split("; ")]
    return [(part[1], set(part[2].split(", "))) for part in found if part] if found[0] else []
