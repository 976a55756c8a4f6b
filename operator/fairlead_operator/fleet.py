"""The replicas of one pool, by their control API. Every call has a time limit and none raises.

What an address does not answer is a value here, not an exception: a sentence that the plan can show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from fairlead_operator.documents import DocumentFault, read_status
from fairlead_operator.state import Answer, Seen

LIMIT_S = 5.0


def address(text: str) -> str:
    """`HOST:PORT` or `http(s)://HOST:PORT` as a base URL. Raises ValueError with what to write."""
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    try:
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port and parts.path in ("", "/")
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{text!r} is no control address: write HOST:PORT or http://HOST:PORT")
    return url.rstrip("/")


class HttpFleet:
    """Control APIs at base URLs; the bearer token (the file's first line) is read for each request, so that it can
    be replaced: replicas take each line of theirs.

    `takeover`: replicas that obey another installation are told to obey this one. `transport` may stand for the
    network."""

    def __init__(
        self,
        addresses: Iterable[str],
        token_file: Path | None = None,
        takeover: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self._token_file = token_file
        self._catalog = "/control/catalog?takeover=true" if takeover else "/control/catalog"
        limits = httpx.Timeout(LIMIT_S, connect=2.0)
        self._http = httpx.AsyncClient(timeout=limits, trust_env=False, transport=transport)

    async def observe(self) -> dict[str, Seen]:
        """Every address with its status, or why there is none."""
        asked = self.addresses  # they may change meanwhile
        seen = await asyncio.gather(*(self._status(base) for base in asked))
        return dict(zip(asked, seen, strict=True))

    async def put(self, base: str, data: bytes) -> Answer:
        answer = await self._call("PUT", base, self._catalog, data)
        if isinstance(answer, str):
            return Answer(why=answer)
        if answer.status_code == 200:
            return Answer(stored=True)
        return Answer(conflict=answer.status_code == 409, why=_said(answer))

    async def catalog(self, base: str) -> bytes | None:
        """The catalog that a replica has stored; None when it could not be had."""
        answer = await self._call("GET", base, "/control/catalog")
        return None if isinstance(answer, str) or answer.status_code != 200 else answer.content

    async def close(self) -> None:
        await self._http.aclose()

    async def _status(self, base: str) -> Seen:
        answer = await self._call("GET", base, "/control/status")
        if isinstance(answer, str):
            return answer
        if answer.status_code != 200:
            return _said(answer)
        try:
            return read_status(answer.content)
        except DocumentFault as fault:
            return str(fault)

    async def _call(self, method: str, base: str, path: str, data: bytes | None = None) -> httpx.Response | str:
        try:
            headers = {"content-type": "application/json"} if data is not None else {}
            if self._token_file is not None:
                headers["authorization"] = f"Bearer {_first(self._token_file)}"
            request = self._http.request(method, base + path, content=data, headers=headers)
            async with asyncio.timeout(LIMIT_S):
                return await request
        except (TimeoutError, httpx.TimeoutException):
            return f"no answer within {LIMIT_S:g} s"
        except httpx.ConnectError:
            return "nothing listens there"
        except httpx.HTTPError as error:
            return f"no answer: {error or type(error).__name__}"
        except (OSError, UnicodeDecodeError) as error:
            return f"the token file cannot be read: {error}"


def _first(token_file: Path) -> str:
    return next(iter(token_file.read_text().split()), "")


def _said(answer: httpx.Response) -> str:
    return f"answered {answer.status_code}: {' '.join(answer.text[:200].split())}"
