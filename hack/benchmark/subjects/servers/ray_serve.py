"""Ray Serve: one deployment with every model, @serve.batch before each, and an ingress that speaks v2 with JSON and
with the binary extension, on Starlette's requests as Serve's documents show. Leaves its logs in --logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from typing import Any

import numpy as np
import orjson
import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from session import DATATYPES, MAX_BATCH_SIZE, OnnxModel, arguments
from starlette.requests import Request
from starlette.responses import Response

# Where HAProxy keeps its files, /tmp/haproxy-serve unless told otherwise.
FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "admin.sock",
    "METRICS_SOCKET_PATH": "metrics.sock",
    "SERVER_STATE_BASE": ".",
    "SERVER_STATE_FILE": "server-state",
}
HEADER = "inference-header-content-length"
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
Tensors = dict[str, Any]


class Batched:
    """One model and its queue. Waits for nobody: what has gathered meanwhile is the next batch."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    @serve.batch(max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=0)
    async def run(self, requests: list[Tensors]) -> list[list[Any]]:
        if len({tuple(value.shape[1:] for value in one.values()) for one in requests}) > 1:
            return [self._model.run(one) for one in requests]
        whole = {name: np.concatenate([one[name] for one in requests]) for name in requests[0]}
        ends = np.cumsum([len(next(iter(one.values()))) for one in requests])[:-1]
        return [list(part) for part in zip(*(np.split(value, ends) for value in self._model.run(whole)), strict=True)]

    def outputs(self, values: list[Any]) -> dict[str, Any]:
        return dict(zip((spec.name for spec in self._model.outputs), values, strict=True))


@serve.deployment(max_ongoing_requests=1000, logging_config=LoggingConfig(enable_access_log=False))
class Ingress:
    def __init__(self, models: list[str], threads: int) -> None:
        pairs = [pair.split("=", 1) for pair in models]
        self._models = {name: Batched(OnnxModel(name, path, threads)) for name, path in pairs}

    async def __call__(self, request: Request) -> Response:
        name, verb = request.url.path.split("/")[-2:]
        model = self._models[name]
        if verb == "ready":
            return Response()
        document, inputs = decoded(await request.body(), request.headers.get(HEADER))
        outputs = model.outputs(await model.run(inputs))
        if document.get("parameters", {}).get("binary_data_output"):
            return in_binary(name, outputs)
        told = [head(key, value) | {"data": value.ravel().tolist()} for key, value in outputs.items()]
        return Response(orjson.dumps({"model_name": name, "outputs": told}), media_type="application/json")


def decoded(body: bytes, header: str | None) -> tuple[dict[str, Any], Tensors]:
    end = int(header) if header else len(body)
    document = orjson.loads(body[:end])
    inputs = {}
    for one in document["inputs"]:
        dtype = DTYPES[one["datatype"]]
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            value = np.array(one["data"], dtype=dtype)
        else:
            raw, end = body[end : end + size], end + size
            value = np.array(texts(raw), dtype=object) if dtype is object else np.frombuffer(raw, dtype)
        inputs[one["name"]] = value.reshape(one["shape"])
    return document, inputs


def in_binary(name: str, outputs: Tensors) -> Response:
    parts = {key: packed(value) for key, value in outputs.items()}
    sizes = {key: {"parameters": {"binary_data_size": len(part)}} for key, part in parts.items()}
    told = [head(key, value) | sizes[key] for key, value in outputs.items()]
    first = orjson.dumps({"model_name": name, "outputs": told})
    return Response(first + b"".join(parts.values()), headers={HEADER: str(len(first))})


def head(name: str, value: Any) -> dict[str, Any]:
    datatype = next(named for dtype, named in DATATYPES.items() if np.dtype(dtype) == value.dtype)
    return {"name": name, "datatype": datatype, "shape": list(value.shape)}


def packed(value: Any) -> bytes:
    if value.dtype.kind != "O":
        return value.tobytes()
    words = [word.encode() for word in value.ravel().tolist()]
    return b"".join(len(word).to_bytes(4, "little") + word for word in words)


def texts(raw: bytes) -> list[str]:
    found, start = [], 0
    while start < len(raw):
        end = start + 4 + int.from_bytes(raw[start : start + 4], "little")
        found.append(raw[start + 4 : end].decode())
        start = end
    return found


async def main() -> None:
    parser = arguments()
    parser.add_argument("--logs", required=True)
    found = parser.parse_args()
    ended = asyncio.Event()
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray and HAProxy put Unix sockets deep inside it
    os.environ.update({f"RAY_SERVE_HAPROXY_{key}": os.path.join(folder, name) for key, name in FILES.items()})
    try:
        ray.init(include_dashboard=False, _temp_dir=folder, object_store_memory=10**8, num_cpus=4)
        serve.start(http_options={"host": "127.0.0.1", "port": found.http_port})
        for number in (signal.SIGTERM, signal.SIGINT):  # ray.init sets handlers of its own
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        serve.run(Ingress.bind(found.serve, found.threads), route_prefix="/v2")  # type: ignore[attr-defined]
        await ended.wait()
    finally:
        ray.shutdown()
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(os.path.join(folder, "session_latest", "logs"), found.logs)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
