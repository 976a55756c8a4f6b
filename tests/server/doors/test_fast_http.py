"""Both ways through the HTTP door, on raw sockets: what is answered inside the connection, and what the application
answers because something about it is odd. The same requests get the same answers, in order, whichever way they go."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import struct
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from fairlead_server.errors import Kind, ServingError
from fairlead_server.settings import Limits
from fairlead_server.testing import FakeService

LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]
PATH = b"/v2/models/digits%201.0/infer"
DOCUMENT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [0.1, "NaN"]}], "id": "7"}
GET = b"GET /v2/health/live HTTP/1.1\r\n\r\n"


def post(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", *headers, b"Content-Length: %d" % len(body), b"", body])


def plain(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    return post(body, *headers, path=path)


def packed(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    return post(gzip.compress(body, mtime=0), *headers, b"Content-Encoding: gzip", path=path)


def expecting(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    return post(body, *headers, b"Expect: 100-continue", path=path)


def chunked(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    head = b"\r\n".join([b"POST " + path + b" HTTP/1.1", *headers, b"Transfer-Encoding: chunked", b"", b""])
    return head + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def upgrading(body: bytes, *headers: bytes, path: bytes = PATH) -> bytes:
    return post(body, *headers, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", path=path)


WAYS: list[Callable[..., bytes]] = [plain, packed, expecting, chunked, upgrading]
Answered = tuple[int, dict[bytes, bytes], bytes]


class Reader:
    """Whole answers off one socket, those in between (100) passed over."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""

    def answer(self) -> Answered:
        head = self._until(lambda: self.data.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in self.data else None)
        self.data = self.data[len(head) + 4 :]
        first, *lines = head.split(b"\r\n")
        if b" 100 " in first:
            return self.answer()
        headers = dict(line.split(b": ", 1) for line in lines)
        length = int(headers[b"content-length"])
        body = self._until(lambda: self.data[:length] if len(self.data) >= length else None)
        self.data = self.data[length:]
        return int(first.split()[1]), headers, body

    def ended(self) -> bool:
        return not self.data and not self.sock.recv(1)

    def _until(self, look: Callable[[], bytes | None]) -> bytes:
        while (found := look()) is None:
            more = self.sock.recv(65536)
            assert more, "the connection ended inside an answer"
            self.data += more
        return found


def ask(doors: Any, *requests: bytes) -> list[Answered]:
    """Each after the answer to the one before, on one connection."""
    with doors.connect() as sock:
        reader = Reader(sock)
        out = []
        for request in requests:
            sock.sendall(request)
            out.append(reader.answer())
        return out


@pytest.fixture(name="doors", params=LOOPS, ids=["uvloop", "asyncio"], scope="module")
def _doors(request: pytest.FixtureRequest, open_doors_once: Callable[..., Any]) -> Any:
    with open_doors_once(limits=Limits(body_bytes=100_000, header_bytes=4000), new_loop=request.param) as doors:
        yield doors


@pytest.fixture(autouse=True)
def _as_new(request: pytest.FixtureRequest) -> None:
    if "doors" in request.fixturenames:
        doors = request.getfixturevalue("doors")
        service = doors.service
        service.delay_s, service.error = 0.0, None
        service.requests.clear()


def soon(fact: Callable[[], bool]) -> bool:
    """What becomes true in the doors' thread just after a client has its answer."""
    end = time.monotonic() + 3
    while not fact() and time.monotonic() < end:
        time.sleep(0.01)
    return fact()


def text(**more: Any) -> bytes:
    return json.dumps(DOCUMENT | more).encode()


BINARY_HEAD = json.dumps(
    {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}],
        "parameters": {"binary_data_output": True},
    }
).encode()
BODIES: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "JSON": (text(), ()),
    "binary": (BINARY_HEAD + struct.pack("<2f", 0.1, 2), (b"Inference-Header-Content-Length: %d" % len(BINARY_HEAD),)),
    "binary answer": (text(parameters={"binary_data_output": True}), ()),
    "not JSON": (b"{", ()),
    "no body": (b"", ()),
    "a length that lies": (text(), (b"Inference-Header-Content-Length: 9999",)),
    "a time that is none": (text(), (b"X-Request-Timeout-Ms: soon",)),
    "unknown version": (text(), ()),
    "all outputs but one": (text(outputs=[{"name": "x"}]), ()),
}


@pytest.mark.parametrize("case", BODIES)
def test_every_way_gives_the_same_bytes(doors: Any, case: str) -> None:
    """Status, headers and body are equal whether the connection answered or the application; also when the same head
    comes again, and is not parsed again."""
    body, headers = BODIES[case]
    path = PATH.replace(b"/infer", b"/versions/9/infer") if case == "unknown version" else PATH
    requests = [way(body, *headers, path=path) for way in WAYS]
    found = ask(doors, *requests, *requests)
    assert found == found[:1] * len(found)
    assert found[0][0] == {"unknown version": 404}.get(case, 200 if case in ("JSON", "binary") else found[0][0])


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_reads_the_same_on_every_way(doors: Any, kind: Kind) -> None:
    """What the service refuses has its status and its time to retry, and the connection stays."""
    doors.service.error = ServingError(kind, "because", retry_after=0.2)
    found = ask(doors, *[way(text()) for way in WAYS])
    assert found == found[:1] * len(found)
    assert json.loads(found[0][2]) == {"error": "because"}
    assert found[0][1][b"retry-after"] == b"1"


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_of_ours_is_not_shown_on_any_way(doors: Any, way: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """500 without the reason, which is in the log; the connection and the server live."""
    doors.service.error = ZeroDivisionError("secret")
    [(status, _, body), (again, _, _)] = ask(doors, way(text()), way(text()))
    assert (status, again, b"secret" in body) == (500, 500, False)
    assert "ZeroDivisionError: secret" in capfd.readouterr().err


def numbered(way: Callable[..., bytes], number: int) -> bytes:
    return way(text(id=str(number)))


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_mixed_requests_sent_ahead_are_answered_in_order(doors: Any, pieces: int) -> None:
    """All ways and other paths on one connection, in one write or cut anywhere; a fault keeps its place, too."""
    doors.service.delay_s = 0.001
    requests: list[bytes] = []
    expected: list[bytes] = []
    for number in range(12):
        requests.append(numbered(WAYS[number % len(WAYS)], number))
        expected.append(b"%d" % number)
        if number % 3 == 0:
            requests += [GET, plain(b"{"), GET.replace(b"live", b"dead"), plain(b"", path=b"/v2")]
            expected += [b"live", b"400", b"404", b"405"]
    data = b"".join(requests)
    with doors.connect() as sock:
        step = -(-len(data) // pieces)
        for at in range(0, len(data), step):
            sock.sendall(data[at : at + step])
        reader = Reader(sock)
        found = [told(reader.answer()) for _ in expected]
    assert found == expected


def told(answer: Answered) -> bytes:
    """What an answer is known by: its request's id, its status, or its word."""
    status, _, body = answer
    if status != 200:
        return b"%d" % status
    document = json.loads(body)
    return document["id"].encode() if "id" in document else b"live"


def test_requests_sent_ahead_are_begun_together(doors: Any) -> None:
    """They can share a run: ten that take a while each take one while in all."""
    doors.service.delay_s = 0.3
    begun = time.monotonic()
    with doors.connect() as sock:
        sock.sendall(b"".join(numbered(plain, number) for number in range(10)))
        reader = Reader(sock)
        assert [told(reader.answer()) for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert time.monotonic() - begun < 1.5


def test_few_requests_of_one_connection_are_under_way_at_once(doors: Any) -> None:
    """However many it sends ahead; and none is left behind."""
    doors.service.delay_s = 0.1
    with doors.connect() as sock:
        sock.sendall(b"".join(numbered(plain, number) for number in range(40)))
        time.sleep(0.05)
        assert len(doors.service.requests) == 16
        reader = Reader(sock)
        assert [told(reader.answer()) for _ in range(40)] == [b"%d" % number for number in range(40)]


def test_a_head_is_known_again_only_as_a_whole(doors: Any) -> None:
    """What looks like a head inside another request's header, at the beginning of a read, is not remembered as that
    request's: nobody can send other people's requests to another model."""
    inner = plain(text(), path=b"/v2/models/nobody/infer")
    with doors.connect() as sock:
        sock.sendall(b"POST " + PATH + b" HTTP/1.1\r\nX-Trick: ")
        time.sleep(0.1)
        sock.sendall(inner)
        assert Reader(sock).answer()[0] == 200
    assert [status for status, _, _ in ask(doors, inner, inner)] == [404, 404]


def test_nothing_is_known_again_behind_a_last_message(doors: Any) -> None:
    """Also a head that was seen before is not read behind `Connection: close`."""
    ask(doors, plain(text()))
    with doors.connect() as sock:
        sock.sendall(plain(text(), b"Connection: close") + plain(text()))
        reader = Reader(sock)
        status, headers, _ = reader.answer()
        assert (status, headers[b"connection"], reader.ended()) == (200, b"close", True)


@pytest.mark.parametrize("way", [plain, packed, expecting])
@pytest.mark.parametrize("header", [b"Connection: close", b"Connection: keep-alive"])
def test_a_client_of_http_1_0_gets_its_answer_and_the_end(doors: Any, way: Any, header: bytes) -> None:
    """Also one that asks to stay, as uvicorn has it; a 1.1 client chooses."""
    request = way(text(), header)
    with doors.connect() as sock:
        sock.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        reader = Reader(sock)
        status, headers, _ = reader.answer()
        assert (status, headers.get(b"connection"), reader.ended()) == (200, b"close", True)
    [(status, headers, _)] = ask(doors, request)
    assert (status, headers.get(b"connection")) == (200, b"close" if header.endswith(b"close") else None)


@pytest.mark.parametrize("way", WAYS)
def test_a_body_over_the_limit_is_refused_on_every_way(doors: Any, way: Any) -> None:
    """413, whether its length was told before or not, and when only what it inflates to is; what came before is
    answered."""
    data = text(pad=" " * 150_000)
    with doors.connect() as sock:
        sock.sendall(plain(text()) + way(data))
        reader = Reader(sock)
        assert [reader.answer()[0] for _ in range(2)] == [200, 413]


@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_reaches_the_service_on_every_way(doors: Any, way: Any) -> None:
    """By our header or a proxy's, whichever is nearer."""
    before = time.monotonic()
    ask(doors, way(text(), b"X-Request-Timeout-Ms: 5000", b"X-Envoy-Expected-Rq-Timeout-Ms: 9000"))
    assert before + 4.9 < doors.service.terms.deadline < time.monotonic() + 5.1


def test_a_query_and_any_method_but_post_are_as_before(doors: Any) -> None:
    """The query says nothing; other methods are told what the path takes, HEAD without a body."""
    assert ask(doors, plain(text(), path=PATH + b"?a=b"))[0][0] == 200
    for method in (b"GET", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"):
        [(status, headers, _)] = ask(doors, method + plain(text())[4:])
        assert (status, headers[b"allow"]) == (405, b"POST")
    with doors.connect() as sock:
        sock.sendall(b"HEAD " + PATH + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
        data = b""
        while more := sock.recv(1000):
            data += more
    assert re.match(rb"HTTP/1.1 405 [^\r]*\r\n(.+\r\n)*\r\n$", data)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_client_that_reads_nothing_is_given_few(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """Answers pile up to a bound; then nothing more is begun or read until the client takes some, and then all of it
    comes, in order."""
    size, number = 400_000, 60
    head = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    request = post(head + b"\7" * size, b"Inference-Header-Content-Length: %d" % len(head))
    with open_doors(limits=Limits(unsent_bytes=1_000_000), new_loop=new_loop) as doors, doors.connect(10) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sender = doors.loop.run_in_executor  # the sending blocks, so it has a thread of its own
        sent = asyncio.run_coroutine_threadsafe(_off(sender, lambda: sock.sendall(request * number)), doors.loop)
        time.sleep(1)
        begun = len(doors.service.requests)
        assert begun < number / 2
        reader = Reader(sock)
        for _ in range(number):
            status, headers, body = reader.answer()
            assert (status, body[int(headers[b"inference-header-content-length"]) :]) == (200, b"\7" * size)
        sent.result(10)
        assert soon(lambda: doors.gate.inside == 0)


async def _off(run_in_executor: Any, call: Callable[[], None]) -> None:
    await run_in_executor(None, call)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_connection_is_drained_with_requests_of_both_kinds(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """uvicorn would close what has no cycle: all that was read is answered, and the last answer says so."""
    with open_doors(FakeService(delay_s=0.4), new_loop=new_loop) as doors, doors.connect() as sock:
        sock.sendall(plain(text()) + packed(text()) + GET + plain(text()))
        time.sleep(0.1)
        drained = doors.drain()
        reader = Reader(sock)
        found = [reader.answer() for _ in range(4)]
        assert [status for status, _, _ in found] == [200] * 4
        assert [headers.get(b"connection") for _, headers, _ in found] == [None, None, None, b"close"]
        assert reader.ended()
        assert drained.result(5) == 0
        assert soon(lambda: (doors.gate.inside, doors.http.connections) == (0, 0))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_who_leaves_in_the_middle_of_a_body_leaves_nothing(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """Neither in the gate nor among the connections, alone or behind others of its connection."""
    service = FakeService(delay_s=5)
    with open_doors(service, new_loop=new_loop) as doors:
        for before in (b"", plain(text()), packed(text())):
            with doors.connect() as sock:
                sock.sendall(before + plain(text())[:-5])
                time.sleep(0.2)
                assert doors.gate.inside == (2 if before.startswith(b"POST") else 1)
            assert soon(lambda: (doors.gate.inside, doors.http.connections) == (0, 0))
        assert service.cancelled == 2


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_a_kept_connection_keeps_nothing_of_its_last_request(
    open_doors: Callable[..., Any], new_loop: Any, way: Callable[..., bytes]
) -> None:
    """Many idle clients that once sent much would fill the memory."""
    with open_doors(new_loop=new_loop) as doors, doors.connect() as sock:
        sock.sendall(way(text()))
        assert Reader(sock).answer()[0] == 200
        array = weakref.ref(doors.service.requests[0].inputs[0].array)
        doors.service.requests.clear()
        assert soon(lambda: array() is None)


LONG = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [100_000], "data": [0.5] * 100_000}]}).encode()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_long_texts_are_answered_like_short_ones(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """They are read and written beside the loop: in order, with the same errors, counted the same, on every way."""
    broken = LONG[:-1]
    with open_doors(new_loop=new_loop) as doors, doors.connect(20) as sock:
        ways = [plain, packed, chunked]
        sock.sendall(b"".join(way(body) + numbered(plain, 7) for way in ways for body in (LONG, broken)))
        reader = Reader(sock)
        for _ in ways:
            (status, _, body), after = reader.answer(), reader.answer()
            assert (status, json.loads(body)["outputs"][0]["data"], told(after)) == (200, [0.5] * 100_000, b"7")
            (status, _, body), after = reader.answer(), reader.answer()
            assert (status, b"not JSON" in body, told(after)) == (400, True, b"7")
        assert soon(lambda: doors.gate.inside == 0)
        assert doors.gate.refused == {"invalid": 3}


@pytest.mark.parametrize("new_loop", LOOPS)
def test_who_leaves_while_a_long_text_is_read_leaves_nothing(open_doors: Callable[..., Any], new_loop: Any) -> None:
    """Nothing is begun for it, or what was begun is cancelled."""
    service = FakeService(delay_s=5)
    with open_doors(service, new_loop=new_loop) as doors:
        for pause in (0.0, 0.01, 0.5):
            with doors.connect() as sock:
                sock.sendall(plain(LONG))
                time.sleep(pause)
            assert soon(lambda: (doors.gate.inside, doors.http.connections) == (0, 0))
        assert soon(lambda: service.cancelled == len(service.requests))
