"""Which version answers a request that names none: a pure choice from a route and what the request says.

    a match (header or parameter has the exact value)  >  the sticky key  >  the draw

It decides nothing else: whether that version is ready, and what to say when there is none, is the
catalog's and the service's business. All weights here are of versions that are ready.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

from fairlead_server.models.catalog import Match, Route, Sticky

Lookup = Callable[[str], str | None]


def choose(route: Route, draw: float, header: Lookup, parameter: Lookup, salt: str = "") -> str | None:
    """The version for one request, or None when the route sends it nowhere (no match, and no weight above 0).

    `draw` is uniform in [0, 1). `salt` (the model's name) keeps one caller from being among the first
    of every model. Without a key in the request a sticky route draws.
    """
    for match in route.matches:
        if _matches(match, header, parameter):
            return match.version
    key = _key(route.sticky, header, parameter) if route.sticky is not None else None
    if key is None:
        return drawn(route.weights, draw)
    return _stuck(route.weights, f"{salt}\0{key}")


def _matches(match: Match, header: Lookup, parameter: Lookup) -> bool:
    if match.header is not None and header(match.header) == match.value:
        return True
    return match.parameter is not None and parameter(match.parameter) == match.value


def _key(sticky: Sticky, header: Lookup, parameter: Lookup) -> str | None:
    key = header(sticky.header) if sticky.header is not None else None
    if key is None and sticky.parameter is not None:
        key = parameter(sticky.parameter)
    return key


def drawn(weights: Mapping[str, float], draw: float) -> str | None:
    """What the draw alone chooses: all that counts on a route with neither matches nor a sticky key."""
    if len(weights) == 1:  # most routes
        [(version, weight)] = weights.items()
        return version if weight > 0 else None
    point = draw * sum(weights.values())
    last = None
    for version, weight in weights.items():
        if weight > 0:
            last = version
            if point < weight:
                return version
            point -= weight
    return last  # the draw fell into what adding floats left over


def _stuck(weights: Mapping[str, float], key: str) -> str | None:
    """Weighted rendezvous hashing: every version draws its own exponential waiting time for this key, and
    the shortest wins. Each version gets its share, every process agrees, and a weight that grows against
    all the others moves nobody away from its version. (Efraimidis and Spirakis, 2006, have the draw.)
    """
    waits = {version: _exponential(key, version) / weight for version, weight in weights.items() if weight > 0}
    return min(waits, key=lambda version: (waits[version], version), default=None)


def _exponential(key: str, version: str) -> float:
    digest = hashlib.blake2b(f"{version}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -math.log((int.from_bytes(digest, "big") + 1) / (2**64 + 1))
