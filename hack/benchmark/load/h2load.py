"""h2load: gRPC in a closed loop, at a fifteenth of what a call costs ghz.

It knows HTTP/2 and not gRPC, whose errors come as 200 with a trailer: so an answer counts as good by its bytes. All
calls are the same, so all good answers have one length, which is asked for before.
"""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

import grpc
import numpy as np

from benchmark.figures import Load
from benchmark.load.calls import Call
from benchmark.load.generator import GeneratorFailed, run
from benchmark.load.hits import percentiles
from benchmark.load.tools import tool

_CALLS_ON_A_CONNECTION = 8
_PREFIX = struct.Struct(">?I")  # of each message: whether it is compressed, and its length
_REQUESTS = re.compile(r"^requests: .* (\d+) done, .* (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE)
_STATUS = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)
_DATA = re.compile(r"^traffic: .* \((\d+)\) data$", re.MULTILINE)


def closed_grpc(call: Call, in_flight: int, seconds: float) -> Load:
    """`in_flight` calls at once, up to eight of them on a connection. `call` has one body."""
    (body,) = call.bodies
    length = _PREFIX.size + _answer_bytes(call)
    with tempfile.TemporaryDirectory() as folder:
        message, times = Path(folder, "message"), Path(folder, "times")
        message.write_bytes(_PREFIX.pack(False, len(body.data)) + body.data)
        connections = -(-in_flight // _CALLS_ON_A_CONNECTION)
        command = [tool("h2load"), f"--clients={connections}", f"--max-concurrent-streams={in_flight // connections}"]
        command += [f"--duration={seconds * 1e3:.0f}ms", "--threads=1", f"--data={message}", f"--log-file={times}"]
        command += ["--header=content-type: application/grpc", "--header=te: trailers"]
        printed = run([*command, f"http://{call.address}/{call.path}"], seconds + call.timeout_s)
        return parse(printed.out.decode(), times.read_text(), length, seconds, printed.cpu_s)


def parse(printed: str, times: str, answer_bytes: int, seconds: float, cpu_s: float) -> Load:
    """`times` has a line for each call: when it began, its HTTP status, and how long it took, in microseconds."""
    found = [pattern.search(printed) for pattern in (_REQUESTS, _STATUS, _DATA)]
    if not all(found):
        raise GeneratorFailed(f"h2load printed no figures: {printed.strip()[-200:]}")
    requests, status, data = (match.groups() for match in found if match)
    done, failed = int(requests[0]), sum(map(int, requests[1:]))
    good = min(int(status[0]), int(data[0]) // answer_bytes)
    took = np.array([int(line.split("\t")[2]) for line in times.splitlines()], np.float64) / 1e3
    p50, p99, p999, most = percentiles(took)
    kinds = {"no answer": done - good - failed, "failed": failed}
    return Load(
        generator="h2load",
        seconds=seconds,
        sent=done,
        good=good,
        failed={kind: count for kind, count in kinds.items() if count > 0},
        rate=good / seconds,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        most_ms=most,
        busy=cpu_s / seconds,
    )


def _answer_bytes(call: Call) -> int:
    """Raises GeneratorFailed where there is no answer."""
    with grpc.insecure_channel(call.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            answer: bytes = channel.unary_unary(f"/{call.path}")(call.bodies[0].data, timeout=call.timeout_s)
        except grpc.RpcError as error:
            raise GeneratorFailed(f"nothing was answered: {' '.join(str(error).split())[:300]}") from None
    return len(answer)
