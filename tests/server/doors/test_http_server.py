"""Leaving: rule 14 for HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from fairlead_server.testing import FakeService

PATH = "/v2/models/digits%201.0/infer"
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}]})
LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


def client(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.connect()
    return connection


@pytest.fixture(name="connection")
def _connection(doors: Any) -> Iterator[http.client.HTTPConnection]:
    connection = client(doors.http_port)
    yield connection
    connection.close()


def ask(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    connection.request("POST", PATH, BODY)
    answer = connection.getresponse()
    answer.read()
    return answer


@pytest.fixture(name="doors", params=LOOPS, ids=["uvloop", "asyncio"])
def _doors(request: pytest.FixtureRequest, open_doors: Callable[..., Any]) -> Any:
    with open_doors(new_loop=request.param) as doors:
        yield doors


def test_a_drain_with_nobody_here_is_over_at_once(doors: Any) -> None:
    """Nothing is waited for when there is nothing."""
    begun = time.monotonic()
    assert doors.drain(idle_s=5).result(4) == 0
    assert time.monotonic() - begun < 4


def test_a_request_in_flight_is_answered_and_its_connection_closed(doors: Any, connection: Any) -> None:
    """Work that has begun is finished; its answer is the connection's last."""
    doors.service.delay_s = 0.3
    connection.request("POST", PATH, BODY)
    time.sleep(0.1)
    drained = doors.drain()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    assert drained.result(4) == 0


def test_a_kept_connection_may_bring_one_more_request(doors: Any, connection: Any) -> None:
    """An idle connection is not closed under a request that may be on its way."""
    assert ask(connection).getheader("connection") is None
    drained = doors.drain(idle_s=5)
    time.sleep(0.3)
    assert ask(connection).getheader("connection") == "close"
    assert drained.result(3) == 0


def test_a_connection_that_has_sent_nothing_yet_is_served(doors: Any, connection: Any) -> None:
    """What the kernel accepted before the drain gets its answer (uvicorn would close it)."""
    time.sleep(0.05)
    drained = doors.drain(idle_s=5)
    time.sleep(0.2)
    assert ask(connection).status == 200
    assert drained.result(3) == 0


def test_a_request_half_sent_is_served(doors: Any) -> None:
    """A request that was arriving when the drain began is read to its end and answered."""
    with doors.connect() as sock:
        sock.sendall(b"GET /v2 HTT")
        time.sleep(0.05)
        drained = doors.drain(idle_s=0.1)
        time.sleep(0.3)
        sock.sendall(b"P/1.1\r\nHost: x\r\n\r\n")
        answer = sock.recv(1000)
        assert b" 200 " in answer
        assert b"connection: close" in answer
    assert drained.result(3) == 0


def test_queued_requests_of_one_connection_are_all_answered(doors: Any) -> None:
    """Pipelined requests that were read are answered; the last answer says close."""
    doors.service.delay_s = 0.3
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    with doors.connect() as sock:
        sock.sendall(request * 3)
        time.sleep(0.05)
        drained = doors.drain()
        out = b""
        while data := sock.recv(10_000):
            out += data
    assert (out.count(b" 200 OK"), out.count(b"connection: close")) == (3, 1)
    assert out.rindex(b" 200 OK") < out.index(b"connection: close")
    assert drained.result(3) == 0


def test_an_idle_connection_is_closed_last(doors: Any, connection: Any) -> None:
    """A connection that brings nothing more is closed when its time is over, and the drain ends."""
    ask(connection)
    begun = time.monotonic()
    assert doors.drain(idle_s=0.4).result(4) == 0
    assert 0.35 < time.monotonic() - begun < 3


def test_what_outlasts_the_grace_is_cut_and_told(doors: Any, connection: Any) -> None:
    """The drain ends with its grace time, and says how many requests that cost."""
    doors.service.delay_s = 5
    connection.request("POST", PATH, BODY)
    time.sleep(0.1)
    assert doors.drain(grace_s=0.3).result(2) == 1
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        connection.getresponse()
    deadline = time.monotonic() + 3
    while not doors.service.cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert doors.service.cancelled == 1


def test_the_listening_socket_outlives_the_drain(doors: Any) -> None:
    """The socket is not shut: connections wait in the kernel for whoever accepts next."""
    doors.drain().result(2)
    with doors.connect() as waiting:
        waiting.sendall(b"GET /v2")
        doors.listening.settimeout(2)
        accepted, _ = doors.listening.accept()
        with accepted:
            assert accepted.recv(100) == b"GET /v2"


class Load(threading.Thread):
    """Requests one after the other, on a new connection each or on a kept one that is renewed when told to close."""

    def __init__(self, port: int, *, kept: bool) -> None:
        super().__init__(daemon=True)
        self.port, self.kept = port, kept
        self.done, self.lost, self.over = 0, [], threading.Event()

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.over.is_set():
            try:
                connection = connection or client(self.port)
                answer = ask(connection)
                assert answer.status == 200
                self.done += 1
                if not self.kept or answer.getheader("connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_servers_take_turns_on_one_socket_and_nothing_is_lost(
    open_doors: Callable[..., Any], new_loop: Any, record_property: Callable[..., None]
) -> None:
    """Servers start and drain on one shared listening socket under load: no connection is reset, no request lost."""
    shared = socket.create_server(("127.0.0.1", 0), backlog=512)
    shared.setblocking(False)  # a property that all duplicates share
    port = shared.getsockname()[1]
    loads = [Load(port, kept=kept) for kept in (False, False, False, True, True, True)]
    with contextlib.ExitStack() as first:
        doors = first.enter_context(open_doors(FakeService(delay_s=0.002), listening=shared.dup(), new_loop=new_loop))
        for load in loads:
            load.start()
        leaving = first.pop_all()
    for _ in range(8):
        successor = contextlib.ExitStack()
        newer = successor.enter_context(
            open_doors(FakeService(delay_s=0.002), listening=shared.dup(), new_loop=new_loop)
        )
        time.sleep(0.1)
        assert doors.drain(idle_s=0.5).result(5) == 0
        leaving.close()
        doors, leaving = newer, successor
    for load in loads:
        load.over.set()
    for load in loads:
        load.join(10)
    leaving.close()
    shared.close()
    record_property("requests over 8 drains", sum(load.done for load in loads))
    assert [lost for load in loads for lost in load.lost] == []
    assert min(load.done for load in loads) > 20
