"""tritonclient, unmodified, in its four forms, against the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from fairlead_server.testing import FakeService

MODEL = FakeService.MODEL
ARRAYS = {
    "bool": np.array([[True, False]]),
    "int8": np.array([-128, 127], np.int8),
    "uint16": np.array([0, 65535], np.uint16),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "uint64": np.array([0, 2**64 - 1], np.uint64),
    "half": np.array([1.5, -65504], np.float16),
    "single": np.array([[0.1, np.nan], [np.inf, -np.inf]], np.float32),
    "double": np.array([0.1, 5e-324]),
    "text": np.array(["", "grün", "a\0b"], dtype=object),
    "nothing": np.zeros((0, 3), np.float32),
}


@pytest.fixture(name="doors", scope="module")
def _doors(open_doors_once: Callable[..., Any]) -> Iterator[Any]:
    with open_doors_once(rpc=True) as doors:
        yield doors


def inputs(module: Any, **options: bool) -> list[Any]:
    out = []
    for name, array in ARRAYS.items():
        item = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        item.set_data_from_numpy(array, **({} if array.dtype == np.float16 else options))
        out.append(item)
    return out


def check(result: Any) -> None:
    """Every array came back as it went, bit by bit."""
    for name, array in ARRAYS.items():
        back = result.as_numpy(name)
        if array.dtype == object:
            assert [text if isinstance(text, str) else text.decode() for text in back] == array.tolist()
        else:
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert back.tobytes() == array.tobytes()


def test_http_with_binary_tensors(doors: Any) -> None:
    """The client's default: raw both ways."""
    with triton_http.InferenceServerClient(f"127.0.0.1:{doors.http_port}") as client:
        result = client.infer(MODEL, inputs(triton_http), model_version="champion", request_id="7")
        check(result)
        answer = result.get_response()
        assert (answer["model_version"], answer["id"]) == ("2", "7")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_http_with_compressed_requests(doors: Any, algorithm: str) -> None:
    """Both of the client's compressions are understood."""
    with triton_http.InferenceServerClient(f"127.0.0.1:{doors.http_port}") as client:
        check(client.infer(MODEL, inputs(triton_http), request_compression_algorithm=algorithm))


def test_http_with_json_tensors_both_ways(doors: Any) -> None:
    """JSON in and out, but for FP16, which this client sends in binary only, and NaN, which it writes as no JSON."""
    outputs = [triton_http.InferRequestedOutput(name, binary_data=False) for name in ARRAYS]
    sent = [
        item
        for item, array in zip(inputs(triton_http, binary_data=False), ARRAYS.values(), strict=True)
        if array.dtype.kind != "f" or np.isfinite(array).all()
    ]
    [single] = [item for item in inputs(triton_http) if item.name() == "single"]
    with triton_http.InferenceServerClient(f"127.0.0.1:{doors.http_port}") as client:
        check(client.infer(MODEL, [*sent, single], outputs=outputs))


def test_http_tells_health_and_metadata(doors: Any) -> None:
    """What the client asks besides inference."""
    with triton_http.InferenceServerClient(f"127.0.0.1:{doors.http_port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL)
        assert client.is_model_ready(MODEL, "2")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()["name"] == "fairlead"
        assert client.get_model_metadata(MODEL, "champion")["versions"] == ["2"]
        assert client.get_model_config(MODEL, "champion")["input"][0]["dims"] == [-1, 4]
        with pytest.raises(InferenceServerException, match="no model is called"):
            client.infer("nobody", inputs(triton_http))


def test_http_asyncio(doors: Any) -> None:
    """The asyncio form, over HTTP."""

    async def main() -> None:
        async with triton_http_aio.InferenceServerClient(f"127.0.0.1:{doors.http_port}") as client:
            assert await client.is_model_ready(MODEL)
            check(await client.infer(MODEL, inputs(triton_http_aio)))

    asyncio.run(main())


def test_grpc(doors: Any) -> None:
    """The gRPC form, with health and metadata."""
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{doors.grpc_port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL, "1")
        assert client.get_server_metadata().name == "fairlead"
        assert client.get_model_metadata(MODEL).inputs[0].shape == [-1, 4]
        (told,) = client.get_model_config(MODEL).config.input
        assert (told.name, told.data_type, told.dims) == ("x", 11, [-1, 4])  # TYPE_FP32
        with pytest.raises(InferenceServerException, match="no model is called"):
            client.get_model_config("nobody")
        check(client.infer(MODEL, inputs(triton_grpc), client_timeout=5))
        check(client.infer(MODEL, inputs(triton_grpc), compression_algorithm="gzip"))
        with pytest.raises(InferenceServerException, match="no model is called") as caught:
            client.is_model_ready("nobody")
        assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_grpc_sends_what_four_megabytes_do_not_hold(doors: Any) -> None:
    """There is no limit of 4 MB in either direction."""
    large = np.arange(2_000_000, dtype=np.float32)
    item = triton_grpc.InferInput("x", [large.size], "FP32").set_data_from_numpy(large)
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{doors.grpc_port}") as client:
        assert (client.infer(MODEL, [item]).as_numpy("x") == large).all()


def test_grpc_asyncio(doors: Any) -> None:
    """The asyncio form, over gRPC."""

    async def main() -> None:
        async with triton_grpc_aio.InferenceServerClient(f"127.0.0.1:{doors.grpc_port}") as client:
            assert await client.is_model_ready(MODEL)
            check(await client.infer(MODEL, inputs(triton_grpc_aio)))

    asyncio.run(main())
