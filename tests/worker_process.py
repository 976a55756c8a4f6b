"""A real worker or trial, started by exec over a socketpair as its supervisor would, for tests of whole processes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead_server.batching import marks
from fairlead_server.link import messages as link
from fairlead_server.link.stream import Link
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.states import State
from fairlead_server.settings import ReplicaSettings

COMMAND = [sys.executable, "-m", "fairlead_server"]


class Ports:
    """What a supervisor owns: the listening HTTP socket and a free gRPC port."""

    def __init__(self, folder: Path) -> None:
        self.http = socket.create_server(("127.0.0.1", 0))
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes it meanwhile
        self.grpc_address = f"127.0.0.1:{self._held.getsockname()[1]}"
        self.http_address = f"127.0.0.1:{self.http.getsockname()[1]}"
        self.settings = ReplicaSettings(
            state_dir=str(folder), replica="r1", http_port=self.http.getsockname()[1],
            grpc_port=self._held.getsockname()[1],
        )  # fmt: skip

    def close(self) -> None:
        self.http.close()
        self._held.close()


class Process:
    """`messages` holds all that was received so far."""

    def __init__(
        self, role: str, ports: Ports, *, name: str = "w1", cores: int = 2, command: Sequence[str] = COMMAND
    ) -> None:
        self.marks_fd = marks.create()
        self._ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), ports.http.fileno(), self.marks_fd]
        arguments = [
            "--link-fd",
            str(fds[0]),
            "--settings",
            msgspec.json.encode(ports.settings).decode(),
            "--boot",
            "b",
        ]
        if role == "worker":
            arguments += ["--id", name, "--http-fd", str(fds[1]), "--marks-fd", str(fds[2]), "--cores", str(cores)]
        self.started = time.monotonic()
        self.log = Path(ports.settings.state_dir) / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, role, *arguments], pass_fds=fds, stderr=log, start_new_session=True
            )
        theirs.close()
        self.messages: list[Any] = []
        self.link: Link[Any]

    async def __aenter__(self) -> Process:
        self.link = await Link.over(self._ours, link.ToSupervisor)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.link.close()
        await asyncio.sleep(0)
        try:
            await asyncio.to_thread(self.process.wait, 10)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.marks_fd)

    def send(self, message: msgspec.Struct) -> None:
        self.link.send(message)

    def load(self, uid: str, path: Path, settings: VersionSettings | None = None, profile: Any = None) -> None:
        """A uid such as add-3a is version 3 of the model add."""
        model, _, version = uid.partition("-")
        settings = settings or VersionSettings(warmup_budget_ms=100)
        self.send(link.Load(uid, model, version[:-1], str(path), "sha256:0", settings, profile))

    async def until(self, wanted: Callable[[Any], bool], limit_s: float = 20.0) -> Any:
        """The first message that is wanted, from now on."""
        async with asyncio.timeout(limit_s):
            while (message := await self.link.receive()) is not None:
                self.messages.append(message)
                if wanted(message):
                    return message
        raise AssertionError(f"the link ended: {self.log.read_text()}")

    async def moved(self, uid: str, state: State) -> link.Moved:
        found: link.Moved = await self.until(
            lambda message: isinstance(message, link.Moved) and (message.uid, message.state) == (uid, state)
        )
        return found

    async def accepting(self, is_open: bool = True) -> None:
        await self.until(lambda message: message == link.Accepting(is_open))

    async def ended(self, limit_s: float = 10.0) -> int:
        """Receive to the end; the exit status."""
        async with asyncio.timeout(limit_s):
            while (message := await self.link.receive()) is not None:
                self.messages.append(message)
        return await asyncio.to_thread(self.process.wait, limit_s)

    def states(self, uid: str) -> list[State]:
        return [message.state for message in self.messages if isinstance(message, link.Moved) and message.uid == uid]

    def counts(self) -> link.Counts:
        found: link.Counts = [message for message in self.messages if isinstance(message, link.Counts)][-1]
        return found
