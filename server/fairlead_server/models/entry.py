"""One model as a worker is told of it: which loaded version stands for which name, and the route wanted.

The supervisor makes it from the catalog document; the worker's catalog decides when it takes effect.
"""

from __future__ import annotations

import msgspec

from fairlead_server.models.catalog import Route


class WorkerEntry(msgspec.Struct, frozen=True):
    """`versions` maps versions to uids; "" while the replica knows none (not fetched yet), and where it
    failed for good to fetch or prove one: then the reason is in `failed`."""

    versions: dict[str, str]
    aliases: dict[str, str]
    route: Route
    failed: dict[str, str] = {}
