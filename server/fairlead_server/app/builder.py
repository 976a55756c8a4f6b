"""A pool as a Serve config file names it: the RayService of the chart, or `serve run`.

    applications:
    - import_path: fairlead_server.app.builder:pool
      route_prefix: null
      args: {state_dir: /var/lib/fairlead, host: 0.0.0.0, catalog_file: /etc/..., replicas: 2}

The keys of `args` are the fields of ReplicaSettings, and how many replicas. A misspelt one fails the deployment
with its name: a setting that is passed over in silence is found at night.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead_server.settings import Drain, Limits, ReplicaSettings
from fairlead_server.supervisor.reception import open_to_all


def pool(args: Mapping[str, Any]) -> Any:
    """The application. Raises ValueError where `args` cannot be meant."""
    found, replicas = read(args)
    from fairlead_server.app.ray_pool import application

    return application(found, replicas)


def read(args: Mapping[str, Any]) -> tuple[ReplicaSettings, int]:
    """The settings of a replica, and how many. Raises ValueError."""
    wanted = dict(args)
    replicas = wanted.pop("replicas", 1)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
        raise ValueError(f"args: replicas is {replicas!r}, and should be a number from 1 up")
    return _settings(wanted), replicas


def _settings(args: Mapping[str, Any]) -> ReplicaSettings:
    """Raises ValueError with the place of the fault."""
    _known(args, ReplicaSettings, "args")
    _known(args.get("drain", {}), Drain, "args.drain")
    _known(args.get("limits", {}), Limits, "args.limits")
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


def _known(given: Any, kind: type[msgspec.Struct], where: str) -> None:
    unknown = sorted(set(given) - set(kind.__struct_fields__)) if isinstance(given, Mapping) else []
    if unknown:
        known = ", ".join(kind.__struct_fields__)
        raise ValueError(f"{where}: there is no {unknown[0]!r}; known are {known}")
