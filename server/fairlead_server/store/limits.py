"""How much one fetch may ask for, and how long it may take: every loop and wait of this room ends by one of these."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from fairlead_server.store.failure import FetchFailure


@dataclasses.dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    files: int = 10_000  # in one version's folder
    depth: int = 32  # folders inside folders
    listing_bytes: int = 16 * 2**20  # of one answer that lists files
    fetch_s: float = 3_600.0  # one fetch, all its files together
    connect_s: float = 5.0
    read_s: float = 30.0  # between two pieces of an answer
    attempts: int = 3  # of one request, where the fault is one that passes
    pause_s: float = 0.5  # before the second attempt; doubled for each further one
    lock_s: float = 3_900.0  # for another fetch of the same thing; longer than that fetch may take


class Deadline:
    """The end of one fetch, asked between two pieces of work.

    `more` is asked for room, in bytes, by what no listing told the size of. Raises FetchFailure where there is none.
    """

    def __init__(self, seconds: float, more: Callable[[int], None] = lambda size: None) -> None:
        self.more = more
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise FetchFailure(f"the fetch took longer than {self._seconds:.0f} s", retry=True)
