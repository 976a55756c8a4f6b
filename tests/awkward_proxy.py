"""A loopback proxy in front of a real server, which can answer 5xx, hang, or hand out half of an answer."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

Answer = tuple[int, bytes]


class AwkwardProxy:
    """`mode`: "" passes everything on; "503"; "403" as MLflow's basic-auth says it; "half" cuts each body and lies
    about its length; "short" cuts the JSON and is honest about its length; "html"; "empty": an object with nothing in
    it; "hang" answers after `hang_s`. `only` limits it to some paths."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.mode = ""
        self.only: Callable[[str], bool] = lambda path: True
        self.hang_s = 30.0
        self.calls: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._handle(self)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._ended = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.calls.append(request.path)
        mode = self.mode if self.only(request.path) else ""
        if mode == "hang":
            self._ended.wait(self.hang_s)
            request.close_connection = True
            return
        length = int(request.headers.get("content-length", 0))
        body = request.rfile.read(length) if length else None
        refused = {"503": (503, b"upstream is away"), "403": (403, b"Permission denied")}
        status, data = refused[mode] if mode in refused else self._pass_on(request, body)
        if mode == "html":
            status, data = 200, b"<html>please log in</html>"
        if mode == "empty":
            status, data = 200, b"{}"
        promised = len(data)
        if mode in ("half", "short"):
            data = data[: len(data) // 2]
            promised = len(data) if mode == "short" else promised
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(promised))
        request.end_headers()
        request.wfile.write(data)
        request.close_connection = True

    def _pass_on(self, request: http.server.BaseHTTPRequestHandler, body: bytes | None) -> Answer:
        headers = {"content-type": request.headers.get("content-type", "application/json")}
        onward = urllib.request.Request(self.upstream + request.path, body, headers, method=request.command)
        try:
            with urllib.request.urlopen(onward, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
