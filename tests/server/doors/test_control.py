"""The control API as an ASGI application, over a fake replica."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead_server.doors.control import CATALOG_BYTES, ControlApp
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.status import Status


class FakeReplica:
    """Remembers what was asked; `error` is raised instead of an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def _ask(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def put_catalog(self, data: bytes, takeover: bool) -> int:
        self._ask("put", data, takeover)
        return 7

    def catalog(self) -> bytes:
        self._ask("get")
        return b"the bytes"

    def status(self) -> Status:
        return Status("fairlead.dev/status/v1", "r", "b", 7, 7, True, False, {})

    async def drain(self) -> None:
        self._ask("drain")

    async def replace(self, worker: str) -> list[str]:
        self._ask("replace", worker)
        return ["w2"]


def ask(replica: FakeReplica, method: str, path: str, token_file: str = "", **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=ControlApp(replica, token_file))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def test_a_catalog_goes_in_and_comes_back_as_it_was() -> None:
    """The answer names the stored generation; the bytes are not touched, compressed on the way or not."""
    replica = FakeReplica()
    answer = ask(replica, "PUT", "/control/catalog", content=b"{}")
    assert (answer.status_code, answer.json()) == (200, {"generation": 7, "stored": True})
    packed = {"content": gzip.compress(b"{}"), "headers": {"content-encoding": "gzip"}}
    ask(replica, "PUT", "/control/catalog?takeover=true", **packed)
    assert replica.asked == [("put", b"{}", False), ("put", b"{}", True)]
    assert ask(replica, "GET", "/control/catalog").content == b"the bytes"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServingError(Kind.CONFLICT, "older"), 409),
        (ServingError(Kind.INVALID, "$.models: no"), 400),
        (RuntimeError("a secret"), 500),
    ],
)
def test_a_refusal_says_why(error: Exception, status: int) -> None:
    """By the table of kinds; a fault of ours is told without its text."""
    replica = FakeReplica()
    replica.error = error
    answer = ask(replica, "PUT", "/control/catalog", content=b"{}")
    assert answer.status_code == status
    assert answer.json()["error"]
    assert "secret" not in answer.text


def test_a_document_over_the_limit_is_refused_by_its_length() -> None:
    """Before it is read."""
    answer = ask(FakeReplica(), "PUT", "/control/catalog", headers={"content-length": str(CATALOG_BYTES + 1)})
    assert answer.status_code == 413


def test_orders_are_passed_on() -> None:
    """Drain, and replace by the worker's id."""
    replica = FakeReplica()
    assert ask(replica, "POST", "/control/drain").json() == {"drained": True}
    assert ask(replica, "POST", "/control/workers/w1/replace").json() == {"replaced": "w1", "accepting": ["w2"]}
    assert replica.asked == [("drain",), ("replace", "w1")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/control/status", 200),
        ("POST", "/control/status", 405),
        ("DELETE", "/control/catalog", 405),
        ("GET", "/control/drain", 405),
        ("GET", "/control/workers/w1/replace", 405),
        ("GET", "/", 404),
    ],
)
def test_paths_and_methods(method: str, path: str, status: int) -> None:
    """What is not there is 404, what takes another method 405."""
    assert ask(FakeReplica(), method, path).status_code == status


@pytest.mark.parametrize(
    ("content", "sent", "status"),
    [
        ("secret\n", "Bearer secret", 200),
        ("secret\n", "bearer secret", 200),
        ("secret\n", "Bearer wrong", 401),
        ("secret\nnext\n", "Bearer secret", 200),
        ("secret\nnext\n", "Bearer next", 200),
        ("secret\nnext\n", "Bearer secret next", 401),
        ("secret\n", "", 401),
        ("", "Bearer ", 401),
        (None, "Bearer secret", 401),
    ],
)
def test_the_token(tmp_path: Path, content: str | None, sent: str, status: int) -> None:
    """It is read from its file each time, each line is one; an empty or missing file lets nobody in."""
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    replica = FakeReplica()
    answer = ask(replica, "POST", "/control/drain", str(token), headers={"authorization": sent} if sent else {})
    assert answer.status_code == status
    assert bool(replica.asked) is (status == 200)
