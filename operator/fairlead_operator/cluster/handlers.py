"""kopf watches the ServedModels; what it sees wakes the operator, and nothing is decided here. The only file with kopf.

kopf runs in a thread and a loop of its own: when it ends it cancels every task of its loop. It is told to write
nothing: no finalizers (events only), no annotations, no Kubernetes events, no peering. It scans neither CRDs nor
namespaces, so that it needs no right to them; it does not tell what vanished while it was not looking, which
is why objects.py checks its list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import kopf

from fairlead_operator import log
from fairlead_operator.resource import GROUP, PLURAL, VERSION

AGAIN_S, SLOWEST_S = 1.0, 30.0
IDENTITY: Any = "fairlead"  # told to nobody; without one kopf asks for the user, and a container's may have no name
QUIET_S = 600  # a watch that tells nothing for so long is begun again
END_S = 10.0
FAREWELL_S = 0.25  # aiohttp closes TLS connections in the loop's next rounds

Woken = Callable[[str, dict[str, Any]], None]


class Handlers:
    """The thread. `woken` gets (event, object) on the loop that made this; `event` is "" for what was there before."""

    def __init__(self, namespaces: Collection[str], kubeconfig: str | None, woken: Woken) -> None:
        self._namespaces = tuple(namespaces)
        self._kubeconfig = kubeconfig
        self._woken = woken
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()  # of this all
        self._end = threading.Event()  # of the kopf that runs now
        self._began = float("-inf")
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.starts = 0

    def start(self) -> None:
        """Not before ServedModels are defined: kopf would not notice that they are later. Again does nothing."""
        if not self.starts:
            self.starts = 1
            logging.getLogger("kopf").setLevel(logging.CRITICAL)  # what it cannot reach, we cannot either, and say so
            self._thread.start()

    def again(self) -> None:
        """A list knows more than the watch has told: the watch is begun anew, but not all the time."""
        if time.monotonic() - self._began > QUIET_S:
            self._end.set()

    async def close(self) -> None:
        self._stop.set()
        self._end.set()
        if self.starts:
            await asyncio.to_thread(self._thread.join, END_S)

    def alive(self) -> bool:
        """Whether it runs, or has not been started yet."""
        return not self.starts or self._thread.is_alive()

    def _run(self) -> None:
        """kopf gives up where the API server's answer is an error for long: it is begun again."""
        pause = AGAIN_S
        while not self._stop.is_set():
            self._began = time.monotonic()
            try:
                asyncio.run(self._operate())
            except Exception as error:
                log.warning("watch ended", why=repr(error))
            lasted = time.monotonic() - self._began > QUIET_S
            pause = AGAIN_S if lasted else min(2 * pause, SLOWEST_S)
            if not self._stop.wait(pause):
                self._end.clear()
                self.starts += 1

    async def _operate(self) -> None:
        where: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        registry, settings = self._registry(), _settings()
        with contextlib.suppress(asyncio.CancelledError):
            await kopf.operator(
                registry=registry,
                settings=settings,
                identity=IDENTITY,
                standalone=True,
                stop_flag=self._end,
                **where,
            )
        await asyncio.sleep(FAREWELL_S)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        def login(**kwargs: Any) -> Any:
            if not self._kubeconfig:
                return kopf.login_with_service_account(**kwargs)
            os.environ["KUBECONFIG"] = self._kubeconfig
            return kopf.login_with_kubeconfig(**kwargs)

        async def seen(event: Any, **_: Any) -> None:
            self._tell(str(event["type"] or ""), dict(event["object"]))

        kopf.on.login(registry=registry)(login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(seen)
        return registry

    def _tell(self, kind: str, found: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
            self._loop.call_soon_threadsafe(self._woken, kind, found)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = QUIET_S
    settings.watching.server_timeout = QUIET_S // 2
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.queueing.idle_timeout = 1.0
    return settings
