"""/livez, /readyz and /metrics: what the cluster asks of the operator itself. Changes nothing, asks for no token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from fairlead_operator.config import ListenConfig

Gauges = Mapping[str, float | Mapping[str, float]]  # by name; or by the value of its one label, `of`
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Endpoint:
    """`live` and `ready` give "" or what is wrong; `gauges` the metrics, without their prefix."""

    def __init__(self, live: Callable[[], str], ready: Callable[[], str], gauges: Callable[[], Gauges]) -> None:
        self._live = live
        self._ready = ready
        self._gauges = gauges
        self._runner: web.AppRunner | None = None

    async def start(self, listen: ListenConfig) -> int:
        """The port that it listens on. Raises OSError."""
        app = web.Application()
        app.router.add_get("/livez", self._probe(self._live))
        app.router.add_get("/readyz", self._probe(self._ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, listen.host, listen.port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _probe(self, ask: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def probe(_: web.Request) -> web.Response:
            wrong = ask()
            return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

        return probe

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=rendered(self._gauges()), headers={"Content-Type": TEXT})


def rendered(gauges: Gauges) -> str:
    """Prometheus' text form; a name that ends in _total is a counter."""
    lines = []
    for name, found in gauges.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# TYPE fairlead_operator_{name} {kind}")
        if isinstance(found, Mapping):
            lines += [f'fairlead_operator_{name}{{of="{_quoted(of)}"}} {value:g}' for of, value in found.items()]
        else:
            lines.append(f"fairlead_operator_{name} {found:g}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
