"""`fairlead promote` and `fairlead rollback`: both move an alias in the registry, and nothing else.

What follows from it is the operator's. This module must not talk to the pool.
"""

from __future__ import annotations

from fairlead_cli.errors import CommandError
from fairlead_cli.registry import RegisteredModel, RegisteredVersion, Registry

SERVE_TAG = "fairlead.serve"
ALIAS_TAG = "fairlead.alias"
DEFAULT_ALIAS = "champion"
STATUS_TAG = "fairlead.status"


def promote(registry: Registry, name: str, version: str, alias: str | None = None) -> str:
    """Points the alias (that which the model is served by, where none is given) at the version; tells what it named
    before."""
    if not version.isdecimal():
        raise CommandError(f"{version!r} is no version: give its number, as in `fairlead promote {name} 2`")
    model = registry.model(name)
    registry.version(name, version)
    return _move(registry, model, version, alias or _alias(model))


def rollback(registry: Registry, name: str, alias: str | None = None) -> str:
    """Points the alias back at the version that was served before the one that it names."""
    model = registry.model(name)
    alias = alias or _alias(model)
    current = model.aliases.get(alias)
    if current is None:
        raise CommandError(f"{name} has no alias {alias!r}: nothing was promoted yet")
    return _move(registry, model, before(registry.versions(name), current), alias)


def before(versions: list[RegisteredVersion], current: str) -> str:
    """The version to go back to: the one that serves all the same (the current one was refused), else the one that
    the operator keeps warm, else the newest that it has retired."""
    others = [each for each in versions if each.version != current]
    for wanted in ("serving", "held", "retired"):
        found = [each for each in others if _said(each) == wanted]
        if found:
            return max(found, key=lambda each: (each.updated, int(each.version))).version
    raise CommandError("no other version was served here: name one with `fairlead promote NAME VERSION`")


def _said(version: RegisteredVersion) -> str:
    """What the operator wrote of it, of several pools the first; trouble of the version that serves is no reason
    against it, a refusal is."""
    status = version.tags.get(STATUS_TAG, "").partition(" (pool ")[0]
    return "serving" if status.startswith("serving") else status


def _alias(model: RegisteredModel) -> str:
    return model.tags.get(ALIAS_TAG) or DEFAULT_ALIAS


def _move(registry: Registry, model: RegisteredModel, version: str, alias: str) -> str:
    was = model.aliases.get(alias)
    if was == version:
        return f"{model.name}: {alias} names version {version} already\n"
    registry.set_alias(model.name, alias, version)
    said = f"{model.name}: {alias} {f'{was} -> ' if was else '-> '}{version}\n"
    if model.tags.get(SERVE_TAG) != "true":
        said += f"it is not served: set the tag {SERVE_TAG}=true on the registered model\n"
    return said
