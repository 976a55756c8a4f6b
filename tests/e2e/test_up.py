"""`fairlead up` and `fairlead demo`, as a person at a terminal has them: the command, Ctrl-C, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.parts import Part, fairlead, free_block, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480), pytest.mark.xdist_group("one machine")]

README = (Path(__file__).parents[2] / "README.md").read_text()


class Site:
    """A running `up` on one data folder."""

    def __init__(self, part: Part, data: Path) -> None:
        self.part = part
        self.data = data

    def record(self) -> dict[str, Any] | None:
        assert self.part.alive(), self.part.text()
        if "Ctrl-C ends all of it" not in self.part.text():
            return None
        return dict(json.loads((self.data / "up.json").read_text()))

    def ready(self) -> dict[str, Any]:
        return until("up to be ready", self.record, 120)

    def end(self, number: int) -> int:
        """Its exit status after this signal."""
        self.part.process.send_signal(number)
        return self.part.process.wait(90)


@contextlib.contextmanager
def up(data: Path, base: int, *extra: str) -> Iterator[Site]:
    command = fairlead(
        *("up", "--data", str(data), "--pool-port", str(base), "--mlflow-port", str(base + 9)),
        *("--engine", "process", *extra),
    )
    log = data.with_name(f"{data.name}-{time.time_ns()}.out")
    with Part("up", command, log, env=mark(data)) as part:
        yield Site(part, data)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(fairlead(*arguments), capture_output=True, text=True, timeout=60)


def mark(data: Path) -> dict[str, str]:
    """What every process that a command on this folder starts inherits, whatever becomes of its parents."""
    return {"FAIRLEAD_TEST_MARK": str(data)}


def living(data: Path) -> dict[int, str]:
    """The processes that carry this folder's mark, with their command lines; Ray's daemons too."""
    found = {}
    sought = f"FAIRLEAD_TEST_MARK={data}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sought in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
    return found


def boot(at: dict[str, Any]) -> str:
    return str(httpx.get(f"{at['control']}/control/status", timeout=5).json()["boot"])


def test_two_live_beside_each_other_and_leave_nothing(tmp_path: Path) -> None:
    """A second `up` takes other ports and touches nothing of the first; on one folder there is only one; Ctrl-C ends
    the parts in order; a killed `up` leaves no process and no lock; a part that dies is named and ends the rest."""
    base = free_block(40)
    first_data, second_data = tmp_path / "first", tmp_path / "second"
    with up(first_data, base) as first, up(second_data, base) as second:
        at, other = first.ready(), second.ready()
        assert not set(at.values()) & set(other.values())
        running = boot(at)

        refused = run("up", "--data", str(first_data))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "runs on" in refused.stderr
        assert refused.stderr.count("\n") == 1

        assert second.end(signal.SIGINT) == 0
        ends = re.findall(r"^ended (.*) \(", second.part.text(), re.MULTILINE)
        assert ends == ["the operator", "the pool", "MLflow"]
        assert living(second_data) == {}
        assert run("models", "--data", str(second_data)).returncode == 1

        assert boot(at) == running
        first.end(signal.SIGKILL)
        until("all parts of a killed up to end", lambda: not living(first_data), 30)

    with up(first_data, base) as again:
        again.ready()
        assert "no models yet" in run("models", "--data", str(first_data)).stdout
        pool = [pid for pid, line in living(first_data).items() if " -m fairlead_server serve" in line]
        os.kill(max(pool), signal.SIGKILL)  # the lesser one is its keeper
        assert again.part.process.wait(60) == 1
        assert "the pool ended by itself (status 137); the end of" in again.part.text()
        assert living(first_data) == {}


def test_the_demo_loses_nothing_and_its_data_can_be_taken_up_again(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """On Ray: two versions answer and the better one is better, the damaged one is refused, nothing is lost or wrong.
    Then `up` on the same folder serves what was served, the README's client commands work, and a rollback goes back."""
    base, data, summary = free_block(20), tmp_path / "data", tmp_path / "summary.json"
    ports = ("--pool-port", str(base), "--mlflow-port", str(base + 9))
    began = time.monotonic()
    demo = fairlead("demo", *ports, "--data", str(data), "--summary", str(summary))
    told = subprocess.run(demo, capture_output=True, text=True, timeout=360, env=os.environ | mark(data))
    assert told.returncode == 0, told.stdout + told.stderr
    record_property("demo_s", round(time.monotonic() - began, 1))
    assert "What to try next" in told.stdout
    assert living(data) == {}

    figures = json.loads(summary.read_text())
    record_property("demo", figures)
    assert (figures["lost"], figures["wrong"]) == (0, 0)
    assert figures["requests"] == sum(version["requests"] for version in figures["by_version"].values())
    (worse, better) = figures["by_version"].values()
    assert better["accuracy"] > worse["accuracy"]
    assert [(refusal["version"], bool(refusal["reason"])) for refusal in figures["refused"]] == [("3", True)]

    with up(data, base) as site:
        at = site.ready()
        until("version 2 to serve", lambda: answering(at) == "2", 60)
        readme_commands(at)
        assert re.search(r"digits +Refused", run("rollouts", "--data", str(data)).stdout)
        assert "champion 3 -> 2" in run("rollback", "digits", "--data", str(data)).stdout
        assert "champion 2 -> 1" in run("promote", "digits", "1", "--data", str(data)).stdout
        until("version 1 to serve", lambda: answering(at) == "1", 60)
        assert site.end(signal.SIGTERM) == 0
    assert living(data) == {}


def answering(at: dict[str, Any]) -> str:
    body = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}]}
    answer = httpx.post(f"{at['http']}/v2/models/digits/infer", json=body, timeout=5)
    return str(answer.json().get("model_version"))


def readme_commands(at: dict[str, Any]) -> None:
    """Runs the README's client commands, with the ports that are free here."""

    def here(text: str) -> str:
        return text.replace("http://127.0.0.1:8000", at["http"]).replace("127.0.0.1:8001", at["grpc"])

    section = README.partition("## What a client does")[2].partition("\n## ")[0]
    fenced = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    curls = [line for _, text in fenced for line in text.splitlines() if line.startswith("curl ")]
    assert len(curls) == 2
    for line in curls:
        answer = httpx.get(here(line.removeprefix("curl ")), timeout=5)
        assert answer.status_code == 200
    (client,) = (text for _, text in fenced if "tritonclient" in text)
    ended = subprocess.run([sys.executable, "-c", here(client)], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"2 \[\d\]\n", ended.stdout), ended.stderr
