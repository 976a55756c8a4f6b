"""The control APIs of a pool: what does not answer is a sentence, never an exception."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading
from pathlib import Path

import loopback
import pytest

from fairlead_operator import fleet as door
from fairlead_operator.documents import CATALOG_VERSION, Catalog, ReplicaStatus, encode
from fairlead_operator.fleet import HttpFleet, address
from fairlead_operator.testing import FakeReplica

FIRST = encode(Catalog(CATALOG_VERSION, 1, {}, "default"))


def test_a_replica_takes_and_gives_back_the_bytes() -> None:
    """PUT, status and GET; an older catalog is a conflict with its reason."""
    replica = FakeReplica({}, "r")

    async def talk(base: str) -> None:
        fleet = HttpFleet([base, base])
        assert await fleet.catalog(base) is None
        assert (await fleet.put(base, FIRST)).stored
        seen = await fleet.observe()
        assert list(seen) == [base]
        assert isinstance(seen[base], ReplicaStatus)
        assert seen[base].generation == 1
        assert await fleet.catalog(base) == FIRST
        refused = await fleet.put(base, FIRST.replace(b"default", b"another"))
        assert refused.conflict
        assert "other bytes" in refused.why
        await fleet.close()

    with loopback.serve(loopback.control(replica)) as base:
        asyncio.run(talk(base))


def test_the_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    """A replaced token file counts from the next request on; a missing one is told."""
    token = tmp_path / "token"
    heard: list[tuple[str, str | None]] = []

    class Control(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            heard.append((self.path, self.headers["authorization"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    async def talk(base: str) -> str:
        fleet = HttpFleet([base], token, takeover=True)
        for word in ("one", "two"):
            token.write_text(f"{word}\n")
            assert (await fleet.put(base, FIRST)).stored
        token.unlink()
        why = (await fleet.put(base, FIRST)).why
        await fleet.close()
        return why

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        why = asyncio.run(talk(f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    assert heard == [("/control/catalog?takeover=true", f"Bearer {word}") for word in ("one", "two")]
    assert "token file cannot be read" in why


@pytest.mark.parametrize(
    ("status", "body", "said"), [(503, b"not now", "answered 503: not now"), (200, b"{", "not a status")]
)
def test_an_answer_that_is_none(status: int, body: bytes, said: str) -> None:
    """An error and a broken document are reasons."""

    async def talk(base: str) -> object:
        fleet = HttpFleet([base])
        seen = await fleet.observe()
        await fleet.close()
        return seen[base]

    with loopback.serve(lambda *_: (status, body)) as base:
        assert said in str(asyncio.run(talk(base)))


def test_nobody_there_and_nobody_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection and one that hangs are told apart, within the limit."""
    import socket

    monkeypatch.setattr(door, "LIMIT_S", 0.3)
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        gone = socket.create_server(("127.0.0.1", 0))
        bases = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in (silent, gone)]
        gone.close()

        async def talk() -> dict[str, object]:
            fleet = HttpFleet(bases)
            seen = await fleet.observe()
            await fleet.close()
            return dict(seen)

        seen = asyncio.run(talk())
    assert seen == {bases[0]: "no answer within 0.3 s", bases[1]: "nothing listens there"}


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("127.0.0.1:8003", "http://127.0.0.1:8003"),
        ("https://pool:1/", "https://pool:1"),
        ("[::1]:8003", "http://[::1]:8003"),
    ],
)
def test_addresses(text: str, base: str) -> None:
    """With and without the scheme."""
    assert address(text) == base


@pytest.mark.parametrize("text", ["pool", "http://pool", "ftp://pool:1", "pool:1/path", "pool:port", ""])
def test_what_is_no_address(text: str) -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match="write HOST:PORT"):
        address(text)
