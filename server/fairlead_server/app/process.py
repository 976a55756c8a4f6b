"""The engine `process`: one replica in this process, without Ray. The edge mode.

SIGTERM and SIGINT drain it and end it with status 0 within the grace time; a second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from fairlead_server import log
from fairlead_server.settings import ReplicaSettings, in_url
from fairlead_server.supervisor.blocks import Home, take_home
from fairlead_server.supervisor.main import Supervisor
from fairlead_server.supervisor.times import Times

LOOK_S = 0.02


def run(settings: ReplicaSettings) -> int:
    """Raises PortTaken or StateTaken before anything is started."""
    times = Times()
    home = take_home(settings, times.ports)
    log.take_over_logging()
    return asyncio.run(_serve(home, times))


async def _serve(home: Home, times: Times) -> int:
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    supervisor = Supervisor(home, times)
    await supervisor.start()
    greeting = asyncio.create_task(_greet(supervisor))
    try:
        log.info("signal", number=await signals.get())
        leaving, hurry = asyncio.create_task(supervisor.drain()), asyncio.create_task(signals.get())
        await asyncio.wait((leaving, hurry), return_when=asyncio.FIRST_COMPLETED)
        return 0 if leaving.done() else 1
    finally:
        greeting.cancel()
        await supervisor.stop()


async def _greet(supervisor: Supervisor) -> None:
    """Tell whoever started this where it answers, when it does."""
    while supervisor.not_ready():  # noqa: ASYNC110 - a person waits for it, once
        await asyncio.sleep(LOOK_S)
    sys.stdout.write(addresses(supervisor.settings))
    sys.stdout.flush()


def addresses(settings: ReplicaSettings) -> str:
    host = in_url(settings.host)
    return (
        f"ready: http://{host}:{settings.http_port} (v2 HTTP), {host}:{settings.grpc_port} (gRPC), "
        f"http://{host}:{settings.metrics_port}/metrics, http://{host}:{settings.control_port}/control/status\n"
    )
