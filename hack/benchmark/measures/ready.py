"""How long a start takes: from the process to the first answered request, with one model.

From nothing, the version is proven in a trial on the way; started again over the same state, it is known.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.figures import Figure
from benchmark.goals import FAIRLEAD, FAIRLEAD_RAY
from benchmark.load.calls import Call, call_of
from benchmark.measure import Bench
from benchmark.processes import SubjectFailed, ports, running
from benchmark.subject import Endpoint, Model
from benchmark.subjects.fairlead import DOORS, Engine, Fairlead, Replica, catalog

MODEL = "tiny"
START_S = 120.0
LOOK_S = 0.005
ROWS: tuple[tuple[str, str, Engine], ...] = (
    ("ready-edge", FAIRLEAD, "process"),
    ("ready-ray", FAIRLEAD_RAY, "ray"),
)


class Ready:
    needs = (MODEL,)

    def __init__(self, names: Sequence[str]) -> None:
        self._rows = [row for row in ROWS if row[0] in names]
        self.names = tuple(name for name, _, _ in self._rows)

    def round(self, bench: Bench) -> Iterator[Figure]:
        for number, (name, subject, engine) in enumerate(self._rows):
            bench.say(f"{name}: starts")
            folder = bench.scratch / f"{name}-{number}-{time.monotonic_ns()}"
            folder.mkdir(parents=True)
            note = f"one model ({MODEL}), to the first answered request"
            try:
                for part in ("", "again"):
                    seconds = started(Fairlead(bench.scratch, subject, engine=engine), bench.models[MODEL], folder)
                    yield Figure(name, subject, seconds, "s", "less", part, note if not part else "its model is proven")
            except Exception as fault:  # the other row goes on
                bench.fail(f"{name}: {fault}")


def started(subject: Fairlead, model: Model, folder: Path) -> float:
    """Seconds. The state in `folder` stays for the next start."""
    file = folder / "catalog.json"
    file.write_text(json.dumps(catalog([model], 1, {})))
    with ports(len(DOORS)) as taken:
        replica = Replica(*(f"127.0.0.1:{port}" for port in taken))
        begin = time.perf_counter()
        with running(subject.name, subject.command(replica, file, folder / "state"), folder / "log") as process:
            call = call_of("json", Endpoint(replica.http, replica.grpc, ()), model)
            while not _answered(call):
                if time.perf_counter() - begin > START_S:
                    raise SubjectFailed(f"nothing was answered within {START_S:g} s:\n{process.tail()}")
                time.sleep(LOOK_S)
            return time.perf_counter() - begin


def _answered(call: Call) -> bool:
    (body,) = call.bodies
    with contextlib.closing(http.client.HTTPConnection(call.address, timeout=START_S)) as connection:
        try:
            connection.request("POST", call.path, body.data, dict(body.headers))
            return connection.getresponse().status == 200
        except OSError:
            return False
