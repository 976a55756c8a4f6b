"""Children that sit on the real link and behave as the model's name says, without any model: quick to start.

    python scripted_child.py worker|trial|fetcher --link-fd N --settings JSON ...

Names: `kills-trial` dies in its trial; `hangs` never ends it; `bad` fails it for good; `flaky` fails the first
load of every worker; `landmine` is marked as running for ever; `numb` silences its worker; `blocks` does so while it
runs on the loop, and `breaks` loses the worker's device. A source called `missing`
cannot be fetched, one called `late` only the second time, and one that begins with `away` not while a file of that name
lies in the state directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

from fairlead_server.batching.marks import Marks
from fairlead_server.catalog.version import Open
from fairlead_server.catalog.versions import WorkerCatalog
from fairlead_server.link.messages import (
    Accepting,
    Applied,
    Apply,
    Broken,
    Counts,
    Drain,
    Fetch,
    Fetched,
    FetchFailed,
    Hello,
    Histogram,
    Load,
    Moved,
    ToFetcher,
    ToWorker,
    Unload,
    VersionCounts,
)
from fairlead_server.link.stream import Link
from fairlead_server.models.profile import Profile, Smoke
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.models.states import State
from fairlead_server.worker.arguments import Arguments, parse
from fairlead_server.worker.process import become_child

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),))
MIB = 2**20


async def fetcher(link: Link[object], arguments: Arguments) -> None:
    seen: set[str] = set()
    while (message := await link.receive()) is not None:
        if not isinstance(message, Fetch):
            continue
        if message.source == "missing" or (message.source == "late" and "late" not in seen):
            seen.add(message.source)
            link.send(FetchFailed(message.id, f"there is no {message.source}", retry=message.source == "late"))
            continue
        if message.source.startswith("away") and os.path.exists(f"{arguments.settings.state_dir}/away"):  # noqa: ASYNC240
            link.send(FetchFailed(message.id, "its source is away", retry=True))
            continue
        digest = message.digest or "sha256:" + hashlib.sha256(message.source.encode()).hexdigest()
        size = int(message.source.removeprefix("size-")) * MIB if message.source.startswith("size-") else 10
        link.send(Fetched(message.id, message.source, digest, size, {}))


def leave_a_trace(arguments: Arguments) -> None:
    Path(arguments.settings.state_dir, f"trial.{os.getpid()}").touch()


async def trial(link: Link[object], arguments: Arguments) -> None:
    while (message := await link.receive()) is not None:
        assert isinstance(message, Load)
        leave_a_trace(arguments)
        link.send(Moved(message.uid, State.LOADING, time.time()))
        if message.model == "kills-trial":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif message.model == "bad":
            link.send(Moved(message.uid, State.FAILED, time.time(), reason="no such opset", final=True))
        elif message.model != "hangs":
            profile = Profile(bytes=MIB, smoke=Smoke("example", True))
            link.send(Moved(message.uid, State.READY, time.time(), signature=SIGNATURE, profile=profile))


class Worker:
    def __init__(self, link: Link[object], arguments: Arguments) -> None:
        self.link = link
        self.arguments = arguments
        self.catalog: WorkerCatalog[Load, str] = WorkerCatalog()
        self.marks = Marks(arguments.marks_fd)
        self.sock = socket.socket(fileno=os.dup(arguments.http_fd))
        self.tried: set[str] = set()
        self.counted: set[str] = set()
        self.open = self.numb = False

    async def run(self) -> None:
        counting = asyncio.ensure_future(self.count())
        while (message := await self.link.receive()) is not None and not isinstance(message, Drain):
            self.take(message)
        counting.cancel()
        self.link.send(Accepting(False))
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.link.send(self.counts())
        self.link.close()
        await asyncio.sleep(0.05)

    def take(self, message: object) -> None:
        if isinstance(message, Load):
            self.catalog.load(message.uid, message.model, message.version, message)
            self.numb = self.numb or message.model in ("numb", "blocks")
        elif isinstance(message, Unload):
            self.catalog.unload(message.uid)
        elif isinstance(message, Apply):
            self.catalog.apply(message.generation, message.entries)
        while (action := self.catalog.next_action()) is not None:
            held = self.catalog.begin(action)
            if not isinstance(action, Open):
                self.catalog.closed(action.uid)
            elif held.source.model == "flaky" and action.uid not in self.tried:
                self.tried.add(action.uid)
                self.catalog.failed(action.uid, "no memory just now", final=False)
            else:
                self.catalog.warming(action.uid)
                self.catalog.opened(action.uid, held.source.version)
                if held.source.model in ("landmine", "blocks"):
                    self.marks.mark(action.uid).enter(in_place=held.source.model == "blocks")
                if held.source.model == "breaks":
                    asyncio.get_running_loop().call_later(0.1, self.link.send, Broken("CUDA error 700", (action.uid,)))
        self.tell()

    def tell(self) -> None:
        for move in self.catalog.take_moves():
            signature = SIGNATURE if move.state is State.READY else None
            self.link.send(Moved(move.uid, move.state, time.time(), move.reason, move.final, signature))
        news = self.catalog.take_news()
        if news is not None:
            self.link.send(Applied(news.generation, news.pending, news.routes))
        if self.catalog.caught_up and not self.open:
            self.open = True
            self.sock.setblocking(False)
            asyncio.get_running_loop().add_reader(self.sock.fileno(), self.accept)
            self.link.send(Accepting(True))

    def accept(self) -> None:
        try:
            connection, _ = self.sock.accept()
        except BlockingIOError:
            return
        with connection:
            connection.settimeout(1)
            connection.recv(65536)
            body = self.arguments.id.encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if not self.numb:
                self.link.send(self.counts())

    def counts(self) -> Counts:
        latency, rows, failures = Histogram([0] * 15, 0.0), Histogram([0] * 12, 0.0), {"rejected": 1}
        versions = {
            uid: VersionCounts(
                held.model, held.version, 7, failures, 9, 5, 100, 20, 5, 60, 5, latency, rows, 3, 2
            )
            for uid, held in self.catalog.versions.items()
        }  # fmt: skip
        closed = tuple(self.counted - versions.keys())
        self.counted = set(versions)
        return Counts(versions, {"invalid": 2}, 4, 50 * MIB, 1.5, closed)


async def worker(link: Link[object], arguments: Arguments) -> None:
    await Worker(link, arguments).run()


async def main() -> None:
    arguments = parse(sys.argv[2:])
    role = {"worker": worker, "trial": trial, "fetcher": fetcher}[sys.argv[1]]
    wanted = ToFetcher if role is fetcher else ToWorker
    link: Link[object] = await Link.over(socket.socket(fileno=arguments.link_fd), wanted)
    if role is not fetcher:
        link.send(Hello(os.getpid()))
    await role(link, arguments)


become_child()
asyncio.run(main())
