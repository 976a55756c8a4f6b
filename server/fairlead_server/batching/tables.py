"""What warm-up measured, for the lane that a request stands in: rows to microseconds of a run of its shape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from fairlead_server.batching.lengths import Lengths
from fairlead_server.models.profile import Profile


def tables_of(profile: Profile, lengths: Lengths | None, one_shape: bool) -> Callable[[Hashable], Mapping[int, float]]:
    """Empty where nothing was measured for a shape. Where rows have a length, a lane is taken for as slow as its
    longest."""
    sizes = sorted({rows for table in profile.latency_by_length.values() for rows in table})

    def of(key: Hashable) -> Mapping[int, float]:
        if one_shape:
            return profile.latency_us
        if lengths is None or not isinstance(key, tuple):
            return {}
        longest = max(key if lengths.plain else key[0])
        known = ((rows, profile.microseconds(rows, longest)) for rows in sizes) if longest else ()
        return {rows: us for rows, us in known if us is not None}

    return of
