"""What of the next catalog is written where not all of it fits: what makes it grow waits, and the rest goes on. Pure,
but for `size`, which packs a document.

    growths    what is asked for beyond what is stored: versions of stored models, then new models; the oldest first
    left_out   those that wait: the newest new models first, then the newest versions

One object stops no other: what is smaller goes in after what is too large, and what makes nothing grow (a route that
moves, a pin, a removal, a return) is not weighed. New models leave a reserve, so that a full pool can still promote.
What waits is weighed again when there is more room than there was, or something else is asked for: until then it costs
nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from fairlead_operator.documents import ModelEntry, Route, VersionEntry
from fairlead_operator.spec import Served
from fairlead_operator.state import Wanted

TOO_LARGE = "CatalogTooLarge"  # the condition
RESERVE = 32  # one part in so many is kept for new versions
PIN = 48  # packed bytes of a digest that is to come; 41 were measured
LEAST = 32  # packed bytes: less room than this is none
TRIES = 3
SPARE = 1.002  # of the estimate: what is left unused rather than packed once more

Size = Callable[[Collection[str]], int]


class Growth(msgspec.Struct, frozen=True):
    """One object's wish. `bytes`: what it takes by itself, packed. `new`: the model is not stored yet."""

    served: str
    new: bool
    bytes: int


class Wait(msgspec.Struct, frozen=True):
    """What did not fit into so much room, in bytes: the same into as much does not fit either."""

    spec: Served | None
    wanted: Wanted
    room: int

    def lasts(self, spec: Served | None, wanted: Wanted, room: int) -> bool:
        return room < self.room + LEAST and self.spec == spec and self.wanted == wanted


def why(largest: int) -> str:
    """The same as long as it waits: no figure that moves."""
    return (
        f"it does not fit into the pool's catalog, which holds {largest} bytes compressed: serve fewer models in this "
        "pool, or divide them over two. It goes on by itself when there is room"
    )


def grows(old: ModelEntry | None, new: ModelEntry | None) -> bool:
    """Whether the versions take more than before; a digest or an attempt that is to come counts as there."""
    return new is not None and (old is None or _weight(new) > _weight(old))


def _weight(entry: ModelEntry) -> int:
    versions = (VersionEntry(version.source, None, version.settings) for version in entry.versions.values())
    return sum(100 + len(msgspec.json.encode(version)) for version in versions)


def growths(
    stored: Mapping[str, ModelEntry], changed: Mapping[str, ModelEntry | None], created: Callable[[str], int]
) -> tuple[Growth, ...]:
    """In the order in which they go in. `created`: how old the claim to a served name is, in Unix milliseconds."""
    grown = {name: entry for name, entry in changed.items() if entry is not None and grows(stored.get(name), entry)}
    order = sorted(grown, key=lambda name: (name not in stored, created(name), name))
    return tuple(Growth(name, name not in stored, _packed(name, grown[name], stored.get(name))) for name in order)


def _packed(name: str, entry: ModelEntry, old: ModelEntry | None) -> int:
    """What it adds to a document of entries like it, about: packed with the names of the fields known."""
    added = {v: new for v, new in entry.versions.items() if old is None or old.versions.get(v) != new}
    packer = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=_KNOWN)
    text = msgspec.json.encode({name: ModelEntry(added, entry.route, entry.aliases)})
    return len(packer.compress(text)) + len(packer.flush()) + to_come({name: ModelEntry(added, entry.route)})


_KNOWN = msgspec.json.encode(
    {"": ModelEntry({"1": VersionEntry("mlflow-artifacts:/", "sha256:")}, Route({"1": 1.0}), {"champion": "1"})}
)


def to_come(models: Mapping[str, ModelEntry]) -> int:
    """Packed bytes of the digests that the versions will be pinned to."""
    return PIN * sum(version.digest is None for entry in models.values() for version in entry.versions.values())


def without(
    wanted: Mapping[str, ModelEntry], stored: Mapping[str, ModelEntry], out: Collection[str]
) -> dict[str, ModelEntry]:
    """The models of the document in which these are as they are stored."""
    kept = {name: entry for name, entry in wanted.items() if name not in out}
    return kept | {name: stored[name] for name in out if name in stored}


def left_out(grown: Sequence[Growth], size: Size, largest: int) -> tuple[frozenset[str], int]:
    """Who waits, and how large the document is then. `size` is asked five times at most: of the document in which
    these wait, packed, with the digests that are to come."""
    nobody = frozenset[str]()
    whole = size(nobody)
    if _fits(grown, nobody, whole, largest):
        return nobody, whole
    everybody = frozenset(growth.served for growth in grown)
    least = size(everybody)
    scale = SPARE * max(1, whole - least) / sum(growth.bytes for growth in grown)
    for _ in range(TRIES):
        out, expected = _chosen(grown, scale, largest - least, largest // RESERVE)
        if out == everybody:
            break
        found = size(out)
        if _fits(grown, out, found, largest):
            return out, found
        scale *= SPARE * max(1.0, (found - least) / expected)
    return everybody, least


def _fits(grown: Sequence[Growth], out: Collection[str], size: int, largest: int) -> bool:
    """New models leave the reserve, where any of them is in."""
    new = any(growth.new and growth.served not in out for growth in grown)
    return size <= largest - (largest // RESERVE if new else 0)


def _chosen(grown: Sequence[Growth], scale: float, room: int, reserve: int) -> tuple[frozenset[str], float]:
    """Who waits where each takes `scale` times what it takes by itself, and what the others take."""
    out, used = set(), 0.0
    for growth in grown:
        takes = growth.bytes * scale
        if used + takes > room - (reserve if growth.new else 0):
            out.add(growth.served)
        else:
            used += takes
    return frozenset(out), used
