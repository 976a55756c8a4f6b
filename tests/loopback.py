"""Tiny loopback servers for tests of whole processes: MLflow's registry API over a FakeRegistry, and a control API
over a FakeReplica. Each answers only what the operator asks."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from fairlead_operator.testing import FakeRegistry, FakeReplica

Answer = tuple[int, bytes]
Handle = Callable[[str, str, dict[str, str], bytes], Answer]


@contextlib.contextmanager
def serve(handle: Handle) -> Iterator[str]:
    """`handle(method, path, query, body)` behind a free port of the loopback address; its base URL."""
    turn = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            with turn:
                status, data = handle(self.command, url.path, query, body)
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def control(replica: FakeReplica, tick_s: float = 0.1) -> Handle:
    """The control API of a replica whose versions move on by themselves while somebody looks."""
    last = [time.monotonic()]

    def handle(method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        while last[0] + tick_s < time.monotonic():
            last[0] += tick_s
            replica.tick()
        if (method, path) == ("PUT", "/control/catalog"):
            answer = replica.put(body)
            return (200, b"{}") if answer.stored else (409, answer.why.encode())
        if (method, path) == ("GET", "/control/catalog"):
            return (200, replica.stored) if replica.stored else (404, b"none")
        if (method, path) == ("GET", "/control/status"):
            return 200, msgspec.json.encode(replica.status())
        return 404, b"no such path"

    return handle


def registry(fake: FakeRegistry) -> Handle:
    """The part of MLflow's REST API that reads models and writes the tags of versions."""

    def model(name: str) -> dict[str, Any]:
        found = fake.models[name]
        return {
            "name": name,
            "creation_timestamp": found.created,
            "tags": [{"key": key, "value": value} for key, value in found.tags.items()],
            "aliases": [{"alias": alias, "version": version} for alias, version in found.aliases.items()],
        }

    def version(name: str, number: str) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in fake.models[name].versions[number].tags.items()]
        return {"name": name, "version": number, "tags": tags}

    def answer(path: str, asked: dict[str, str]) -> dict[str, Any]:
        if path == "registered-models/search":
            return {"registered_models": [model(n) for n, m in fake.models.items() if fake.keys.asks(m.tags)]}
        if path == "registered-models/get":
            return {"registered_model": model(asked["name"])}
        if path == "model-versions/get":
            return {"model_version": version(asked["name"], asked["version"])}
        if path == "model-versions/get-download-uri":
            return {"artifact_uri": fake.models[asked["name"]].versions[asked["version"]].source}
        assert path == "model-versions/set-tag"
        fake.models[asked["name"]].versions[asked["version"]].tags[asked["key"]] = asked["value"]
        return {}

    def handle(method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        try:
            asked = query or json.loads(body or b"{}")
            return 200, json.dumps(answer(path.removeprefix("/api/2.0/mlflow/"), asked)).encode()
        except KeyError:
            return 404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such thing"}).encode()

    return handle
