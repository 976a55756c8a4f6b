"""ServedModels made from tags: a registered model with `fairlead.serve=true` gets one, where the configuration allows.

    wanted   the tags of one complete answer -> the objects that should be there, and why others should not
    changes  what is there against what should be -> made, changed and removed

An object that somebody else made is never touched: one is made only where none is, and changed by its UID. One of
ours is removed only when the tag is gone from three complete answers; a model that is gone took its tags with it, and
that is no removal. Pure, but for Maker.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.cluster.objects import FROM_REGISTRY, INSTALLATION, Known, Objects
from fairlead_operator.config import Config
from fairlead_operator.resource import GROUP, KIND, VERSION
from fairlead_operator.sightings import LOOKS
from fairlead_operator.spec import Served, SpecFault, Tags, from_tags
from fairlead_operator.state import Snapshot

AT_ONCE = 50  # changes after one answer; the rest after the next
LONGEST = 128  # answers between two attempts at what the API server refuses
KEPT = ("model", "servedName", "pool")  # what it lets nobody change
OPTIONAL = ("settings", "holdSeconds")  # what goes when no tag asks for it


class Wanted(msgspec.Struct, frozen=True):
    """By object name. `faults` by model: tags that cannot be read, or ask for what is not allowed."""

    specs: dict[str, dict[str, Any]]
    faults: dict[str, str]


class Changes(msgspec.Struct, frozen=True):
    """`absent` counts, by object name, the answers in a row that did not ask for it. `moved`: objects that are made
    anew after the next answer, for what they ask for now cannot be changed in place."""

    apply: dict[str, dict[str, Any]]
    remove: tuple[Known, ...]
    absent: dict[str, int]
    taken: tuple[str, ...]
    moved: tuple[Known, ...] = ()


def object_name(model: str) -> str:
    """The model's name where it can be an object's, else one made of it that no other model has."""
    if re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", model) and ".." not in model:
        return model
    plain = re.sub("[^a-z0-9]+", "-", model.lower()).strip("-")[:50].strip("-")
    return f"{plain or 'model'}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def wanted(snapshot: Snapshot, keys: Tags, config: Config) -> Wanted:
    specs, faults = {}, {}
    for model in snapshot.models.values():
        if not keys.asks(model.tags):
            continue
        try:
            claim = from_tags(model.name, model.tags, model.created, keys, config.registry.alias)
            _allow(claim, config)
            specs[object_name(model.name)] = spec_of(claim)
        except SpecFault as fault:
            faults[model.name] = str(fault)
    return Wanted(specs, faults)


def _allow(claim: Served, config: Config) -> None:
    pools = config.tags.pools or tuple(config.pools)
    if claim.pool not in pools:
        raise SpecFault(
            f"pool of {claim.model}", f"{claim.pool!r} is none of those that tags may name: {', '.join(pools)}"
        )
    if not config.pools[claim.pool].allows(config.tags.namespace or ""):
        raise SpecFault(
            f"pool of {claim.model}", f"{claim.pool!r} does not allow the namespace {config.tags.namespace!r}"
        )


def spec_of(claim: Served) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "model": claim.model, "alias": claim.alias, "servedName": claim.served, "pool": claim.pool,
        "strategy": claim.strategy,
    }  # fmt: skip
    if claim.settings:
        spec["settings"] = claim.settings
    if claim.hold_s is not None:
        spec["holdSeconds"] = claim.hold_s
    return spec


def changes(
    want: Wanted, there: Mapping[str, Known], snapshot: Snapshot, old: Mapping[str, int], installation: str
) -> Changes:
    """`there`: the ServedModels of the namespace by name; `old`: the last Changes' `absent`."""
    apply, taken, moved = {}, [], []
    for name, spec in want.specs.items():
        one = there.get(name)
        if one is not None and not one.made_from_tags(installation):
            taken.append(name)
        elif one is not None and any(one.found.get("spec", {}).get(key, spec[key]) != spec[key] for key in KEPT):
            moved.append(one)
        elif one is None or not _contains(one.found.get("spec") or {}, spec):
            apply[name] = spec
    remove, absent = [], {}
    for name, one in there.items():
        model = (one.found.get("spec") or {}).get("model", "")
        if not one.made_from_tags(installation) or name in want.specs or model in want.faults:
            continue
        if model not in snapshot.models:
            continue  # the model is gone, and its tags with it
        absent[name] = old.get(name, 0) + 1
        if absent[name] >= LOOKS:
            remove.append(one)
    return Changes(apply, tuple(remove), absent, tuple(taken), tuple(moved))


def _contains(spec: Mapping[str, Any], wanted_spec: Mapping[str, Any]) -> bool:
    """Whether the object asks for all that the tags do, and for no settings or hold beyond that."""
    beyond = any(spec.get(key) and key not in wanted_spec for key in OPTIONAL)
    return not beyond and all(spec.get(key) == value for key, value in wanted_spec.items())


def patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`: null takes a field away."""
    both = {key for key in old.keys() & new.keys() if isinstance(old[key], dict) and isinstance(new[key], dict)}
    return {
        **dict.fromkeys(old.keys() - new.keys()),
        **{key: patch(old[key], value) if key in both else value for key, value in new.items()},
    }


class Maker:
    """Applies the changes, within the bound, and says each in the audit log. Level-triggered: what fails is tried
    again, at once where the tags have changed, else more and more seldom."""

    def __init__(
        self, server: api.Api, objects: Objects, keys: Tags, config: Config, allowed: Callable[[], bool]
    ) -> None:
        self._api = server
        self._objects = objects
        self._keys = keys
        self._config = config
        self._allowed = allowed
        self._absent: Mapping[str, int] = {}
        self._said: dict[str, str] = {}
        self._failed: dict[str, tuple[dict[str, Any], int, int]] = {}  # by name: which spec, how often, answers to wait

    async def follow(self, snapshot: Snapshot) -> None:
        """After a complete answer."""
        namespace = self._config.tags.namespace
        if not self._config.tags.enabled or namespace is None or not self._objects.complete:
            return
        want = wanted(snapshot, self._keys, self._config)
        there = {one.name: one for one in self._objects.known.values() if one.namespace == namespace}
        todo = changes(want, there, snapshot, self._absent, self._config.installation)
        self._absent = todo.absent
        self._say({**want.faults, **dict.fromkeys(todo.taken, "a ServedModel of this name was made by somebody else")})
        self._failed = {name: failed for name, failed in self._failed.items() if name in todo.apply}
        for name, spec in [change for change in todo.apply.items() if self._due(*change)][:AT_ONCE]:
            done = await self._try(f"{namespace}/{name}", self._apply, namespace, name, spec)
            self._note(name, spec, done)
        for one in todo.moved[:AT_ONCE]:
            await self._try(one.ref, self._remove, one, "its tags name another pool or name: it is made anew")
        for one in todo.remove[:AT_ONCE]:
            await self._try(one.ref, self._remove, one, f"{LOOKS} complete answers of the registry do not ask for it")

    def models(self) -> set[str]:
        """Those of the objects that tags made. They are to be asked for by name: no tag finds one that has lost it, and
        where its pool is not there any more, nobody else asks."""
        made = [one for one in self._objects.known.values() if one.made_from_tags(self._config.installation)]
        return {one.claim.model for one in made if one.claim is not None}

    def _due(self, name: str, spec: dict[str, Any]) -> bool:
        refused, times, left = self._failed.get(name, (spec, 0, 0))
        if refused != spec or not left:
            return True
        self._failed[name] = (refused, times, left - 1)
        return False

    def _note(self, name: str, spec: dict[str, Any], done: bool) -> None:
        refused, times, _ = self._failed.pop(name, (spec, 0, 0))
        if not done:
            times = times + 1 if refused == spec else 1
            self._failed[name] = (spec, times, min(2**times, LONGEST))

    async def _try(self, ref: str, change: Callable[..., Any], *arguments: Any) -> bool:
        if not self._allowed():
            return True
        try:
            await change(*arguments)
        except OSError as error:
            log.warning("not made from tags", object=ref, why=str(error))
            return False
        return True

    async def _apply(self, namespace: str, name: str, spec: dict[str, Any]) -> None:
        one = self._objects.known.get(f"{namespace}/{name}")
        if one is None:
            await self._create(namespace, name, spec)
        elif one.made_from_tags(self._config.installation):  # else somebody made it since
            await self._change(one, spec)

    async def _create(self, namespace: str, name: str, spec: dict[str, Any]) -> None:
        """Refused where somebody has just made one, of which the watch has not told yet."""
        metadata = {
            "name": name, "namespace": namespace,
            "labels": {FROM_REGISTRY: "true", "app.kubernetes.io/managed-by": api.MANAGER},
            "annotations": {INSTALLATION: self._config.installation},
        }  # fmt: skip
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "spec": spec}
        self._objects.put(await self._api.create(api.served_models(namespace), body))
        log.info("made", object=f"{namespace}/{name}", model=spec["model"], why="its model is tagged to be served")

    async def _change(self, one: Known, spec: dict[str, Any]) -> None:
        """By a merge patch: it never makes an object, and apply would not take away what the creation brought."""
        old = {key: value for key, value in (one.found.get("spec") or {}).items() if key in spec or key in OPTIONAL}
        body = {"metadata": {"uid": one.uid}, "spec": patch(old, spec)}
        self._objects.put(await self._api.merge(api.served_models(one.namespace, one.name), body))
        log.info("changed", object=one.ref, model=spec["model"], why="its model's tags ask for something else")

    async def _remove(self, one: Known, why: str) -> None:
        await self._api.delete(api.served_models(one.namespace, one.name), one.uid)
        log.info("removed", object=one.ref, why=why)

    def _say(self, faults: dict[str, str]) -> None:
        for name, why in faults.items():
            if self._said.get(name) != why:  # once, and not after every answer
                log.warning("tags not followed", model=name, why=why)
        self._said = faults
