"""Opens and warms versions beside the traffic: on a thread of its own, at low priority, one at a time.

    Load --open--> session --(no profile: measure; with one: rehearse)--> Opened
              |                        |
         LoadFailure              LoadFailure (the logged example fails), DeviceFailure

A nice value cannot be taken back without privileges, and a session's own pool threads inherit it from the thread
that opens the session. So each version has a fresh thread, which lowers itself to where runs are before it opens the
session, and to where loads are only when no pool can inherit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from fairlead_server.batching.budget import IN_PLACE_US
from fairlead_server.link.messages import Load
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import DeviceFailure, LoadFailure, Session
from fairlead_server.worker.process import lower_thread_priority, run_below_the_loop

REHEARSAL_MS = 200  # warm-up of a version whose profile is known, and which is served beside it


@dataclasses.dataclass(frozen=True)
class Opened:
    session: Session
    profile: Profile


def prime(threads: int) -> None:
    """Open and warm a model that costs nothing. The first one of a process takes some 10 MB that are no version's
    own (libraries, ONNX Runtime's first session), and would be counted against whoever came first."""
    from fairlead_server.runtimes import warm
    from fairlead_server.runtimes.onnx import TINY, open_session

    settings = VersionSettings(max_batch_size=2, warmup_budget_ms=20)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(TINY)
        session = open_session(Path(folder), settings, threads)
    warm.measure(session, settings)
    session.close()


async def open_version(order: Load, threads: int, warming: Callable[[], None]) -> Opened:
    """Raises LoadFailure or DeviceFailure and nothing else. `warming` is called on the loop when
    the session is open. Not to be cancelled: the thread cannot be stopped."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Opened] = loop.create_future()

    def work() -> None:
        try:
            opened = _open(order, threads, lambda: _post(loop, warming))
        except Exception as fault:  # whatever a runtime or a disk raises: the worker must live
            _post(loop, done.set_exception, _failure(fault))
        else:
            _post(loop, done.set_result, opened)

    threading.Thread(target=work, name=f"load-{order.model}", daemon=True).start()
    return await done


def _open(order: Load, threads: int, warming: Callable[[], None]) -> Opened:
    from fairlead_server.runtimes import warm
    from fairlead_server.runtimes.onnx import open_session

    settings = order.settings
    threads = 1 if _is_short(order.profile) else threads
    if (settings.threads or threads) == 1:
        lower_thread_priority()
    else:
        run_below_the_loop()
    before = warm.resident_bytes()
    session = open_session(Path(order.path), settings, threads)
    lower_thread_priority()
    warming()
    if order.profile is None:
        return Opened(session, warm.measure(session, settings, before, threads=settings.threads or threads))
    warm.rehearse(session, settings, order.profile, min(settings.warmup_budget_ms, REHEARSAL_MS) / 1e3)
    return Opened(session, order.profile)


def _is_short(profile: Profile | None) -> bool:
    """Whether all of its runs happen on the loop's own thread, too short to be shared out. A session's pool takes a
    thread and 57 kB for each further one, which thousands of small models would take for nothing."""
    if profile is None:
        return False
    tables = [profile.latency_us, *profile.latency_by_length.values()]
    return 0 < max((us for table in tables for us in table.values()), default=0.0) < IN_PLACE_US


def _failure(fault: Exception) -> LoadFailure | DeviceFailure:
    if isinstance(fault, LoadFailure | DeviceFailure):
        return fault
    return LoadFailure(f"{type(fault).__name__}: {fault}", final=False)


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        return  # the loop is closed: the worker ends
