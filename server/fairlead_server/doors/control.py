"""The control API of a replica: the catalog in, the status out, and the orders of whoever runs the pool.

    PUT  /control/catalog[?takeover=true]   stored (fsynced) when it is answered
    GET  /control/catalog                   the stored bytes, exactly
    GET  /control/status
    POST /control/drain                     answered when the workers have ended
    POST /control/workers/ID/replace        answered when the successor accepts and the worker has ended

Knows no processes: a `Replica` does what is asked. Runs in the supervisor, so neither numpy nor grpc here.
"""

from __future__ import annotations

import hmac
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from fairlead_server import log
from fairlead_server.doors.answers import Answer, error_answer, json_answer
from fairlead_server.doors.asgi import Send, headers_of, send_answer
from fairlead_server.doors.body import ClientGone, Receive, read_body
from fairlead_server.doors.codes import INTERNAL_MESSAGE
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.status import Status

CATALOG_BYTES = 48 * 2**20  # a document; thousands of models are some MiB
_REPLACE = re.compile(r"/control/workers/([^/]+)/replace")


class Replica(Protocol):
    """Every method raises ServingError and nothing else."""

    async def put_catalog(self, data: bytes, takeover: bool) -> int:
        """The generation that is stored now."""
        ...

    def catalog(self) -> bytes: ...

    def status(self) -> Status: ...

    async def drain(self) -> None: ...

    async def replace(self, worker: str) -> list[str]:
        """The workers that accept afterwards."""
        ...


class ControlApp:
    """`token_file` "" asks for no token: only for a socket on the loopback address."""

    def __init__(self, replica: Replica, token_file: str = "") -> None:
        self._replica = replica
        self._token_file = token_file

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ServingError as error:
            more = [(b"www-authenticate", b"Bearer")] if error.kind is Kind.UNAUTHENTICATED else []
            answer = error_answer(error, headers=more)
        except ClientGone:
            return
        except Exception:
            log.error("control_request_failed", path=scope["path"], trace=traceback.format_exc())
            answer = error_answer(ServingError(Kind.INTERNAL, INTERNAL_MESSAGE))
        await send_answer(answer, send)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        headers = headers_of(scope)
        self._check_token(headers)
        path, method = scope["path"], scope["method"]
        replaced = _REPLACE.fullmatch(path)
        if path == "/control/catalog" and method == "PUT":
            return await self._put(scope, headers, receive)
        if path == "/control/catalog" and method == "GET":
            return Answer(200, [(b"content-type", b"application/octet-stream")], [self._replica.catalog()])
        if path == "/control/status" and method == "GET":
            return json_answer(200, self._replica.status())
        if path == "/control/drain" and method == "POST":
            await self._replica.drain()
            return json_answer(200, {"drained": True})
        if replaced and method == "POST":
            return json_answer(200, {"replaced": replaced[1], "accepting": await self._replica.replace(replaced[1])})
        raise _unknown(path, bool(replaced))

    async def _put(self, scope: Mapping[str, Any], headers: Mapping[str, str], receive: Receive) -> Answer:
        data = await read_body(receive, headers, CATALOG_BYTES)
        takeover = parse_qs(scope["query_string"].decode("latin-1")).get("takeover", [""])[-1] == "true"
        generation = await self._replica.put_catalog(data, takeover)
        return json_answer(200, {"generation": generation, "stored": True})

    def _check_token(self, headers: Mapping[str, str]) -> None:
        if not self._token_file:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode()
        if scheme.lower() != "bearer" or not any(hmac.compare_digest(given, one) for one in self._tokens()):
            raise ServingError(Kind.UNAUTHENTICATED, "the control API wants 'Authorization: Bearer TOKEN'")

    def _tokens(self) -> list[bytes]:
        """Read anew each time: a mounted secret may change. Each line is one, so that the next can be handed out
        before the old one is withdrawn. An empty file lets nobody in."""
        try:
            tokens = Path(self._token_file).read_bytes().split()
        except OSError as fault:
            raise ServingError(Kind.UNAUTHENTICATED, f"the token's file cannot be read: {fault.strerror}") from None
        if not tokens:
            raise ServingError(Kind.UNAUTHENTICATED, "the token's file is empty")
        return tokens


def _unknown(path: str, known: bool) -> ServingError:
    if known or path in ("/control/catalog", "/control/status", "/control/drain"):
        return ServingError(Kind.NOT_ALLOWED, f"{path} does not take this method")
    return ServingError(Kind.NOT_FOUND, f"there is no {path}; see docs/control.md")
