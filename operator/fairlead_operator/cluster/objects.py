"""The ServedModels as they are known here: fed by the watch, proven complete by lists. Says what each one asks for.

    event    the watch saw one                          -> newer than what is known: taken over
    filled   a whole list                               -> what is not in it, and not newer than it, is gone
    checked  a list of names and versions, now and then -> what is gone, and what the watch has missed

A watch that breaks tells nobody what was removed meanwhile; a list does. So a removal is certain at once: the
watch said DELETED, or a complete list does not have it. An error is never an absence. Pure, but for the memory.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from fairlead_operator.config import Config
from fairlead_operator.resource import PREFIX
from fairlead_operator.sightings import Claims
from fairlead_operator.spec import Served, SpecFault, from_object

Object = dict[str, Any]
FROM_REGISTRY = PREFIX + "from-registry"
INSTALLATION = PREFIX + "installation"
CHECKS = 3  # a removal is remembered for so many: they are 2 s apart, and no answer comes later than 4 s


class Known(msgspec.Struct, frozen=True):
    """One ServedModel: `claim` where it can be read, else `fault`. `status` as the API server has it."""

    ref: str
    uid: str
    version: int
    generation: int
    claim: Served | None
    fault: str
    status: Object
    found: Object

    @property
    def namespace(self) -> str:
        return self.ref.partition("/")[0]

    @property
    def name(self) -> str:
        return self.ref.partition("/")[2]

    def made_from_tags(self, installation: str) -> bool:
        metadata = self.found["metadata"]
        return (metadata.get("labels") or {}).get(FROM_REGISTRY) == "true" and (metadata.get("annotations") or {}).get(
            INSTALLATION, "default"
        ) == installation


class Missed(msgspec.Struct, frozen=True):
    """What a check found: `stale` are to be read again."""

    gone: tuple[str, ...]
    stale: tuple[str, ...]


class Objects:
    """By NAMESPACE/NAME. `changed` is called when somebody asks for something else; statuses are ours. `doubted` is
    for who meets an object that seems to be gone: only a list proves it."""

    def __init__(
        self, default_alias: str, changed: Callable[[], None], doubted: Callable[[], None] = lambda: None
    ) -> None:
        self._alias = default_alias
        self._told = changed
        self.doubted = doubted
        self._removed = collections.deque([set[str]()], CHECKS)  # UIDs, by check; none ever comes back
        self.known: dict[str, Known] = {}
        self.complete = False
        self.revision = 0  # moves when somebody asks for something else

    def event(self, kind: str, found: Object) -> None:
        """What the watch saw."""
        if kind == "DELETED":
            self._drop(ref_of(found), found["metadata"]["uid"])
        else:
            self.put(found)

    def put(self, found: Object) -> None:
        """An object as it was read, watched or written. Late news of one that was removed since change nothing."""
        new = known(found, self._alias)
        old = self.known.get(new.ref)
        if (old is not None and old.version >= new.version) or any(new.uid in uids for uids in self._removed):
            return
        if _ending(found):
            self._drop(new.ref, new.uid)  # whoever's finalizer it waits for: nobody asks for it any more
            return
        self.known[new.ref] = new
        if old is None or (old.claim, old.fault, old.uid) != (new.claim, new.fault, new.uid):
            self._changed()

    def filled(self, items: Iterable[Object], version: int) -> None:
        """A whole list, as new as `version` says."""
        present = set()
        for item in items:
            if not _ending(item):
                present.add(ref_of(item))
            self.put(item)
        self._forget(present, version)
        self.complete = True
        self._changed()

    def checked(self, items: Iterable[Object], version: int) -> Missed:
        """A whole list of metadata alone."""
        present = {ref_of(item): int(item["metadata"]["resourceVersion"]) for item in items if not _ending(item)}
        gone = self._forget(present, version)
        self._removed.append(set())
        missing = [ref for ref, at in present.items() if ref not in self.known or self.known[ref].version < at]
        if gone:
            self._changed()
        return Missed(gone, tuple(missing))

    def _forget(self, present: Iterable[str], version: int) -> tuple[str, ...]:
        gone = [ref for ref in set(self.known).difference(present) if self.known[ref].version <= version]
        for ref in gone:
            self._removed[-1].add(self.known.pop(ref).uid)
        return tuple(gone)

    def _changed(self) -> None:
        self.revision += 1
        self._told()

    def _drop(self, ref: str, uid: str) -> None:
        self._removed[-1].add(uid)
        if ref in self.known and self.known[ref].uid == uid:
            del self.known[ref]
            self._changed()


def known(found: Object, default_alias: str) -> Known:
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    found = {**found, "metadata": metadata}
    claim, fault = None, ""
    try:
        claim = from_object(found, default_alias)
    except SpecFault as error:
        fault = str(error)
    except Exception as error:  # an object that the schema should have refused hurts no other
        fault = f"it cannot be read: {error!r}"
    return Known(
        ref_of(found), metadata["uid"], int(metadata["resourceVersion"]), metadata.get("generation", 0), claim, fault,
        found.get("status") or {}, found,
    )  # fmt: skip


def _ending(found: Object) -> bool:
    """Deleted, though somebody's finalizer still holds it."""
    return bool(found["metadata"].get("deletionTimestamp"))


def ref_of(found: Object) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


# --- who asks which pool for what


def refusal(one: Known, config: Config) -> str:
    """Why no pool may serve it; "" where its pool does."""
    if one.claim is None:
        return ""
    pool = config.pools.get(one.claim.pool)
    if pool is None:
        return f"there is no pool {one.claim.pool!r} here: it has {', '.join(sorted(config.pools))}"
    if not pool.allows(one.namespace):
        return f"the pool {one.claim.pool!r} does not allow the namespace {one.namespace!r}"
    return ""


def claims_of(objects: Mapping[str, Known], pool: str, config: Config, complete: bool) -> Claims:
    """What the ServedModels ask one pool for. One that cannot be read withdraws nothing: what it asked for last,
    or what goes by its name, stays."""
    served, faults = [], {}
    for one in objects.values():
        if one.claim is None:
            faults[one.ref] = one.fault
            faults[served_name(one)] = one.fault
        elif one.claim.pool == pool and not refusal(one, config):
            served.append(one.claim)
    return Claims(tuple(served), faults, complete=complete, by_tags=False, certain=complete)


def served_name(one: Known) -> str:
    """The name that it would serve under, as far as that can be read."""
    spec = one.found.get("spec")
    named = spec.get("servedName") if isinstance(spec, dict) else None
    return named if isinstance(named, str) and named else one.name
