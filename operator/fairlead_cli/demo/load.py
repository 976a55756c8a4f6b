"""The clients of the demo: steady requests over HTTP and gRPC from unmodified tritonclients on kept connections.

    python -m fairlead_cli.demo.load --http HOST:PORT --grpc HOST:PORT --model NAME --samples FILE --out FILE

Open loop: a request starts when it is due, whatever became of the ones before it, and its latency counts from
then. One line of JSON in `--out` for each request (see `figures.Answer`). SIGTERM ends it: what is under way is
still answered. A process of its own, so that nothing else the demo does disturbs the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http

from fairlead_cli.demo.train import INPUT, LABEL

TIMEOUT_S = 10.0

Call = Callable[[Any], Awaitable[tuple[str, int]]]  # one image -> the version that answered, its label


def http_call(address: str, model: str) -> tuple[Any, Call]:
    client = triton_http.InferenceServerClient(address, conn_limit=32, conn_timeout=TIMEOUT_S)

    async def call(image: Any) -> tuple[str, int]:
        result = await client.infer(model, [_tensor(triton_http, image)])
        return result.get_response()["model_version"], int(result.as_numpy(LABEL)[0])

    return client, call


def grpc_call(address: str, model: str) -> tuple[Any, Call]:
    client = triton_grpc.InferenceServerClient(address)

    async def call(image: Any) -> tuple[str, int]:
        result = await client.infer(model, [_tensor(triton_grpc, image)], client_timeout=TIMEOUT_S)
        return result.get_response().model_version, int(result.as_numpy(LABEL)[0])

    return client, call


def _tensor(api: Any, image: Any) -> Any:
    tensor = api.InferInput(INPUT, [1, len(image)], "FP32")
    tensor.set_data_from_numpy(image[None, :])
    return tensor


async def one(protocol: str, call: Call, image: Any, sample: int, due: float, out: TextIO) -> None:
    """One request and its line. Whatever the client raises is a lost request."""
    told: dict[str, Any] = {"protocol": protocol, "sample": sample, "due": due}
    try:
        told["version"], told["label"] = await asyncio.wait_for(call(image), TIMEOUT_S)
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"[:200]
    told["done"] = time.time()
    out.write(json.dumps(told) + "\n")


async def steady(protocol: str, call: Call, images: Any, rate: float, end: asyncio.Event, out: TextIO) -> None:
    """Requests at `rate` a second until `end`; then waits for those under way."""
    under_way: set[asyncio.Task[None]] = set()
    start, number = time.time(), 0
    while not end.is_set():
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.time()))
        sample = number % len(images)
        task = asyncio.create_task(one(protocol, call, images[sample], sample, due, out))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    if under_way:
        await asyncio.wait(under_way, timeout=TIMEOUT_S + 1)


async def run(asked: argparse.Namespace, images: Any, out: TextIO) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    clients = {"http": http_call(asked.http, asked.model), "grpc": grpc_call(asked.grpc, asked.model)}
    await asyncio.gather(
        *(steady(name, call, images, asked.rate, end, out) for name, (_client, call) in clients.items())
    )
    for client, _call in clients.values():
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--http", "--grpc", "--model", "--samples", "--out"):
        parser.add_argument(option, required=True)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second, for each protocol")
    asked = parser.parse_args()
    images = np.array(json.loads(Path(asked.samples).read_text())["images"], dtype=np.float32)
    with open(asked.out, "w", buffering=1) as out:
        asyncio.run(run(asked, images, out))


if __name__ == "__main__":
    main()
