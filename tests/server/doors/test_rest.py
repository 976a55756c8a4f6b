from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest

from fairlead_server.doors.codes import HTTP
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.infer import InferDoor
from fairlead_server.doors.rest import RestApp
from fairlead_server.errors import Kind, ServingError
from fairlead_server.testing import FakeService

INFER = "/v2/models/digits%201.0/infer"
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}]}).encode()
PACKED = gzip.compress(BODY, mtime=0)
LIMIT = 1_000_000


class Asked:
    """One request given straight to the application, and its answer."""

    def __init__(
        self, method: str, path: str, body: bytes = b"", service: FakeService | None = None, **headers: str
    ) -> None:
        self.service = service or FakeService()
        self.gate = Gate(10)
        self.chunks = [body[at : at + 60_000] for at in range(0, len(body), 60_000)] or [b""]
        self.read = 0
        self.body = b""
        scope = {
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        asyncio.run(RestApp(self.service, InferDoor(self.service, self.gate, LIMIT))(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        self.read += 1
        return {
            "type": "http.request",
            "body": self.chunks[self.read - 1],
            "more_body": self.read < len(self.chunks),
        }

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2", 200),
        ("HEAD", "/v2", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/models/digits%201.0", 200),
        ("GET", "/v2/models/digits%201.0/versions/champion", 200),
        ("GET", "/v2/models/digits%201.0/ready", 200),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/models/digits%201.0/versions/9/ready", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/%ff", 400),
        ("POST", "/v2", 405),
        ("GET", INFER, 405),
        ("PUT", INFER, 405),
    ],
)
def test_every_path_and_method_has_its_status(method: str, path: str, status: int) -> None:
    """Errors are JSON with one sentence; a wrong method is told the right ones."""
    asked = Asked(method, path)
    assert (asked.status, asked.headers[b"content-type"]) == (status, b"application/json")
    assert ("error" in asked.document) == (status >= 400)
    assert (b"allow" in asked.headers) == (status == 405)


def test_what_is_not_ready_says_so() -> None:
    """Readiness is false with 503, for the server and for a model."""
    service = FakeService()
    service.is_ready = False
    assert (Asked("GET", "/v2/health/ready", service=service).status) == 503
    asked = Asked("GET", "/v2/models/digits%201.0/ready", service=service)
    assert (asked.status, asked.document) == (503, {"name": "digits 1.0", "ready": False})


def test_an_inference_names_the_version_that_answered() -> None:
    """A version may be asked for by its alias; the answer tells the number."""
    asked = Asked("POST", "/v2/models/digits%201.0/versions/champion/infer", BODY)
    assert (asked.status, asked.document["model_version"]) == (200, "2")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_comes_through(kind: Kind) -> None:
    """No kind is lost on the way to a status, and its message and its time to retry come with it."""
    service = FakeService(error=ServingError(kind, "because", retry_after=0.2))
    asked = Asked("POST", INFER, BODY, service)
    assert (asked.status, asked.document) == (HTTP[kind], {"error": "because"})
    assert asked.headers[b"retry-after"] == b"1"


def test_a_fault_of_ours_is_logged_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """The client learns that it failed; the trace is in the log."""
    asked = Asked("POST", INFER, BODY, FakeService(error=ZeroDivisionError("secret")))
    assert asked.status == 500
    assert b"secret" not in asked.body
    assert "ZeroDivisionError: secret" in capfd.readouterr().err


def test_the_timeout_parameter_becomes_a_deadline() -> None:
    """Microseconds from now, as Triton has it; 0 is none, and anything else is refused."""
    for timeout, status in ((2_000_000, 200), (0, 200), (-1, 400), ("1", 400), (1.5, 400), (10**400, 400)):
        asked = Asked("POST", INFER, json.dumps(json.loads(BODY) | {"parameters": {"timeout": timeout}}).encode())
        assert asked.status == status
        assert (asked.service.terms.deadline is not None) == (timeout == 2_000_000)


def test_headers_reach_the_service() -> None:
    """What routes look at is there."""
    assert Asked("POST", INFER, BODY, x_user="anna").service.headers["x-user"] == "anna"


def test_requests_that_reach_no_version_are_counted() -> None:
    """What the codecs refuse is counted here, by kind; what the service refuses is the service's to count."""
    assert Asked("POST", INFER, b"{").gate.refused == {"invalid": 1}
    assert Asked("POST", "/v2/models/nobody/infer", BODY).gate.refused == {}


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_understood(encoding: str, compress: Any) -> None:
    """Both encodings that the clients know, by any spelling of the name."""
    assert Asked("POST", INFER, compress(BODY), content_encoding=encoding).status == 200
    assert Asked("POST", INFER, compress(BODY), content_encoding=encoding.upper()).status == 200


COMPRESSED = {
    "not compressed": ("gzip", BODY, 400),
    "cut short": ("gzip", PACKED[:-4], 400),
    "more behind it": ("gzip", PACKED + b"more", 400),
    "empty": ("gzip", b"", 400),
    "wrong checksum": ("deflate", zlib.compress(BODY)[:-1] + b"\0", 400),
    "unknown": ("br", BODY, 415),
    "twice": ("gzip, gzip", BODY, 415),
    "not at all": ("identity", BODY, 200),
}


@pytest.mark.parametrize("case", COMPRESSED)
def test_a_compressed_body_must_be_whole(case: str) -> None:
    """Damage, a cut and leftovers are refused; an unknown encoding is told apart."""
    encoding, body, status = COMPRESSED[case]
    assert Asked("POST", INFER, body, content_encoding=encoding).status == status


def test_a_small_body_that_inflates_without_end_is_stopped_at_the_limit() -> None:
    """Nothing beyond the limit is ever inflated."""
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=1)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        assert Asked("POST", INFER, bomb, content_encoding="gzip").status == 413
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()


def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    """A length over the limit is refused unread; without a length, reading stops at the limit."""
    assert Asked("POST", INFER, b"x", content_length=str(LIMIT + 1)).read == 0
    asked = Asked("POST", INFER, b" " * (3 * LIMIT))
    assert asked.status == 413
    assert asked.read * 60_000 < LIMIT + 120_000


def test_a_large_answer_is_sent_in_parts() -> None:
    """Big binary outputs are not copied together, and the bytes are right."""
    size = 300_000
    head = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    asked = Asked("POST", INFER, head + b"\x07" * size, inference_header_content_length=str(len(head)))
    length = int(asked.headers[b"inference-header-content-length"])
    assert int(asked.headers[b"content-length"]) == len(asked.body)
    assert asked.body[length:] == b"\x07" * size
