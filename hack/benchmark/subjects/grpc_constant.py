"""A gRPC server that answers every inference with the same bytes: what gRPC's own Python servers cost, and no more.

    python -m benchmark.subjects.grpc_constant --kind aio --port 8001

Both kinds are grpc's, used as their documents say: `aio` (grpc.aio on uvloop) and `sync` (grpc.server over a pool of
`--threads`). One line on standard output says that it serves. It knows nothing of Fairlead.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import uvloop

SERVICE = "inference.GRPCInferenceService"
OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main() -> None:
    arguments = _arguments()
    answer = constant(arguments.answer_bytes)
    address = f"127.0.0.1:{arguments.port}"
    if arguments.kind == "aio":
        uvloop.run(_serve_aio(answer, address))
    else:
        _serve_sync(answer, address, arguments.threads)


def constant(size: int) -> bytes:
    """A ModelInferResponse of one entry of raw_output_contents (field 6, length-delimited), which is `size` zeros."""
    return b"\x32" + _varint(size) + bytes(size)


async def _serve_aio(answer: bytes, address: str) -> None:
    async def infer(_request: bytes, _context: Any) -> bytes:
        return answer

    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(infer),))
    server.add_insecure_port(address)
    await server.start()
    print("ready", address, flush=True)  # noqa: T201
    await server.wait_for_termination()


def _serve_sync(answer: bytes, address: str, threads: int) -> None:
    def infer(_request: bytes, _context: Any) -> bytes:
        return answer

    server = grpc.server(ThreadPoolExecutor(threads), options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(infer),))
    server.add_insecure_port(address)
    server.start()
    print("ready", address, flush=True)  # noqa: T201
    server.wait_for_termination()


def _handlers(infer: Any) -> Any:
    return grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": grpc.unary_unary_rpc_method_handler(infer)})


def _varint(number: int) -> bytes:
    """Base 128, least significant first: https://protobuf.dev/programming-guides/encoding/#varints"""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("aio", "sync"), default="aio")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2, help="of the sync kind")
    parser.add_argument("--answer-bytes", type=int, default=2048)
    return parser.parse_args()


if __name__ == "__main__":
    main()
