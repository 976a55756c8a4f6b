"""Why a fetch failed: one exception for the whole room, with all that the supervisor has to know."""

from __future__ import annotations

import errno

DISK_FULL = "DiskFull"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FetchFailure(Exception):
    """`retry` tells whether the cause can pass by itself: a network can, a missing file cannot.

    `reason` is one sentence that says what to do where there is something to do; it holds no secret.
    `condition` is "" or a named state of the whole replica.
    """

    def __init__(self, reason: str, *, retry: bool, condition: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.condition = condition


def from_os(error: OSError, doing: str) -> FetchFailure:
    """What the operating system refused while `doing`. Its faults pass (a mount comes back), as far as we can know."""
    if error.errno in NO_ROOM:
        return disk_full(f"{doing}: {error.strerror}")
    return FetchFailure(f"{doing}: {error.strerror or error}", retry=True)


def disk_full(detail: str) -> FetchFailure:
    return FetchFailure(
        f"no room in the model cache ({detail}); free some, or give the cache a larger disk",
        retry=True,
        condition=DISK_FULL,
    )
