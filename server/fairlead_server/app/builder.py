"""A pool as a Serve config file names it: the RayService of the chart, or `serve run`.

    applications:
    - import_path: fairlead_server.app.builder:pool
      route_prefix: null
      args: {state_dir: /var/lib/fairlead, host: 0.0.0.0, catalog_file: /etc/..., replicas: 2}

The keys of `args` are the fields of ReplicaSettings, and how many replicas: `replicas: 2`, or by what they measure,
`autoscaling: {least: 1, most: 8, first: 4, targets: {busy: 0.6}}` (see scaling). A misspelt one fails the deployment
with its name: a setting that is passed over in silence is found at night.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fairlead_server.app.scaling import Span, Targets
from fairlead_server.settings import Drain, Limits, ReplicaSettings
from fairlead_server.supervisor.reception import open_to_all


def pool(args: Mapping[str, Any]) -> Any:
    """The application. Raises ValueError where `args` cannot be meant."""
    found, replicas = read(args)
    from fairlead_server.app.ray_pool import application

    return application(found, replicas)


def read(args: Mapping[str, Any]) -> tuple[ReplicaSettings, int | Span]:
    """The settings of a replica, and how many. Raises ValueError."""
    wanted = dict(args)
    span = wanted.pop("autoscaling", None)
    if span is not None and "replicas" in wanted:
        raise ValueError("args: say replicas, or autoscaling")
    if span is not None:
        return _settings(wanted), _span(span)
    replicas = wanted.pop("replicas", 1)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
        raise ValueError(f"args: replicas is {replicas!r}, and should be a number from 1 up")
    return _settings(wanted), replicas


def _span(given: Any) -> Span:
    """By hand: Serve pickles scaling's classes by value, and msgspec would leave a note on them that cannot be."""
    _known(given, Span.__dataclass_fields__, "args.autoscaling")
    targets = given.get("targets", {})
    _known(targets, Targets.__dataclass_fields__, "args.autoscaling.targets")
    for name, value in {**given, **targets, "targets": 0}.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"args.autoscaling: {name} is {value!r}, and should be a number")
    try:
        return Span(**{**given, "targets": Targets(**targets)})
    except TypeError as error:
        raise ValueError(f"args.autoscaling: {error}") from None


def _settings(args: Mapping[str, Any]) -> ReplicaSettings:
    """Raises ValueError with the place of the fault."""
    _known(args, ReplicaSettings.__struct_fields__, "args")
    _known(args.get("drain", {}), Drain.__struct_fields__, "args.drain")
    _known(args.get("limits", {}), Limits.__struct_fields__, "args.limits")
    try:
        found = msgspec.convert(dict(args), ReplicaSettings)
    except msgspec.ValidationError as error:
        raise ValueError(f"args: {error}") from None
    if not found.catalog_file and not found.models:
        raise ValueError("args: say what to serve: catalog_file or models")
    refused = open_to_all(found)
    if refused:
        raise ValueError(f"args: {refused}")
    return found


def _known(given: Any, names: Iterable[str], where: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} is {given!r}, and should be a mapping")
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"{where}: there is no {unknown[0]!r}; known are {', '.join(names)}")
