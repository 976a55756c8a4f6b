"""The fetcher process: link messages in, the store's work on threads, link messages out.

    Fetch  -> in the cache? answered at once, never behind a download
           -> else downloaded, a few at a time                          -> Fetched | FetchFailed
    Forget -> versions that nothing names are evicted

It runs at low priority for processor and disk: loading beside the traffic must not be felt. It holds no
state that its successor needs: killed at any moment, it leaves a temporary folder that nobody locks, and the next
one removes it.
It stands here and not in `store` because the store knows neither link nor settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import platform
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fairlead_server import log
from fairlead_server.link.messages import Fetch, Fetched, FetchFailed, Forget, FromFetcher, ToFetcher
from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.settings import ReplicaSettings
from fairlead_server.store.cache import Cache, Stored
from fairlead_server.store.defaults import defaults
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.fetch import fetch
from fairlead_server.store.limits import Limits

DOWNLOADS = 4  # at a time
WAITING = 10_000  # fetches that may wait; beyond it they are sent back
GRACE_S = 300.0  # a version named or handed out so lately is not evicted: its name may be on the way
_IOPRIO = {"x86_64": 251, "aarch64": 30}  # the system call's number
_LAST = 2 << 13 | 7  # of the ordinary class; the idle class might never get the disk


def run_fetcher(settings: ReplicaSettings, link_fd: int, limits: Limits | None = None) -> None:
    """Until the link ends. Does not return: a download under way is not waited for, its folder is nobody's then."""
    _be_modest()
    cache = Cache(Path(settings.state_dir) / "cache", limits or Limits(), settings.volume_bytes)
    removed = cache.clean()
    if removed:
        log.info("cache_cleaned", folders=removed)
    asyncio.run(_serve(socket.socket(fileno=link_fd), Desk(cache, limits or Limits(), settings.cache_bytes)))
    os._exit(0)


async def _serve(sock: socket.socket, desk: Desk) -> None:
    link: Link[ToFetcher] = await Link.over(sock, ToFetcher)
    tasks: set[asyncio.Task[None]] = set()
    while (message := await link.receive()) is not None:
        task = asyncio.create_task(_answer(link, desk, message, len(tasks)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    # Without waiting for the tasks: os._exit follows.


async def _answer(link: Link[ToFetcher], desk: Desk, message: Fetch | Forget, waiting: int) -> None:
    with contextlib.suppress(LinkEnded):
        if isinstance(message, Forget):
            await desk.forget(message)
        elif waiting >= WAITING:
            link.send(FetchFailed(message.id, f"{waiting} fetches wait already", retry=True))
        else:
            link.send(await desk.fetch(message))


class Desk:
    """Owns the threads, and knows which versions are named (None: not told yet, so nothing may go)."""

    def __init__(self, cache: Cache, limits: Limits, cache_bytes: int) -> None:
        self._cache = cache
        self._limits = limits
        self._cache_bytes = cache_bytes
        self._named: frozenset[str] | None = None
        self._looking = ThreadPoolExecutor(1, "look")
        self._copying = ThreadPoolExecutor(DOWNLOADS, "copy")

    async def fetch(self, message: Fetch) -> FromFetcher:
        loop = asyncio.get_running_loop()
        quick = await loop.run_in_executor(self._looking, self._tried, message, self._look)
        if quick is not None:
            return quick
        answer = await loop.run_in_executor(self._copying, self._tried, message, self._fetch)
        assert answer is not None
        return answer

    async def forget(self, message: Forget) -> None:
        self._named = frozenset(message.keep)
        await asyncio.get_running_loop().run_in_executor(self._looking, self._evict, self._cache_bytes)

    def _look(self, message: Fetch) -> Stored | None:
        return self._cache.look(message.digest) if message.digest else None

    def _fetch(self, message: Fetch) -> Stored:
        return fetch(self._cache, message.source, message.digest, self._limits, lambda: self._evict(0) > 0)

    def _evict(self, limit: int) -> int:
        if self._named is None:
            return 0
        dropped = self._cache.evict(self._named, limit, GRACE_S)
        if dropped:
            log.info("cache_evicted", versions=dropped)
        return dropped

    def _tried(self, message: Fetch, work: Callable[[Fetch], Stored | None]) -> FromFetcher | None:
        try:
            stored = work(message)
            if stored is None:
                return None
            copied = work == self._fetch
            return Fetched(message.id, str(stored.path), stored.digest, stored.bytes, defaults(stored.path), copied)
        except FetchFailure as failure:
            return FetchFailed(message.id, failure.reason, failure.retry, failure.condition)
        except Exception as error:  # a fault of ours, or of a library: this fetch's, not the process's
            log.error("fetch_broke", source=message.source, error=repr(error))
            return FetchFailed(message.id, f"{type(error).__name__}: {error}", retry=True)


def _be_modest() -> None:
    """Low priority for processor and disk; where the system refuses, ordinary priority does too."""
    with contextlib.suppress(OSError):
        os.nice(10)
    call = _IOPRIO.get(platform.machine())
    if call is not None:
        ctypes.CDLL(None, use_errno=True).syscall(call, 1, 0, _LAST)
