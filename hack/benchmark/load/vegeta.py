"""vegeta: HTTP at a fixed rate.

It counts a latency from sending. Enough workers keep the sending on schedule, and what is late all the same is read
from the time of each hit (`hits.on_schedule`). Hits are sent at equal intervals.
"""

from __future__ import annotations

import base64
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from benchmark.load.calls import Call
from benchmark.load.generator import run
from benchmark.load.hits import Hits, on_schedule
from benchmark.load.tools import tool

_WORKERS = 64
_MOST_WORKERS = 8192  # also the most connections: who is slower than that falls behind, and is told as late
_TIME, _CODE, _LATENCY, _ERROR, _SEQUENCE = 0, 1, 2, 5, 8  # columns of `vegeta encode --to csv`
_OK = range(200, 300)


def open_http(call: Call, rate: float, seconds: float) -> Hits:
    interval_ns = round(1e9 / rate)
    expected = round(seconds * 1e9 / interval_ns)
    with tempfile.TemporaryDirectory() as folder:
        targets, found = Path(folder, "targets"), Path(folder, "hits")
        targets.write_text("".join(_targets(call)))
        command = [tool("vegeta"), "attack", "-format=json", f"-targets={targets}", f"-output={found}"]
        command += [f"-rate=1/{interval_ns}ns", f"-duration={expected * interval_ns}ns", "-max-body=0", "-redirects=-1"]
        command += [f"-workers={_WORKERS}", f"-max-workers={_MOST_WORKERS}", f"-timeout={call.timeout_s:g}s"]
        cpu_s = run(command, seconds + call.timeout_s).cpu_s
        printed = run([tool("vegeta"), "encode", "--to=csv", str(found)], seconds)
    return parse(printed.out.decode(), interval_ns / 1e9, expected)._replace(cpu_s=cpu_s)


def parse(printed: str, interval_s: float, expected: int) -> Hits:
    rows = sorted(csv.reader(printed.splitlines()), key=lambda row: int(row[_SEQUENCE]))
    sent = np.array([int(row[_TIME]) for row in rows], dtype=np.int64)
    took = np.array([int(row[_LATENCY]) for row in rows], dtype=np.float64) / 1e9
    since = (sent - (sent[0] if len(sent) else 0)) / 1e9
    return on_schedule("vegeta", since, took, [_status(row) for row in rows], interval_s, expected)


def _targets(call: Call) -> Iterator[str]:
    """vegeta sends them in turn."""
    for body in call.bodies:
        target = {
            "method": "POST",
            "url": f"http://{call.address}{call.path}",
            "body": base64.b64encode(body.data).decode(),
            "header": {name: [value] for name, value in body.headers.items()},
        }
        yield msgspec.json.encode(target).decode() + "\n"


def _status(row: list[str]) -> str:
    if int(row[_CODE]) in _OK and not row[_ERROR]:
        return ""
    return row[_CODE] if row[_CODE] != "0" else row[_ERROR].rsplit(": ", 1)[-1]
