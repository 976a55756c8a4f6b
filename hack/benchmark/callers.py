"""One kept connection to each worker of a replica, so that each can be asked what it routes.

Workers share a listening socket, and the kernel says not which one took a connection; the replica's metrics do.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import time
from collections.abc import Iterator

import httpx
import msgspec

from benchmark.load.calls import Call
from benchmark.processes import SubjectFailed
from benchmark.subjects.fairlead import Replica

_CONNECTIONS = re.compile(r'^fairlead_connections\{worker="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)
_ACCEPTING = re.compile(r'^fairlead_workers\{state="accepting"\} ([0-9.]+)$', re.MULTILINE)
MOST = 64  # connections that are opened to find all workers
SEEN_S = 20.0  # workers tell their connections each second, and a page of thousands of versions is long
LOOK_S = 0.4
_TIMEOUT_S = 10.0


class _Answer(msgspec.Struct):
    model_version: str


class Caller:
    """A connection to one worker."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        self._connection.connect()

    def version(self, call: Call) -> str:
        """Which version answers this request."""
        (body,) = call.bodies
        self._connection.request("POST", call.path, body.data, dict(body.headers))
        response = self._connection.getresponse()
        said = response.read()
        if response.status != 200:
            raise SubjectFailed(f"status {response.status} for {call.path}: {said[:200]!r}")
        return msgspec.json.decode(said, type=_Answer).model_version

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def callers(replica: Replica) -> Iterator[list[Caller]]:
    """One for each worker that accepts."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Caller] = {}
        for _ in range(MOST):
            before = _connections(replica)
            if before and len(found) == len(before):
                break
            caller = Caller(replica.http)
            stack.callback(caller.close)
            found.setdefault(_grown(replica, before), caller)
        else:
            raise SubjectFailed(f"{MOST} connections reached {len(found)} workers only")
        yield list(found.values())


def _grown(replica: Replica, before: dict[str, float]) -> str:
    deadline = time.monotonic() + SEEN_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        for worker, count in _connections(replica).items():
            if count > before.get(worker, 0.0):
                return worker
    raise SubjectFailed("no worker tells of a connection that was opened")


def _connections(replica: Replica) -> dict[str, float]:
    page = httpx.get(f"http://{replica.metrics}/metrics", timeout=_TIMEOUT_S).raise_for_status().text
    found = {worker: float(count) for worker, count in _CONNECTIONS.findall(page)}
    accepting = _ACCEPTING.search(page)
    if accepting is None or float(accepting[1]) != len(found):
        raise SubjectFailed("the replica's workers do not all accept")
    return found
