"""The kserve client, unmodified. It and tritonclient cannot be imported into one process, so it runs in its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

SCRIPT = """
import asyncio, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

MODEL = "digits 1.0"
ARRAYS = {
    "int64": np.array([-(2**63), 2**63 - 1]),
    "single": np.array([[0.1, 2.5]], np.float32),
    "text": np.array(["grün", "a b"], dtype=object),
    "flags": np.array([True, False]),
}
TYPES = {"int64": "INT64", "single": "FP32", "text": "BYTES", "flags": "BOOL"}


def request(binary):
    items = []
    for name, array in ARRAYS.items():
        item = InferInput(name, list(array.shape), TYPES[name])
        item.set_data_from_numpy(array, binary_data=binary)
        items.append(item)
    return InferRequest(MODEL, items, request_id="7", parameters={"binary_data_output": binary})


def check(answer):
    assert (answer.id, answer.model_name) == ("7", MODEL), answer
    for output in answer.outputs:
        back, array = output.as_numpy(), ARRAYS[output.name]
        if output.datatype == "BYTES":
            back = np.array([x.decode() if isinstance(x, bytes) else x for x in back], dtype=object)
        assert back.shape == array.shape and back.tolist() == array.tolist(), (output.name, back)
    assert len(answer.outputs) == len(ARRAYS)


async def main(http_port, grpc_port):
    base = f"http://127.0.0.1:{http_port}"
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(base) is True
        assert await client.is_server_ready(base) is True
        assert await client.is_model_ready(base, MODEL) is True
        assert await client.is_model_ready(base, "nobody") is False
        for binary in (False, True):
            check(await client.infer(base, request(binary), model_name=MODEL))
        special = InferInput("x", [3], "FP32", data=["NaN", "Infinity", -1.5])
        answer = await client.infer(base, InferRequest(MODEL, [special]), model_name=MODEL)
        assert repr(answer.outputs[0].as_numpy().tolist()) == "[nan, inf, -1.5]"
        try:
            await client.infer(base, request(False), model_name="nobody")
            raise SystemExit("no error")
        except Exception as error:
            assert "no model is called" in str(error), error
    async with InferenceGRPCClient(f"127.0.0.1:{grpc_port}") as client:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(MODEL)
        for binary in (False, True):
            check(await client.infer(request(binary)))


import fairlead_server.protocols.v2_messages  # the server's own messages live beside the client's
asyncio.run(main(*sys.argv[1:]))
print("all well")
"""


def test_the_kserve_client(open_doors: Callable[..., Any]) -> None:
    """REST in JSON and binary, gRPC typed and raw, health and readiness, errors with their text."""
    with open_doors(rpc=True) as doors:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(doors.http_port), str(doors.grpc_port)],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
    assert done.stdout == "all well\n", done.stderr
