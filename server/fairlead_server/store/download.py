"""HTTP, for the two kinds of source that speak it: one client, with time limits, a few attempts and checked sizes.

    network, timeout, 5xx, 429, half a body    tried again here a few times, then retry=True
    401, 403                                   not tried again here, retry=True: rights can be given
    404, 410 and other 4xx                     retry=False

What a URL means is its caller's matter.
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from fairlead_server.store.failure import FetchFailure, from_os
from fairlead_server.store.limits import Deadline, Limits

T = TypeVar("T")
_STEP = 32 * 2**20  # bytes of a file of unknown size, for which room is asked at once


class Downloads:
    """A client for one fetch. `headers` may carry credentials; they are not sent on to another host."""

    def __init__(self, limits: Limits, deadline: Deadline, headers: Mapping[str, str] | None = None) -> None:
        self._limits = limits
        self._deadline = deadline
        self._client = httpx.Client(
            timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
            follow_redirects=True,
            verify=_trust(),
            headers={"Accept-Encoding": "identity", "User-Agent": "fairlead", **(headers or {})},
        )

    def close(self) -> None:
        self._client.close()

    def read(self, url: str, params: Mapping[str, str], take: Callable[[bytes], T]) -> T:
        """A short answer, as `take` makes it of the body; what `take` refuses is tried again like a broken body."""

        def once() -> T:
            with self._answer(url, params) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    self._deadline.check()
                    body += piece
                    if len(body) > self._limits.listing_bytes:
                        raise FetchFailure(f"{_shown(url)} lists too much", retry=False)
            return take(body)

        return self._attempts(url, once)

    def to_file(self, url: str, to: Path, size: int | None) -> None:
        """Write the answer to `to`. `size` is what the listing said, where there was one."""
        room = size or 0

        def once() -> None:
            nonlocal room
            written = 0
            with self._answer(url, {}) as answer, to.open("wb") as file:
                for piece in answer.iter_bytes():  # as they come: a larger piece would hide a trickle from the clock
                    written += len(piece)
                    if size is not None and written > size:
                        break
                    while written > room:
                        self._deadline.more(_STEP)
                        room += _STEP
                    file.write(piece)
                    self._deadline.check()
            if size is not None and written != size:
                raise FetchFailure(f"{_shown(url)} gave {written} of {size} bytes", retry=True)

        self._attempts(url, once)

    @contextmanager
    def _answer(self, url: str, params: Mapping[str, str]) -> Iterator[httpx.Response]:
        with self._client.stream("GET", url, params=params or None) as answer:
            if answer.status_code != 200:
                raise _refused(url, answer.status_code)
            yield answer

    def _attempts(self, url: str, once: Callable[[], T]) -> T:
        pause = self._limits.pause_s
        for attempt in range(1, self._limits.attempts + 1):
            self._deadline.check()
            try:
                return once()
            except OSError as error:  # of the file; httpx has its own tree
                raise from_os(error, f"writing what {_shown(url)} gave") from error
            except (httpx.HTTPError, httpx.InvalidURL, FetchFailure) as error:
                failure = error if isinstance(error, FetchFailure) else _failed(url, error)
                if attempt == self._limits.attempts or not _passes(failure):
                    raise failure from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("attempts is at least 1")


@functools.cache
def _trust() -> ssl.SSLContext:
    """Read once: a tenth of a second that each small fetch would pay again."""
    return httpx.create_ssl_context()


class _Forbidden(FetchFailure):
    """Rights may be given later, but not within a second."""


def _passes(failure: FetchFailure) -> bool:
    return failure.retry and not failure.condition and not isinstance(failure, _Forbidden)


def _refused(url: str, status: int) -> FetchFailure:
    if status in (401, 403):
        return _Forbidden(f"{_shown(url)} answered {status}: this server's credentials do not open it", retry=True)
    if status in (404, 410):
        return FetchFailure(f"{_shown(url)} does not exist ({status})", retry=False)
    return FetchFailure(f"{_shown(url)} answered {status}", retry=status >= 500 or status in (408, 425, 429))


def _failed(url: str, error: Exception) -> FetchFailure:
    passes = isinstance(error, httpx.TransportError | httpx.DecodingError)
    unknown = isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL)
    what = str(error) or type(error).__name__
    return FetchFailure(f"{_shown(url)}: {what}", retry=passes and not unknown)


def _shown(url: str) -> str:
    """Without the query, which may be a signature."""
    return url.partition("?")[0]
