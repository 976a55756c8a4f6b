"""An HTTP server that answers everything with the same bytes: what HTTP itself costs in Python, and no more.

    python -m benchmark.subjects.http_constant --kind uvicorn --port 8000

`uvicorn`: raw ASGI on uvloop and httptools, its access log off. `httptools`: httptools on uvloop, nothing around it.
It knows nothing of Fairlead.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import httptools
import uvicorn
import uvloop

HOST = "127.0.0.1"


def main() -> None:
    found = _arguments()
    answer = bytes(found.answer_bytes)
    if found.kind == "uvicorn":
        uvicorn.run(
            _asgi(answer), host=HOST, port=found.port, loop="uvloop", http="httptools", lifespan="off", access_log=False
        )
    else:
        uvloop.run(_serve(answer, found.port))


def _asgi(answer: bytes) -> Any:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _serve(answer: bytes, port: int) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
    server = await asyncio.get_running_loop().create_server(lambda: Connection(head.encode() + answer), HOST, port)
    await server.serve_forever()


class Connection(asyncio.Protocol):
    """httptools calls back into it for each request."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self._answer)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("uvicorn", "httptools"), default="uvicorn")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer-bytes", type=int, default=120)
    return parser.parse_args()


if __name__ == "__main__":
    main()
