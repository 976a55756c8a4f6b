"""operator.yaml: what `fairlead operate --config FILE` is told. No unknown key is let by; faults name their field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from fairlead_operator.spec import DEFAULT_ALIAS, DEFAULT_HOLD_S, SpecFault, Tags

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]

DEFAULT_POOL = "default"


class ConfigFault(ValueError):
    """The file cannot be used; the text names the field."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """No key is passed over in silence."""


class RegistryConfig(_Section, frozen=True):
    """Without `uri` it is MLFLOW_TRACKING_URI, which may come from a Secret."""

    uri: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 2.0
    alias: str = DEFAULT_ALIAS


class PoolConfig(_Section, frozen=True):
    """`allowed_namespaces`: whose ServedModels this pool serves; empty: everybody's."""

    namespace: Name
    service: Name
    catalog: Name
    port: Port = 8003
    allowed_namespaces: tuple[Name, ...] = ()

    def allows(self, namespace: str) -> bool:
        return not self.allowed_namespaces or namespace in self.allowed_namespaces


class TagsConfig(_Section, frozen=True):
    """Whether, where and for which pools tagged models become ServedModels; no `pools`: for every one."""

    enabled: bool = False
    namespace: Name | None = None
    pools: tuple[str, ...] = ()


class LeaseConfig(_Section, frozen=True):
    namespace: Name
    name: Name


class ListenConfig(_Section, frozen=True):
    host: str = "0.0.0.0"  # noqa: S104 - probes come from the node
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080


class Config(_Section, frozen=True):
    """`watch_namespaces` empty: all."""

    registry: RegistryConfig
    pools: dict[str, PoolConfig]
    lease: LeaseConfig
    installation: str = "default"
    watch_namespaces: tuple[Name, ...] = ()
    tags: TagsConfig = TagsConfig()
    hold_seconds: Seconds = DEFAULT_HOLD_S
    progress_seconds: Seconds = 600.0
    token_file: str | None = None
    takeover: bool = False
    listen: ListenConfig = ListenConfig()

    def watches(self, namespace: str) -> bool:
        return not self.watch_namespaces or namespace in self.watch_namespaces


def read(path: Path) -> Config:
    """Raises ConfigFault, or OSError."""
    try:
        return parse(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigFault(" ".join(f"{path}: not YAML: {error}".split())) from None
    except ConfigFault as fault:
        raise ConfigFault(f"{path}: {fault}") from None


def parse(document: Any) -> Config:
    """Raises ConfigFault."""
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise ConfigFault(f"{place.rstrip('`') or '$'}: {message}") from None
    _check(config)
    return config


def _check(config: Config) -> None:
    try:
        Tags(config.installation)
    except SpecFault as fault:
        raise ConfigFault(f"$.{fault}") from None
    if not config.pools:
        raise ConfigFault("$.pools: names no pool")
    for name in config.pools:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise ConfigFault(f"$.pools: {name!r}: use lower-case letters, digits and dashes")
    catalogs = [(pool.namespace, pool.catalog) for pool in config.pools.values()]
    for name, pool in config.pools.items():
        if catalogs.count((pool.namespace, pool.catalog)) > 1:
            raise ConfigFault(f"$.pools.{name}.catalog: another pool has the same ConfigMap")
    _check_tags(config)


def _check_tags(config: Config) -> None:
    tags = config.tags
    if not tags.enabled:
        return
    if tags.namespace is None:
        raise ConfigFault("$.tags.namespace: say where ServedModels of tagged models are made")
    if not config.watches(tags.namespace):
        raise ConfigFault(f"$.tags.namespace: {tags.namespace!r} is none of $.watchNamespaces")
    for name in tags.pools or config.pools:
        if name not in config.pools:
            raise ConfigFault(f"$.tags.pools: {name!r} is none of $.pools")
        if tags.pools and not config.pools[name].allows(tags.namespace):
            raise ConfigFault(f"$.tags.pools: {name!r} does not allow the namespace {tags.namespace!r}")
