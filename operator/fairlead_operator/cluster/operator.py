"""The operator on Kubernetes, put together.

    handlers (kopf) --wake--> objects --claims--> pools (a Reconciler each) --> ConfigMap, PUT to every replica
                                registry (one poll for all pools) ----^   `--> statuses, events
    lease: who may write. A passive operator watches too, so that it can go on at once.

Nothing here decides: every loop can end at any line, and what it left is made good by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.cluster.endpoint import Endpoint, Gauges
from fairlead_operator.cluster.handlers import Handlers
from fairlead_operator.cluster.lease import Lease
from fairlead_operator.cluster.objects import Object, Objects, ref_of
from fairlead_operator.cluster.session import STUCK_S, Session, ended, together
from fairlead_operator.cluster.slices import SliceFleet
from fairlead_operator.config import Config
from fairlead_operator.polling import Errands, Registry
from fairlead_operator.state import RegistryUnavailable

CHECK_S = 120.0  # between lists that prove that the watch missed nothing
RECHECK_S = 2.0  # after a watch that began anew
AGAIN_S = 5.0
STALE_AT_ONCE = 50  # objects that are read one by one; more of them are a list


class Operator:
    """`run` ends when `stop` is called, or raises what ended it. `port` is where /metrics and the probes are;
    `transport` may stand for the network to the replicas."""

    def __init__(
        self, config: Config, server: api.Api, registry: Registry, kubeconfig: str | None, transport: Any = None
    ) -> None:
        self._config = config
        self._api = server
        self._registry = registry
        self._stopped = asyncio.Event()
        self._turned = asyncio.Event()
        self._recheck = asyncio.Event()
        self._session: Session | None = None
        identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self.objects = Objects(config.registry.alias, self._changed, self._recheck.set)
        self.lease = Lease(server, config.lease.namespace, config.lease.name, identity, self._turned.set)
        self._handlers = Handlers(config.watch_namespaces, kubeconfig, self._seen)
        token = Path(config.token_file) if config.token_file else None
        self._fleets = {
            name: SliceFleet(
                server, pool.namespace, pool.service, pool.port, self._changed, token, config.takeover, transport
            )
            for name, pool in config.pools.items()
        }
        self._endpoint = Endpoint(self._live, self._ready, self._gauges)
        self.port = 0

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        self.port = await self._endpoint.start(self._config.listen)
        log.info("started", why="asked to", identity=self.lease.identity, port=self.port, pools=sorted(self._fleets))
        fleets = [fleet.run() for fleet in self._fleets.values()]
        try:
            await together(self._keep(), self.lease.run(), self._sessions(), *fleets, until=self._stopped)
        finally:
            await self._handlers.close()
            for fleet in self._fleets.values():
                await fleet.close()
            await self._endpoint.close()
            await self._api.close()
            log.info("ended", why="asked to" if self._stopped.is_set() else "a part of it ended")

    # --- who is active

    async def _sessions(self) -> None:
        """A session while the lease is ours; none of its loops lives longer."""
        with contextlib.suppress(TimeoutError, RegistryUnavailable):
            await Errands().run(self._registry.open)  # seconds of imports, which a takeover need not wait for
        while True:
            await self._turned.wait()
            self._turned.clear()
            if not (self.lease.held() and self.objects.complete):
                continue
            session = Session(self._config, self._api, self.objects, self._fleets, self._registry, self.lease)
            self._session = session
            running = asyncio.create_task(session.run())
            try:
                while self.lease.held() and not running.done():
                    turned = asyncio.create_task(self._turned.wait())
                    await asyncio.wait({running, turned}, return_when=asyncio.FIRST_COMPLETED)
                    turned.cancel()
                    self._turned.clear()
            finally:
                self._session = None
                await ended(running)
            if running.done() and not running.cancelled() and running.exception() is not None:
                raise running.exception() or AssertionError

    # --- what there is

    def _seen(self, kind: str, found: Object) -> None:
        """From kopf. What it lists anew may lack what was removed meanwhile: only a list of ours proves that."""
        ref = ref_of(found)
        if kind == "" and self.objects.complete and ref in self.objects.known:
            self._recheck.set()
        self.objects.event(kind, found)

    def _changed(self) -> None:
        if self._session is not None:
            self._session.changed()

    async def _keep(self) -> None:
        """The list at the start, and checks of it afterwards."""
        trouble = ""
        while True:
            pause = CHECK_S
            try:
                await (self._check() if self.objects.complete else self._fill())
                trouble = ""
            except OSError as error:
                pause = AGAIN_S
                if str(error) != trouble:
                    log.warning("ServedModels not listed", why=str(error))
                trouble = str(error)
            await asyncio.sleep(RECHECK_S)  # a watch that begins anew tells many objects
            await api.pause(pause, self._recheck)

    async def _fill(self) -> None:
        """By what etcd has: a cache may be older than what was known before, and what it lacks would be unloaded."""
        items, version = await self._list(api.JSON, newest=True)
        self.objects.filled(items, version)
        self._handlers.start()
        self._turned.set()

    async def _check(self) -> None:
        missed = self.objects.checked(*await self._list(api.METADATA_ONLY))
        if missed.gone or missed.stale:
            log.warning("watch missed something", why="a list says so", gone=missed.gone[:20], stale=len(missed.stale))
        if missed.stale:
            self._handlers.again()
        if len(missed.stale) > STALE_AT_ONCE:
            await self._fill()
            return
        for ref in missed.stale:
            namespace, _, name = ref.partition("/")
            with contextlib.suppress(api.ApiFault):
                self.objects.put(await self._api.get(api.served_models(namespace, name)))

    async def _list(self, accept: str, *, newest: bool = False) -> tuple[list[Object], int]:
        """All ServedModels that are watched; as new as the oldest of the lists."""
        items: list[Object] = []
        versions = []
        for namespace in self._config.watch_namespaces or ("",):
            found = await self._api.listed(api.served_models(namespace), accept, newest=newest)
            there = found["items"] or ()  # null, where a list of metadata is empty
            items += [{"apiVersion": found["apiVersion"], "kind": "ServedModel", **item} for item in there]
            versions.append(int(found["metadata"]["resourceVersion"]))
        return items, min(versions)

    # --- what the cluster asks of us

    def _live(self) -> str:
        stuck = self._session.stuck() if self._session else ""
        if not self._handlers.alive():
            return "the watch has ended"
        return f"no step for {STUCK_S:g} s: {stuck}" if stuck else ""

    def _ready(self) -> str:
        return "" if self.objects.complete else "the ServedModels have not been listed yet"

    def _gauges(self) -> Gauges:
        found: dict[str, float | Mapping[str, float]] = {
            "active": float(self.lease.held()),
            "frozen": float(bool(self.lease.frozen)),
            "served_models": float(len(self.objects.known)),
            "api_calls_total": {verb: float(count) for verb, count in self._api.calls.items()},
            "watch_starts_total": float(self._handlers.starts),
        }
        return {**found, **(self._session.gauges() if self._session else {})}
