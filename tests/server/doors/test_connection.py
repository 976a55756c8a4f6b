"""Raw sockets against a running door: what no well-behaved client would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from fairlead_server.settings import Limits
from fairlead_server.testing import FakeService

LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]
TIGHT = Limits(read_s=0.8, idle_s=0.8, write_s=0.5, header_bytes=2000, body_bytes=5000)
BODY = b'{"inputs":[{"name":"x","datatype":"INT32","shape":[1],"data":[1]}]}'
INFER = b"/v2/models/digits%201.0/infer"
GET = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes = BODY, *headers: bytes, path: bytes = INFER, length: int | None = None) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", *headers]
    lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*lines, b"", b""]) + body


def chunked(*chunks: bytes, path: bytes = INFER) -> bytes:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n" % len(chunk) + chunk + b"\r\n" for chunk in chunks)


def receive_all(sock: socket.socket) -> bytes:
    """What comes until the server closes. A reset fails the test."""
    out = b""
    while data := sock.recv(65536):
        out += data
    return out


def answers(data: bytes) -> list[tuple[int, dict[bytes, bytes], Any]]:
    """Status, headers and JSON of each answer in a stream of answers."""
    out = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", b"0"))
        body, data = data[:length], data[length:]
        out.append((int(first.split()[1]), headers, json.loads(body) if body else None))
    return out


def receive_one(sock: socket.socket) -> bytes:
    """One whole answer, of a connection that stays open."""
    out = b""
    while True:
        head, end, body = out.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return out
        data = sock.recv(65536)
        assert data, "the connection ended inside an answer"
        out += data


def ask(doors: Any, data: bytes) -> list[tuple[int, dict[bytes, bytes], Any]]:
    with doors.connect() as sock:
        sock.sendall(data)
        return answers(receive_all(sock))


@pytest.fixture(name="doors", params=LOOPS, ids=["uvloop", "asyncio"])
def _doors(request: pytest.FixtureRequest, open_doors: Callable[..., Any]) -> Any:
    with open_doors(limits=TIGHT, new_loop=request.param) as doors:
        yield doors


REFUSED = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "length and chunked": (post(BODY, b"Transfer-Encoding: chunked"), 400),
    "unknown transfer coding": (b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    "two lengths": (post(BODY, b"Content-Length: 3"), 400),
    "negative length": (b"POST /v2 HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
    "line feeds alone": (b"GET /v2 HTTP/1.1\nHost: x\n\n", 400),
    "space before the colon": (b"GET /v2 HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "folded header": (b"GET /v2 HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", 400),
    "raw bytes in the path": (b"GET /v2/\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bad chunk": (chunked()[:-2] + b"\r\nzz\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "long header": (b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 3000 + b"\r\n\r\n", 431),
    "long path": (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "endless header": (b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 600_000, 431),
    "head that never ends": (b"GET /v2 HTTP/1.1\r\nA: b", 408),
    "body that never ends": (post(length=500), 408),
    "length over the limit": (post(length=50_000), 413),
    "chunks over the limit": (chunked(b"x" * 3000, b"x" * 3000), 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_message_is_answered_and_the_connection_ends(doors: Any, case: str) -> None:
    """Every fault below or about HTTP gets its status and a JSON error, and then an orderly end."""
    data, status = REFUSED[case]
    [(found, headers, body)] = ask(doors, data)
    assert (found, headers[b"connection"], list(body)) == (status, b"close", ["error"])


def test_a_large_body_over_the_limit_still_gets_its_answer(doors: Any) -> None:
    """A client that sends all before it reads is told 413, not reset, while its bytes are thrown away."""
    with doors.connect() as sock:
        sock.sendall(post(b"", length=40_000_000))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40):
                sock.sendall(b"x" * 1_000_000)
        assert b" 413 " in sock.recv(100)


def test_a_client_that_sends_a_byte_at_a_time_is_cut_off_in_time(doors: Any) -> None:
    """The time limit is for the whole request, so trickling does not stretch it."""
    begun = time.monotonic()
    with doors.connect() as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in post():
                sock.sendall(bytes([byte]))
                time.sleep(0.05)
                if time.monotonic() - begun > 2:
                    break
        assert b" 408 " in sock.recv(100)
    assert doors.gate.refused == {"slow_client": 1}


def test_requests_in_one_packet_are_answered_in_order(doors: Any) -> None:
    """Pipelined requests each get their answer, first in first out."""
    found = ask(doors, post() + GET + post())
    assert [(status, next(iter(body))) for status, _, body in found] == [
        (200, "model_name"),
        (200, "name"),
        (200, "model_name"),
    ]


def test_garbage_behind_good_requests_does_not_cost_their_answers(doors: Any) -> None:
    """A refusal waits for the answers before it."""
    assert [status for status, _, _ in ask(doors, post() + post() + b"\x00garbage")] == [200, 200, 400]


def test_a_body_broken_in_the_middle_behind_a_good_request(doors: Any) -> None:
    """An unfinished request behind a running one is refused in its turn."""
    doors.service.delay_s = 0.1
    assert [status for status, _, _ in ask(doors, post() + chunked(b"x")[:-2] + b"\r\nzz\r\n")] == [200, 400]


def test_too_many_requests_ahead_of_their_answers_are_refused(doors: Any) -> None:
    """What one connection may queue is bounded, and what is within the bound is answered."""
    doors.service.delay_s = 0.001
    found = [status for status, _, _ in ask(doors, GET * 400)]
    assert found[-1] == 503
    assert set(found[:-1]) == {200}


def test_bytes_after_a_message_that_says_close_are_not_a_request(doors: Any) -> None:
    """Nothing can be smuggled behind a `Connection: close`."""
    assert [status for status, _, _ in ask(doors, post(BODY, b"Connection: close") + GET)] == [200]


def test_http_1_0_is_answered_and_closed(doors: Any) -> None:
    """An old client gets its answer and the end of the connection."""
    [(status, headers, _)] = ask(doors, b"GET /v2 HTTP/1.0\r\n\r\n")
    assert (status, headers[b"connection"]) == (200, b"close")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_an_offer_to_upgrade_is_declined_by_answering(doors: Any, protocol: bytes) -> None:
    """The request is answered as plain HTTP, body and all, and the connection is kept."""
    offer = post(BODY, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAA")
    assert [status for status, _, _ in ask(doors, offer * 2 + GET)] == [200, 200, 200]


def test_an_expected_continue_is_sent_only_when_the_body_is_wanted(doors: Any) -> None:
    """Expect: 100-continue is met for a body that will be read; one that is not gets its error at once."""
    with doors.connect() as sock:
        sock.sendall(post(b"", b"Expect: 100-continue", length=len(BODY)))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        assert b" 200 " in receive_one(sock)
    [(status, headers, _)] = ask(doors, post(b"", b"Expect: 100-continue", path=b"/nowhere", length=10))
    assert (status, headers[b"connection"]) == (404, b"close")


def test_chunks_and_trailers_are_read(doors: Any) -> None:
    """A chunked body is a body; trailers are passed over."""
    data = chunked(BODY[:10], BODY[10:]) + b"0\r\nInference-Header-Content-Length: 1\r\n\r\n"
    assert [status for status, _, _ in ask(doors, data)] == [200]


def test_endless_trailers_are_cut_off(doors: Any) -> None:
    """What follows a body counts, so it cannot fill the memory."""
    with doors.connect() as sock:
        sock.sendall(chunked(BODY) + b"0\r\nA: ")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40):
                sock.sendall(b"a" * 100_000)
        assert b" 413 " in sock.recv(100)


def test_an_idle_connection_is_closed_without_a_word(doors: Any) -> None:
    """A connection that sends nothing, or only line ends, is closed after the idle limit."""
    for nothing in (b"", b"\r\n"):
        with doors.connect() as sock:
            sock.sendall(nothing)
            assert receive_all(sock) == b""


def test_a_kept_connection_is_closed_after_the_idle_limit(doors: Any) -> None:
    """The idle limit begins again with every answer."""
    with doors.connect() as sock:
        for _ in range(4):
            time.sleep(0.3)
            sock.sendall(GET)
            assert b" 200 " in receive_one(sock)
        assert receive_all(sock) == b""


def test_a_client_that_leaves_cancels_its_inference(doors: Any) -> None:
    """A disconnect ends the work on its requests, also when they were sent ahead and others are queued behind them."""
    doors.service.delay_s = 5
    for data in (post(), post() + post() + GET):
        with doors.connect() as sock:
            sock.sendall(data)
            time.sleep(0.1)
        time.sleep(0.1)
    assert (doors.service.cancelled, doors.gate.inside, doors.http.connections) == (3, 0, 0)


def test_an_aged_connection_is_told_to_close(open_doors: Callable[..., Any]) -> None:
    """Past its greatest age a connection ends with its next answer."""
    with open_doors(limits=Limits(age_s=0.1)) as doors, doors.connect() as sock:
        sock.sendall(GET)
        assert b"connection" not in receive_one(sock)
        time.sleep(0.15)
        sock.sendall(GET)
        assert b"connection: close" in receive_all(sock)


BIG = 500_000


def big_request() -> bytes:
    """A request of 4 MB whose answer has as many bytes."""
    head = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "FP64", "shape": [BIG], "parameters": {"binary_data_size": 8 * BIG}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return post(head + b"\x01" * 8 * BIG, b"Inference-Header-Content-Length: %d" % len(head))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_client_that_never_reads_is_cut_off(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """Unsent answers stop the reading of requests, and a client that takes nothing is aborted."""
    limits = Limits(write_s=0.5, unsent_bytes=100_000)
    with open_doors(limits=limits, new_loop=new_loop) as doors, doors.connect(3) as sock:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.sendall(big_request() * 10)
        assert len(doors.service.requests) <= 3


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_slow_reader_gets_all_of_it(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """A client that takes its answer slowly, but takes it, is not cut off, and every byte is right."""
    limits = Limits(write_s=0.5, unsent_bytes=100_000)
    with open_doors(limits=limits, new_loop=new_loop) as doors, doors.connect() as sock:
        sock.sendall(big_request())
        out = b""
        begun = time.monotonic()
        while len(out) < 8 * BIG + 270 and (data := sock.recv(200_000)):
            out += data
            time.sleep(0.06)
        assert time.monotonic() - begun > 0.6
        length = int(re.search(rb"inference-header-content-length: (\d+)", out).group(1))
        assert out.partition(b"\r\n\r\n")[2][length:] == b"\x01" * 8 * BIG


def test_the_bound_on_requests_in_hand_is_told_with_when_to_return(open_doors: Callable[..., Any]) -> None:
    """Beyond the limit of concurrent requests the answer is 503 with Retry-After; health is answered still."""
    with open_doors(FakeService(delay_s=0.5), Limits(concurrent=2)) as doors:
        held = [doors.connect() for _ in range(2)]
        for sock in held:
            sock.sendall(post())
        time.sleep(0.1)
        found = ask(doors, post() + b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert [status for status, _, _ in found] == [503, 200]
        assert found[0][1][b"retry-after"] == b"1"
        for sock in held:
            assert b" 200 " in receive_one(sock)
            sock.close()
