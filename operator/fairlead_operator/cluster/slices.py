"""The control addresses of a pool: every endpoint of its Service's EndpointSlices, ready or not.

A replica that is not ready yet is told its catalog too, or it would never become ready. The slices are watched, so
that knowing them costs the API server nothing while no pod comes or goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fairlead_operator import log
from fairlead_operator.cluster import api
from fairlead_operator.fleet import HttpFleet
from fairlead_operator.state import Seen

AGAIN_S = 2.0
SLOWEST_S = 30.0


def addresses(slices: Iterable[api.Object], port: int) -> tuple[str, ...]:
    """Base URLs of all endpoints, each once. `port` counts where a slice names none that is called `control`."""
    found = set()
    for one in slices:
        named = {p.get("name"): p.get("port") for p in one.get("ports") or () if p.get("port")}
        number = named.get("control") or port
        for endpoint in one.get("endpoints") or ():
            for host in endpoint.get("addresses") or ():
                found.add(f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}")
    return tuple(sorted(found))


class SliceFleet(HttpFleet):
    """The replicas behind the Service `service`. `woken` is called when they change."""

    def __init__(
        self, server: api.Api, namespace: str, service: str, port: int, woken: Callable[[], None],
        token_file: Path | None = None, takeover: bool = False, transport: Any = None,
    ) -> None:  # fmt: skip
        super().__init__((), token_file, takeover, transport)
        self._api = server
        self._path = api.endpoint_slices(namespace)
        self._selector = f"kubernetes.io/service-name={service}"
        self._port = port
        self._woken = woken
        self._slices: dict[str, api.Object] = {}
        self.complete = False
        self.trouble = ""

    async def observe(self) -> dict[str, Seen]:
        """Raises OSError until the slices were listed: a replica that is not known yet has confirmed nothing."""
        if not self.complete:
            raise OSError(self.trouble or "the pool's replicas have not been listed yet")
        return await super().observe()

    async def run(self) -> None:
        """Lists and watches, for ever."""
        pause = AGAIN_S
        while True:
            try:
                since = await self._list()
                pause = AGAIN_S
                await self._follow(since)
            except api.Expired:
                pass
            except OSError as error:
                if str(error) != self.trouble:
                    log.warning("replicas not listed", why=str(error))
                self.trouble = str(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, SLOWEST_S)  # while it cannot even be listed

    async def _list(self) -> str:
        found = await self._api.listed(self._path, labelSelector=self._selector)
        self._slices = {item["metadata"]["name"]: item for item in found["items"]}
        self.complete = True
        self._changed()
        return str(found["metadata"]["resourceVersion"])

    async def _follow(self, since: str) -> None:
        while True:
            async for kind, found in self._api.watch(self._path, since, labelSelector=self._selector):
                since = found["metadata"]["resourceVersion"]
                self.trouble = ""  # not before: a watch that is refused each time is told once
                if kind == "DELETED":
                    self._slices.pop(found["metadata"]["name"], None)
                elif kind != "BOOKMARK":
                    self._slices[found["metadata"]["name"]] = found
                self._changed()
            await asyncio.sleep(AGAIN_S / 4)

    def _changed(self) -> None:
        new = addresses(self._slices.values(), self._port)
        if new != self.addresses:
            log.info("replicas", why="the Service's endpoints changed", addresses=list(new))
            self.addresses = new
            self._woken()
