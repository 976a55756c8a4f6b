"""`drain`, as a preStop hook runs it: it waits for the replica's answer, and says what went wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fairlead_server.app.leave import main


class Control(HTTPServer):
    """Answers every POST with `status`, after `held` is set, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.held = threading.Event()
        self.held.set()
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Control

    def do_POST(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        self.server.held.wait(10)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b'{"error": "why"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def control() -> Iterator[Control]:
    server = Control()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.held.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_replica_is_asked_with_the_first_token(control: Control, tmp_path: Path) -> None:
    """Of a file in which the next token stands already, the first counts."""
    (tmp_path / "token").write_text("one\ntwo\n")
    assert main(["--control-port", str(control.server_port), "--token-file", str(tmp_path / "token")]) == 0
    assert control.asked == [("/control/drain", "Bearer one")]


def test_a_refusal_is_told(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, and what the replica said."""
    control.status = 401
    assert main(["--control-port", str(control.server_port)]) == 1
    assert 'answered 401: {"error": "why"}' in capsys.readouterr().err


def test_no_replica_is_nothing_to_drain(capsys: pytest.CaptureFixture[str]) -> None:
    """A pod whose replica has ended, or has not begun, may go at once."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        assert main(["--control-port", str(bound.getsockname()[1])]) == 0
    assert "nothing to drain" in capsys.readouterr().err


def test_the_wait_has_a_limit(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """A replica that never answers holds up its pod no longer than it was given."""
    control.held.clear()
    assert main(["--control-port", str(control.server_port), "--limit", "0.2"]) == 1
    assert "timed out" in capsys.readouterr().err
