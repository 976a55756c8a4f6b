"""Which block of ports and which state directory this replica takes, so that several live on one machine.

With a port step, replica k serves base + k*step and keeps its state in `block-k` of the state directory. A
named replica takes the block that it had before; others take the first free one. Without a step there is
one block, and the state directory is used as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from fairlead_server.settings import ReplicaSettings
from fairlead_server.supervisor.files import write_durably
from fairlead_server.supervisor.sockets import Ports, PortTaken, take_ports, with_ports

MOST_BLOCKS = 64


class StateTaken(Exception):
    """The state directory cannot be used, or another process uses it."""


@dataclasses.dataclass(frozen=True)
class Home:
    """What a replica holds while it lives: its settings with real ports and directory, ports, and lock."""

    settings: ReplicaSettings
    ports: Ports
    lock: IO[str]

    def close(self) -> None:
        self.ports.close()
        self.lock.close()


def take_home(settings: ReplicaSettings, wait_s: float) -> Home:
    """Raises PortTaken or StateTaken, with what to do in the text."""
    root = Path(settings.state_dir).expanduser().absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as fault:
        raise StateTaken(f"the state directory {root} cannot be written: {fault.strerror}") from fault
    if not settings.port_step:
        return _move_in(settings, root, 0, wait_s)
    with _blocks_lock(root):
        known = _remembered(root)
        index, home = _first_free(settings, root, known, wait_s)
        if settings.replica and known.get(settings.replica) != index:
            kept = {name: k for name, k in known.items() if k != index}
            write_durably(root / "blocks.json", msgspec.json.encode({**kept, settings.replica: index}))
    return home


def order(replica: str, known: dict[str, int]) -> list[int]:
    """The blocks in the order to try: one's own, then the others as they come. Who is alive is told by the locks."""
    own = [known[replica]] if replica in known else []
    return own + [k for k in range(MOST_BLOCKS) if k not in own]


def _first_free(settings: ReplicaSettings, root: Path, known: dict[str, int], wait_s: float) -> tuple[int, Home]:
    last: Exception | None = None
    until = time.monotonic() + wait_s
    for index in order(settings.replica, known):
        own = known.get(settings.replica) == index
        while True:
            try:
                return index, _move_in(settings, root / f"block-{index}", index, wait_s if own else 0.5)
            except (PortTaken, StateTaken) as taken:
                last = taken
            if not own or time.monotonic() >= until:
                break
            time.sleep(0.1)  # its own block, held by a predecessor that is ending
    raise PortTaken(f"no free block of ports from {settings.http_port} on: {last}", ours=True)


def _move_in(settings: ReplicaSettings, state: Path, index: int, wait_s: float) -> Home:
    shift = index * settings.port_step
    names = ("http_port", "grpc_port", "metrics_port", "control_port")
    moved = {name: getattr(settings, name) + shift for name in names if getattr(settings, name)}
    host = socket.gethostname()
    replica = settings.replica or (f"{host}-{index}" if index else host)
    own = msgspec.structs.replace(settings, state_dir=str(state), replica=replica, **moved)
    lock = _lock_state(state)
    try:
        ports = take_ports(own, wait_s)
    except PortTaken:
        lock.close()
        raise
    return Home(with_ports(own, ports), ports, lock)


def _lock_state(state: Path) -> IO[str]:
    state.mkdir(parents=True, exist_ok=True)
    lock = (state / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StateTaken(f"{state} is in use by another replica: give this one its own --state-dir") from None
    return lock


@contextlib.contextmanager
def _blocks_lock(root: Path) -> Iterator[None]:
    with (root / "blocks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remembered(root: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode((root / "blocks.json").read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}


def default_state_dir() -> str:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(base) / "fairlead")
