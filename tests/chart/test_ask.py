"""`helm test`: what its script asks, and when it fails."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chart.rendering import CHART, container, pods, render

TENSORS = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}, {"name": "t", "datatype": "BYTES", "shape": [-1]}]


class Pool(http.server.ThreadingHTTPServer):
    """A pool as far as the script sees one. `answers`: by path, its status."""

    daemon_threads = True

    def __init__(self, answers: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Door(http.server.BaseHTTPRequestHandler):
    server: Pool

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.path, json.loads(body) if body else None))
        said = json.dumps({"inputs": TENSORS}).encode()
        self.send_response(self.server.answers.get(self.path, 200))
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool({}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def catalog(folder: Path, *models: str) -> Path:
    path = folder / "catalog.json.gz"
    routes = {name: {"route": {"weights": {"1": 1}}} for name in models}
    path.write_bytes(
        gzip.compress(json.dumps({"models": {**routes, "loaded": {"route": {"weights": {"1": 0}}}}}).encode())
    )
    return path


def ask(*arguments: str) -> tuple[int, str]:
    command = (sys.executable, str(CHART / "files" / "ask.py"), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_routed_model_is_asked_once_with_made_up_values(pool: Pool, tmp_path: Path) -> None:
    status, said = ask(pool.url, str(catalog(tmp_path, "a b", "churn")), "5")
    assert (status, said.splitlines()) == (0, ["a b: 200", "churn: 200"])
    sent = dict(pool.asked)["/v2/models/a%20b/infer"]["inputs"]
    assert [(one["shape"], one["data"]) for one in sent] == [([1, 2], [0, 0]), ([1], [""])]
    assert not [path for path, _ in pool.asked if "loaded" in path]


def test_a_pool_without_models_is_asked_whether_it_is_ready(pool: Pool, tmp_path: Path) -> None:
    status, said = ask(pool.url, str(catalog(tmp_path)), "5")
    assert status == 0
    assert "no model has a route" in said
    assert [path for path, _ in pool.asked] == ["/v2/health/ready"]


def test_a_pool_without_a_catalog_fails_the_test_and_the_operator_is_named(pool: Pool, tmp_path: Path) -> None:
    pool.answers["/v2/health/ready"] = 503
    status, said = ask(pool.url, str(tmp_path / "none"), "0.1")
    assert status == 1
    assert "no catalog is stored for it" in said


@pytest.mark.parametrize(("answer", "status"), [(500, 1), (503, 1), (400, 0)])
def test_a_model_that_cannot_answer_fails_the_test_and_one_that_refuses_zeros_does_not(
    pool: Pool, tmp_path: Path, answer: int, status: int
) -> None:
    pool.answers["/v2/models/churn/infer"] = answer
    assert ask(pool.url, str(catalog(tmp_path, "churn")), "5")[0] == status


def test_a_pool_that_does_not_become_ready_fails_the_test(pool: Pool, tmp_path: Path) -> None:
    pool.answers["/v2/health/ready"] = 503
    status, said = ask(pool.url, str(catalog(tmp_path, "churn")), "0.1")
    assert status == 1
    assert "is not ready after 0.1 s: 503" in said


def test_the_pod_runs_the_script_on_its_pool() -> None:
    pod = pods(render())["Pod fairlead-default-test"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    python, flag, script, *arguments = container(pod)["command"]
    assert (python, flag) == ("python", "-c")
    compile(script, "ask.py", "exec")
    assert script.strip() == (CHART / "files" / "ask.py").read_text().strip()
    assert arguments == ["http://fairlead-default:8000", "/etc/fairlead/catalog/catalog.json.gz", "120"]
