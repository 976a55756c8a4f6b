"""The catalog document: the whole wanted set, as the operator writes it and the server obeys it.

Published schema: docs/schemas/catalog.v1.json (generated). Parsing never raises anything but
`CatalogFault`, which names the place in the document.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

API_VERSION = "fairlead.dev/catalog/v1"
FEATURES = frozenset({"weights", "aliases", "sticky", "match"})

Weight = Annotated[float, msgspec.Meta(ge=0.0)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]


class VersionEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version comes from. `digest` pins it; without one the first fetch decides.

    `settings` holds only what the catalog sets (fields of VersionSettings); the model's folder and
    the defaults fill in the rest, see `models.settings.resolve`. Another `attempt` than before tries anew what was
    condemned: a person asked for it.
    """

    source: str
    digest: Digest | None = None
    settings: dict[str, Any] = {}
    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0


class Sticky(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The key that keeps a caller on one version: a header's name or a request parameter's."""

    header: str | None = None
    parameter: str | None = None


class Match(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Requests whose header or parameter has this exact value go to `version`."""

    version: str
    value: str
    header: str | None = None
    parameter: str | None = None


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """How requests without a version are spread. Weights are relative; the first match wins over them."""

    weights: dict[str, Weight]
    sticky: Sticky | None = None
    matches: tuple[Match, ...] = ()


class ModelEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    versions: dict[str, VersionEntry]
    route: Route
    aliases: dict[str, str] = {}


class Catalog(msgspec.Struct, frozen=True, omit_defaults=True):
    """`owner` names the installation that writes it; `requires` the features a reader must know."""

    apiVersion: str  # noqa: N815 - the field's name in the document
    generation: Annotated[int, msgspec.Meta(ge=1)]
    models: dict[str, ModelEntry]
    owner: str = ""
    requires: tuple[str, ...] = ()
