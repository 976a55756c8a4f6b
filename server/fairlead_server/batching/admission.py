"""May a request come in, or can its deadline not be met anyway? Values in, values out.

    now ... a run may start ... runs of others that go first ... full runs of its own shape ... its own run
                                                                                       (as it will have grown) ... end

A request that is refused at once costs nothing, and its caller has the whole deadline left to ask another replica.
The prediction is the likely end, with no reserve: what comes in and cannot be met after all is dropped before its
run (`take`), which costs little, while a reserve would leave instances idle.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead_server.batching.chances import Seconds
from fairlead_server.errors import Kind, ServingError

_RECENT_S = 0.05  # how far back the rate of arrivals looks
_SOONEST_S = 0.001  # the shortest Retry-After: not at once


class Ahead(NamedTuple):
    """What stands before a request: when a run may start, in the clock's seconds; rows of its shape and seconds of
    other shapes' runs that go first; `rate` is how many rows a second come in; `instances` run side by side."""

    start: float
    rows: int = 0
    others_s: float = 0.0
    rate: float = 0.0
    instances: int = 1


class Inflow:
    """Rows a second that have come in lately, sampled from a counter whenever somebody looks."""

    __slots__ = ("_at", "_entered", "rate")

    def __init__(self) -> None:
        self.rate = 0.0
        self._entered = 0
        self._at = 0.0

    def sample(self, entered: int, now: float) -> None:
        passed = now - self._at
        if passed > 0:
            self.rate += ((entered - self._entered) / passed - self.rate) * passed / (passed + _RECENT_S)
            self._entered, self._at = entered, now


def end_of(rows: int, limit: int, ahead: Ahead, now: float, seconds: Seconds, grown: int | None = None) -> float | None:
    """When a request of so many rows is likely to be answered; None when nobody knows how long its run takes. Those
    who come later make its run grow to `grown` rows at most, `limit` where it is not told."""
    full, rest = divmod(ahead.rows + rows - 1, limit)
    each = seconds(limit) if full else 0.0
    if each is None:
        return None
    start = ahead.start + (ahead.others_s + full * each) / ahead.instances
    joined = max(rest + 1, min(rest + 1 + int(ahead.rate * (start - now)), grown or limit))
    own = seconds(joined)
    return None if own is None else start + own


def refusal(rows: int, deadline: float, limit: int, ahead: Ahead, now: float, seconds: Seconds) -> ServingError | None:
    """DEADLINE where the run alone takes longer than there is time, OVERLOADED where what goes before is the reason."""
    end = end_of(rows, limit, ahead, now, seconds)
    if end is None or end <= deadline:
        return None
    end = end_of(rows, limit, ahead, now, seconds, seconds.enough(limit)) or end  # this is dearer to ask
    if end <= deadline:
        return None
    alone = end_of(rows, limit, Ahead(now), now, seconds) or now
    if alone > deadline:
        message = f"its run alone is predicted to take {_ms(alone - now)}, and its deadline is in {_ms(deadline - now)}"
        return ServingError(Kind.DEADLINE, f"{message}; allow it more time")
    message = f"the answer is predicted in {_ms(end - now)}, and its deadline is in {_ms(deadline - now)}"
    return ServingError(Kind.OVERLOADED, f"{message}; try again later", retry_after=max(end - deadline, _SOONEST_S))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
