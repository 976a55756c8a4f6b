"""Calls to the API server: how new a list is, and a watch whose other end is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.aio import client

from fairlead_operator.cluster import api
from fairlead_operator.cluster.api import Api, ApiFault

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EMPTY = HEAD + b"Content-Length: 2\r\n\r\n{}"
BOOKMARK = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}\n'
WATCH = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(BOOKMARK), BOOKMARK)


def asked(answer: bytes, story: Callable[[Api], Any]) -> list[str]:
    """The first lines of what a server was asked that always answers this and then is silent."""
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(65536):
            heard.append(head.decode().partition("\r\n")[0])
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one = Api(client.ApiClient(configuration=settings))
        try:
            await story(one)
        finally:
            await one.close()
            server.close()
            await asyncio.sleep(0.05)

    asyncio.run(main())
    return heard


def test_a_list_is_as_old_as_it_may_be() -> None:
    """From the cache, unless what etcd has now is asked for."""

    async def story(one: Api) -> None:
        await one.listed("/apis", labelSelector="a=b")
        await one.listed("/apis", newest=True)

    first, second = asked(EMPTY, story)
    assert first == "GET /apis?resourceVersion=0&labelSelector=a%3Db HTTP/1.1"
    assert second.startswith("GET /apis")
    assert "resourceVersion" not in second


def test_a_silent_watch_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bookmarks are asked for, so that silence is no rest: a connection may be open at this end alone."""
    monkeypatch.setattr(api, "SILENT_S", 0.2)
    told = []

    async def story(one: Api) -> None:
        async with asyncio.timeout(20):
            async for event in one.watch("/apis", "5"):
                told.append(event)

    with pytest.raises(ApiFault, match="the watch broke"):
        asked(WATCH, story)
    assert told == [("BOOKMARK", {"metadata": {"resourceVersion": "7"}})]
