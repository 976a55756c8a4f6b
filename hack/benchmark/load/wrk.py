"""wrk: HTTP in a closed loop, each connection asking again as soon as it is answered.

Its figures come out of a Lua script, exact where its own table rounds. wrk repairs its latencies for what a closed loop
leaves out (an answer that took more than twice the mean also counts as those that would have been due meanwhile).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from benchmark.figures import Load
from benchmark.load.calls import Body, Call
from benchmark.load.generator import GeneratorFailed, cores, run
from benchmark.load.tools import tool

_MARK = "figures: "
_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'MARK{"duration_us":%d,"requests":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
    '"p50_us":%d,"p99_us":%d,"p999_us":%d,"most_us":%d}\\n',
    summary.duration, summary.requests, e.status, e.connect, e.read, e.write, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
""".replace("MARK", _MARK)


class _Said(msgspec.Struct):
    duration_us: int
    requests: int
    status: int
    connect: int
    read: int
    write: int
    timeout: int
    p50_us: int
    p99_us: int
    p999_us: int
    most_us: int


def closed_http(call: Call, connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = write_script(Path(folder), call)
        threads = max(1, min(connections, cores() // 2))
        command = [tool("wrk"), f"--threads={threads}", f"--connections={connections}", f"--duration={_whole(seconds)}"]
        command += [f"--timeout={call.timeout_s:g}s", f"--script={script}", f"http://{call.address}{call.path}"]
        printed = run(command, seconds + call.timeout_s)
    load = parse(printed.out.decode())
    return msgspec.structs.replace(load, busy=printed.cpu_s / load.seconds)


def parse(printed: str) -> Load:
    line = next((line for line in printed.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise GeneratorFailed(f"wrk printed no figures: {printed.strip()[-200:]}")
    said = msgspec.json.decode(line.removeprefix(_MARK), type=_Said)
    good, seconds = said.requests - said.status, said.duration_us / 1e6
    failed = {kind: getattr(said, kind) for kind in ("status", "connect", "read", "write", "timeout")}
    return Load(
        generator="wrk",
        seconds=seconds,
        sent=said.requests + said.connect + said.read + said.write + said.timeout,
        good=good,
        failed={kind: count for kind, count in failed.items() if count},
        rate=good / seconds,
        p50_ms=said.p50_us / 1e3,
        p99_ms=said.p99_us / 1e3,
        p999_ms=said.p999_us / 1e3,
        most_ms=said.most_us / 1e3,
    )


def _whole(seconds: float) -> str:
    """wrk takes whole seconds only."""
    return f"{max(1, round(seconds))}s"


def write_script(folder: Path, call: Call) -> Path:
    for number, body in enumerate(call.bodies):
        Path(folder, f"body{number}").write_bytes(body.data)
    script = Path(folder, "load.lua")
    script.write_text(_one(folder, call.bodies[0]) if len(call.bodies) == 1 else _several(folder, call.bodies))
    return script


_READ = """
local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read("*a")
  file:close()
  return data
end
wrk.method = "POST"
"""


def _one(folder: Path, body: Body) -> str:
    """Without a function `request` wrk makes the bytes once."""
    return f"{_READ}wrk.headers = {_table(body)}\nwrk.body = read({_text(str(folder / 'body0'))})\n{_DONE}"


def _several(folder: Path, bodies: tuple[Body, ...]) -> str:
    made = []
    for number, body in enumerate(bodies):
        data = f"read({_text(str(folder / f'body{number}'))})"
        made.append(f"  requests[{number + 1}] = wrk.format(nil, nil, {_table(body)}, {data})\n")
    turn = f"function request()\n  at = at % {len(bodies)} + 1\n  return requests[at]\nend\n"
    return f"{_READ}local requests, at = {{}}, 0\nfunction init(args)\n{''.join(made)}end\n{turn}{_DONE}"


def _table(body: Body) -> str:
    return "{" + ", ".join(f"[{_text(name)}] = {_text(value)}" for name, value in body.headers.items()) + "}"


def _text(value: str) -> str:
    """A Lua string: its escapes are those of JSON for the characters that occur here."""
    return msgspec.json.encode(value).decode()
