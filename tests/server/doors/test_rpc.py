from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from harness.retry_policy import RETRY_POLICY

from fairlead_server.errors import Kind, ServingError
from fairlead_server.protocols.v2_messages import SERVICE, message
from fairlead_server.settings import Limits
from fairlead_server.testing import FakeService


def infer_request(model: str = FakeService.MODEL, elements: int = 1, **fields: Any) -> bytes:
    fields = {"raw_input_contents": [b"\0" * elements]} | fields
    request = message("ModelInferRequest")(model_name=model, **fields)
    request.inputs.add(name="x", datatype="UINT8", shape=[elements])
    return request.SerializeToString()


def call(channel: grpc.Channel, method: str, data: bytes, **options: Any) -> bytes:
    return channel.unary_unary(f"/{SERVICE}/{method}")(data, **{"timeout": 5} | options)


def fail(channel: grpc.Channel, method: str, data: bytes, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, data, **options)
    return caught.value


@pytest.fixture(name="doors")
def _doors(open_doors: Callable[..., Any]) -> Iterator[Any]:
    with open_doors(limits=Limits(body_bytes=10_000_000, concurrent=2), rpc=True) as doors:
        yield doors


@pytest.fixture(name="channel")
def _channel(doors: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        f"127.0.0.1:{doors.grpc_port}", options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        yield channel


def test_every_method_answers(channel: grpc.Channel) -> None:
    """Health, readiness and metadata come as the service tells them."""
    assert message("ServerLiveResponse").FromString(call(channel, "ServerLive", b"")).live
    assert message("ServerReadyResponse").FromString(call(channel, "ServerReady", b"")).ready
    wanted = message("ModelReadyRequest")(name=FakeService.MODEL, version="champion").SerializeToString()
    assert message("ModelReadyResponse").FromString(call(channel, "ModelReady", wanted)).ready
    assert message("ServerMetadataResponse").FromString(call(channel, "ServerMetadata", b"")).name == "fairlead"
    described = message("ModelMetadataResponse").FromString(call(channel, "ModelMetadata", wanted))
    assert (list(described.versions), list(described.inputs[0].shape)) == (["2"], [-1, 4])


def test_an_inference_names_the_version_that_answered(channel: grpc.Channel) -> None:
    """The answer is raw and carries the model, the version and the request's id."""
    answer = message("ModelInferResponse").FromString(
        call(channel, "ModelInfer", infer_request(id="7", model_version="champion"))
    )
    assert (answer.model_name, answer.model_version, answer.id) == (FakeService.MODEL, "2", "7")
    assert list(answer.raw_output_contents) == [b"\0"]


class Stalling(FakeService):
    """Its first request holds up the loop."""

    async def infer(self, *asked: Any) -> Any:
        if not self.requests:
            time.sleep(1)  # noqa: ASYNC251
        return await super().infer(*asked)


def test_a_burst_that_waits_for_the_loop_is_answered(open_doors: Callable[..., Any]) -> None:
    """grpc's own limit on what the loop has not come to is ours: nothing is cancelled that the gate would take."""
    with open_doors(Stalling(), rpc=True) as doors, grpc.insecure_channel(f"127.0.0.1:{doors.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        calls = [infer.future(infer_request(), timeout=30) for _ in range(4000)]
        assert {call.code() for call in calls} == {grpc.StatusCode.OK}


def test_a_burst_beyond_a_low_limit_is_refused_by_name(open_doors: Callable[..., Any]) -> None:
    """However few requests are held at once, what waits for the loop is not cancelled, and health is told."""
    with (
        open_doors(Stalling(), Limits(concurrent=2), rpc=True) as doors,
        grpc.insecure_channel(f"127.0.0.1:{doors.grpc_port}") as channel,
    ):
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        calls = [infer.future(infer_request(), timeout=30) for _ in range(500)]
        assert call(channel, "ServerLive", b"", timeout=30)
        assert {call.code() for call in calls} == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


WRONG = {
    "no message": ("ModelInfer", b"\xff\xff", "INVALID_ARGUMENT"),
    "too many contents": ("ModelInfer", infer_request(raw_input_contents=[b"", b""]), "INVALID_ARGUMENT"),
    "unknown model": ("ModelInfer", infer_request("nobody"), "NOT_FOUND"),
    "unknown version": ("ModelInfer", infer_request(model_version="9"), "NOT_FOUND"),
    "cut short": ("ModelReady", b"\x0a\x05a", "INVALID_ARGUMENT"),
    "metadata of nobody": ("ModelMetadata", message("ModelMetadataRequest")(name="n").SerializeToString(), "NOT_FOUND"),
    "endless name": ("ModelInfer", infer_request("n" * 1_000_000), "NOT_FOUND"),
    "unknown method": ("RepositoryIndex", b"", "UNIMPLEMENTED"),
    "over the limit": ("ModelInfer", infer_request(elements=10_000_001), "RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_client_sends_wrong_has_its_code(channel: grpc.Channel, case: str) -> None:
    """Every fault of a request has its own status, with a message that fits into a trailer."""
    method, data, code = WRONG[case]
    assert fail(channel, method, data).code() is grpc.StatusCode[code]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_the_limit_is_for_what_a_message_inflates_to(channel: grpc.Channel, compression: grpc.Compression) -> None:
    """A small message that grows beyond the limit is refused; a compressed one within it is answered."""
    assert call(channel, "ModelInfer", infer_request(elements=1_000_000), compression=compression)
    error = fail(channel, "ModelInfer", infer_request(elements=50_000_000), compression=compression)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_comes_through(doors: Any, channel: grpc.Channel, kind: Kind) -> None:
    """No kind is lost on the way to a status, and its message comes with it."""
    doors.service.error = ServingError(kind, f"because of {kind.value} ü")
    error = fail(channel, "ModelInfer", infer_request())
    assert error.code() is not grpc.StatusCode.UNKNOWN
    assert error.details() == f"because of {kind.value} ü"


def test_a_fault_of_ours_is_logged_and_not_shown(
    doors: Any, channel: grpc.Channel, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client learns that it failed; the trace is in the log."""
    doors.service.error = ZeroDivisionError("secret")
    error = fail(channel, "ModelInfer", infer_request())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert "ZeroDivisionError: secret" in capfd.readouterr().err


def test_the_deadline_is_the_earliest_of_call_parameter_and_header(doors: Any, channel: grpc.Channel) -> None:
    """The call's own deadline, the timeout parameter (microseconds) and the header (milliseconds) reach the service."""
    data = message("ModelInferRequest").FromString(infer_request())
    for timeout_us, timeout_ms, expected in ((0, "9000", 4), (1_000_000, "2000", 1), (9_000_000, "2000", 2)):
        data.parameters["timeout"].int64_param = timeout_us
        call(
            channel, "ModelInfer", data.SerializeToString(),
            timeout=4, metadata=(("x-request-timeout-ms", timeout_ms),),
        )  # fmt: skip
        assert doors.service.terms.deadline - doors.loop.time() == pytest.approx(expected, abs=0.5)


def test_a_call_without_a_deadline_has_none(doors: Any, channel: grpc.Channel) -> None:
    """gRPC's infinite future is no time to wake up at."""
    call(channel, "ModelInfer", infer_request(), timeout=None)
    assert doors.service.terms.deadline is None


def test_a_wrong_header_is_told(channel: grpc.Channel) -> None:
    """As over HTTP."""
    error = fail(channel, "ModelInfer", infer_request(), metadata=(("x-request-timeout-ms", "soon"),))
    assert (error.code(), "x-request-timeout-ms" in error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_headers_reach_the_service(doors: Any, channel: grpc.Channel) -> None:
    """What routes look at is there, with lower-case names."""
    call(channel, "ModelInfer", infer_request(), metadata=(("x-user", "anna"), ("x-bin", b"\0")))
    assert doors.service.headers["x-user"] == "anna"


def test_a_cancelled_call_cancels_the_work(doors: Any, channel: grpc.Channel) -> None:
    """A caller that gives up ends the work on its request."""
    doors.service.delay_s = 5
    error = fail(channel, "ModelInfer", infer_request(), timeout=0.2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    time.sleep(0.1)
    assert (doors.service.cancelled, doors.gate.inside) == (1, 0)


def test_calls_that_come_and_go_are_counted_out_once(doors: Any, channel: grpc.Channel) -> None:
    """Whenever a client leaves, before its request is taken, while it is run, or as the answer comes."""
    doors.service.delay_s = 0.003
    doors.gate.limit = 1000
    infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    calls = [infer.future(infer_request(), timeout=0.001 * (number % 10)) for number in range(200)]
    calls += [infer.future(infer_request(), timeout=10) for _ in range(10)]
    for number, left in enumerate(calls[:200]):
        if number % 3 == 0:
            left.cancel()
    assert all(last.result() for last in calls[200:])
    deadline = time.monotonic() + 5
    while doors.gate.inside and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert doors.gate.inside == 0


def test_beyond_the_limit_of_requests_a_call_is_unavailable(doors: Any, channel: grpc.Channel) -> None:
    """One limit holds for both protocols, and the answer says when to come again."""
    doors.service.delay_s = 0.5
    held = [channel.unary_unary(f"/{SERVICE}/ModelInfer").future(infer_request(), timeout=5) for _ in range(2)]
    time.sleep(0.2)
    error = fail(channel, "ModelInfer", infer_request())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert ("grpc-retry-pushback-ms", "1000") in tuple(error.trailing_metadata())
    assert all(call.result() for call in held)


def test_a_call_in_flight_is_answered_during_the_drain(doors: Any, channel: grpc.Channel) -> None:
    """Draining finishes what has begun."""
    doors.service.delay_s = 0.4
    held = channel.unary_unary(f"/{SERVICE}/ModelInfer").future(infer_request(), timeout=5)
    time.sleep(0.2)
    drained = doors.start(lambda: doors.rpc.drain(5))
    assert held.result()
    assert drained.result(2) is None


SERVER = """
import asyncio, sys
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.rpc import RpcServer
from fairlead_server.settings import Limits
from fairlead_server.testing import FakeService

async def main():
    server = RpcServer(FakeService(delay_s=0.001), Gate(1000), Limits(), 5)
    print(await server.start("127.0.0.1:" + sys.argv[1]), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.drain(5)

asyncio.run(main())
"""


def start_server(port: int) -> tuple[subprocess.Popen[str], int]:
    """A server in a process of its own, as workers are, and its port."""
    command = [sys.executable, "-c", SERVER, str(port)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return server, int(server.stdout.readline())


def end_server(server: subprocess.Popen[str]) -> None:
    server.communicate("\n", timeout=10)
    assert server.returncode == 0


def test_servers_take_turns_on_one_port(record_property: Callable[..., None]) -> None:
    """Kept channels lose nothing when one of two processes on a port drains; new ones nothing with the retry policy."""
    server, port = start_server(0)
    loads = [Load(port, kept=kept, retry=retry) for kept in (True, False) for retry in (True, False)]
    for load in loads:
        load.start()
    for _ in range(4):
        successor, _port = start_server(port)
        time.sleep(0.1)
        end_server(server)
        server = successor
    for load in loads:
        load.over.set()
    for load in loads:
        load.join(10)
    end_server(server)
    kept_retry, kept_bare, new_retry, new_bare = loads
    assert (kept_retry.lost, kept_bare.lost, new_retry.lost) == ([], [], [])
    assert min(load.done for load in loads) > 20
    record_property("bare new channels lost in 4 drains", f"{len(new_bare.lost)} of {new_bare.done}")


class Load(threading.Thread):
    """Calls one after the other, on one channel or on a new one each."""

    def __init__(self, port: int, *, kept: bool, retry: bool) -> None:
        super().__init__(daemon=True)
        self.port, self.kept = port, kept
        self.options = [("grpc.use_local_subchannel_pool", 1)]
        self.options += [("grpc.service_config", json.dumps(RETRY_POLICY))] if retry else []
        self.done, self.lost, self.over = 0, [], threading.Event()

    def run(self) -> None:
        channel = None
        while not self.over.is_set():
            channel = channel or grpc.insecure_channel(f"127.0.0.1:{self.port}", options=self.options)
            try:
                call(channel, "ModelInfer", infer_request())
                self.done += 1
            except grpc.RpcError as error:
                self.lost.append(error.details())
            if not self.kept:
                channel.close()
                channel = None
        if channel:
            channel.close()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header that is indexed nowhere: RFC 7541, section 6.2.2."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def test_a_client_that_takes_no_answers_is_given_few(open_doors: Callable[..., Any]) -> None:
    """Its further requests wait for room and are then refused; others are answered meanwhile."""
    head = b"".join(
        literal(*pair)
        for pair in (
            (":method", "POST"), (":scheme", "http"), (":path", f"/{SERVICE}/ModelInfer"), (":authority", "x"),
            ("te", "trailers"), ("content-type", "application/grpc"),
        )
    )  # fmt: skip
    request = infer_request(elements=15_000)
    body = b"\0" + len(request).to_bytes(4, "big") + request
    no_window = frame(4, 0, 0, (4).to_bytes(2, "big") + (0).to_bytes(4, "big"))
    with open_doors(limits=Limits(unsent_bytes=10_000, write_s=0.5), rpc=True) as doors:
        with socket.create_connection(("127.0.0.1", doors.grpc_port), timeout=5) as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window)
            refused = b""
            for stream in (1, 3, 5):
                client.sendall(frame(1, 4, stream, head) + frame(0, 1, stream, body))
                while bytes([1, 4, 0, 0, 0, 1]) not in refused:  # the head of the first answer
                    refused += client.recv(65536)
            while refused.count(b"wait for this client") < 2:
                refused += client.recv(65536)
            assert len(doors.service.requests) == 1
            with grpc.insecure_channel(f"127.0.0.1:{doors.grpc_port}") as channel:
                call(channel, "ModelInfer", infer_request())
        with grpc.insecure_channel(f"127.0.0.1:{doors.grpc_port}") as channel:
            for _ in range(5):
                call(channel, "ModelInfer", request)
