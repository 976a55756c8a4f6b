"""The worker's and the trial's process: from its arguments to its end.

What is heavy is imported after Hello, so that the supervisor knows soon that the process is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from fairlead_server import log
from fairlead_server.link.messages import Hello, ToWorker
from fairlead_server.link.stream import Link, LinkEnded
from fairlead_server.worker.arguments import Arguments, parse
from fairlead_server.worker.process import be_least, become_child

SWITCH_S = 0.001  # a thread that loads gives the loop its turn after this; 5 ms are a request's whole time
GC_AFTER = 10_000  # more objects than before; with Python's 700 a few requests under way set it off (5 % of a tiny one)
RUNTIME = "fairlead_server.runtimes.onnx"  # imported before a version needs it

Part = Callable[[Link[Any], Arguments], Awaitable[None]]


def run_worker(argv: Sequence[str]) -> NoReturn:
    _run(argv, _worker)


def run_trial(argv: Sequence[str]) -> NoReturn:
    be_least()
    _run(argv, _trial)


def _run(argv: Sequence[str], part: Part) -> NoReturn:
    """Ends without waiting for threads: a load under way cannot be stopped, and nobody needs it any more."""
    become_child()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is raised, and told by us as a line of ours
    arguments = parse(argv)
    settings = arguments.settings
    log.configure(settings.log_level, replica=settings.replica, boot=arguments.boot, worker=arguments.id)
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(GC_AFTER, 10, 10)
    try:
        _loop().run_until_complete(_serve(arguments, part))
    except BaseException:
        log.error("worker_broke", trace=traceback.format_exc())
        os._exit(1)
    os._exit(0)


async def _serve(arguments: Arguments, part: Part) -> None:
    link: Link[ToWorker] = await Link.over(socket.socket(fileno=arguments.link_fd), ToWorker)
    with contextlib.suppress(LinkEnded):
        link.send(Hello(os.getpid()))
        await part(link, arguments)


async def _worker(link: Link[Any], arguments: Arguments) -> None:
    importlib.import_module(RUNTIME)
    from fairlead_server.worker.serving import Worker

    await Worker(link, arguments).run()


async def _trial(link: Link[Any], arguments: Arguments) -> None:
    from fairlead_server.worker.loader import prime
    from fairlead_server.worker.trial import Trial

    prime(arguments.cores)

    await Trial(link, arguments.cores).run()


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
