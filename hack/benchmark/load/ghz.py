"""ghz: gRPC in both loops, with messages that are encoded once and beforehand.

It tells when each call ended and how long it took, so a call's beginning is known, and how late that was. It tells the
first million calls one by one.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np

import fairlead_server.protocols
from benchmark.figures import Load
from benchmark.load.calls import Body, Call
from benchmark.load.generator import Printed, run
from benchmark.load.hits import Hits, on_schedule, percentiles
from benchmark.load.tools import tool

_CALLS_ON_A_CONNECTION = 8
_OPEN_CONNECTIONS = 4


class _Detail(msgspec.Struct):
    timestamp: datetime.datetime  # of the end
    latency: int  # ns
    status: str


class _Said(msgspec.Struct):
    count: int
    total: int  # ns
    details: list[_Detail] = []
    status: dict[str, int] = msgspec.field(name="statusCodeDistribution", default_factory=dict)


def closed_grpc(call: Call, in_flight: int, seconds: float) -> Load:
    """`in_flight` calls at once, up to eight of them on a connection."""
    connections = -(-in_flight // _CALLS_ON_A_CONNECTION)
    how = [f"--concurrency={in_flight}", f"--connections={connections}", f"--duration={seconds:g}s"]
    printed = _run(call, [*how, "--duration-stop=wait"], seconds)
    load = parse_closed(printed.out)
    return msgspec.structs.replace(load, busy=printed.cpu_s / load.seconds)


def open_grpc(call: Call, rate: float, seconds: float) -> Hits:
    """`rate` is whole calls a second."""
    each_second = max(1, round(rate))
    expected = round(each_second * seconds)
    how = [f"--rps={each_second}", f"--total={expected}", f"--concurrency={_OPEN_CONNECTIONS}", "--async"]
    printed = _run(call, [*how, f"--connections={_OPEN_CONNECTIONS}"], seconds)
    return parse_open(printed.out, 1 / each_second, expected)._replace(cpu_s=printed.cpu_s)


def parse_closed(printed: bytes) -> Load:
    said = msgspec.json.decode(printed, type=_Said)
    good, seconds = said.status.get("OK", 0), said.total / 1e9
    latencies = np.array([detail.latency for detail in said.details if detail.status == "OK"], np.float64) / 1e6
    p50, p99, p999, most = percentiles(latencies)
    return Load(
        generator="ghz",
        seconds=seconds,
        sent=said.count,
        good=good,
        failed={status: count for status, count in said.status.items() if status != "OK"},
        rate=good / seconds,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        most_ms=most,
    )


def parse_open(printed: bytes, interval_s: float, expected: int) -> Hits:
    details = msgspec.json.decode(printed, type=_Said).details
    ended = np.array([detail.timestamp.timestamp() for detail in details], np.float64)
    took = np.array([detail.latency for detail in details], np.float64) / 1e9
    order = np.argsort(ended - took)
    statuses = ["" if details[at].status == "OK" else details[at].status for at in order.tolist()]
    return on_schedule("ghz", (ended - took)[order], took[order], statuses, interval_s, expected)


def _run(call: Call, how: Sequence[str], seconds: float) -> Printed:
    descriptor = resources.files(fairlead_server.protocols).joinpath("open_inference.binpb")
    with tempfile.TemporaryDirectory() as folder, resources.as_file(descriptor) as protoset:
        messages = Path(folder, "messages")
        messages.write_bytes(b"".join(counted(call.bodies)))
        command = [tool("ghz"), "--insecure", f"--protoset={protoset}", f"--call={call.path}", "--format=json"]
        command += [f"--binary-file={messages}", f"--timeout={call.timeout_s * 1e3:.0f}ms"]
        command += ["--disable-template-functions", "--disable-template-data", *how, call.address]
        return run(command, seconds + call.timeout_s)


def counted(bodies: Sequence[Body]) -> Iterator[bytes]:
    """Each message behind its length, a varint: ghz sends them in turn."""
    for body in bodies:
        length = len(body.data)
        while length > 0x7F:
            yield bytes((length & 0x7F | 0x80,))
            length >>= 7
        yield bytes((length,)) + body.data
