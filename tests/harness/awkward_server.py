"""An HTTP server on the loopback address that hands files out as MLflow does, and misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/2.0/mlflow-artifacts/artifacts"
HANG_S = 30.0


class AwkwardServer:
    """`files` maps paths to contents. `faults` maps a path (a file's, or a listed folder's) to what goes wrong there:

    a number (answers this status), "half" (of the body), "hang", "short" (a body without its end and without a length),
    "longer" (than listed), "slow" (a piece every tenth of a second), "elsewhere" (a redirect to another host's name).
    A fault in `once` happens only to the first request of that path.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.faults: dict[str, Any] = {}
        self.once: dict[str, Any] = {}
        self.extra: dict[str, list[dict[str, Any]]] = {}  # folder -> entries that its listing holds besides
        self.asked: list[tuple[str, dict[str, str]]] = []  # paths and headers, as they came
        self.ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        return self._server.server_port

    def source(self, path: str) -> str:
        return f"mlflow-artifacts+http://127.0.0.1:{self.port}/{path}"

    @contextlib.contextmanager
    def running(self) -> Iterator[AwkwardServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.ending.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)

    def listing(self, folder: str) -> bytes:
        entries: dict[str, dict[str, Any]] = {}
        for path, content in self.files.items():
            if path.startswith(f"{folder}/"):
                name, deeper, _ = path[len(folder) + 1 :].partition("/")
                entries[name] = {"path": name, "is_dir": True} if deeper else _file(name, content)
        return json.dumps({"files": [*entries.values(), *self.extra.get(folder, [])]}).encode()

    def _handler(awkward) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler inside has the other self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                listed = parts.path == API
                path = parse_qs(parts.query)["path"][0] if listed else unquote(parts.path).removeprefix(API).lstrip("/")
                awkward.asked.append((path, dict(self.headers)))
                fault = awkward.once.pop(path, awkward.faults.get(path))
                body = awkward.listing(path) if listed else awkward.files.get(path)
                with contextlib.suppress(ConnectionError):
                    self.answer(404 if body is None else 200, b"{}" if body is None else body, fault)

            def answer(self, status: int, body: bytes, fault: Any) -> None:
                if fault == "hang":
                    awkward.ending.wait(HANG_S)
                self.send_response(fault if isinstance(fault, int) else 302 if fault == "elsewhere" else status)
                if fault == "elsewhere":
                    self.send_header("Location", f"http://localhost:{awkward.port}{self.path}")
                if fault == "short":
                    self.send_header("Connection", "close")
                else:
                    extra = 3 if fault == "longer" else 0
                    self.send_header("Content-Length", str(len(body) + extra))
                self.end_headers()
                self.write(body, fault)

            def write(self, body: bytes, fault: Any) -> None:
                if fault == "slow":
                    while body and not awkward.ending.is_set():
                        self.wfile.write(body[:1000])
                        body = body[1000:]
                        time.sleep(0.1)
                elif fault in ("half", "short"):
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(body + (b"..." if fault == "longer" else b""))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {"path": name, "is_dir": False, "file_size": len(content)}
