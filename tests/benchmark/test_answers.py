"""A subject is asked once over each wire before it is measured."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from loopback import serve

from benchmark.answers import WrongAnswer, check, difference
from benchmark.subject import Array, Endpoint, Model
from fairlead_server.protocols.v2_messages import SERVICE, message

OUTPUTS: dict[str, Array] = {
    "y": np.array([[0.5, -1.0]], np.float32),
    "label": np.array(["stays"], dtype=object),
}
MODEL = Model("m", Path(), {"x": np.zeros((1, 2), np.float32)}, OUTPUTS)


def document(y: object) -> dict[str, Any]:
    return {
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": y, "parameters": None},
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["stays"]},
        ]
    }


@contextlib.contextmanager
def http(status: int, answer: object) -> Iterator[Endpoint]:
    with serve(lambda *_: (status, json.dumps(answer).encode())) as url:
        yield Endpoint(url.removeprefix("http://"), "", ())


@contextlib.contextmanager
def rpc(answer: Any) -> Iterator[Endpoint]:
    server = grpc.server(ThreadPoolExecutor(1))
    infer = grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer.SerializeToString())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": infer}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Endpoint("", f"127.0.0.1:{port}", ())
    finally:
        server.stop(None).wait(5)


def response(raw: bool) -> Any:
    answer = message("ModelInferResponse")()
    y = answer.outputs.add(name="y", datatype="FP32", shape=[1, 2])
    label = answer.outputs.add(name="label", datatype="BYTES", shape=[1])
    if raw:
        answer.raw_output_contents.extend([OUTPUTS["y"].tobytes(), b"\x05\x00\x00\x00stays"])
    else:
        y.contents.fp32_contents.extend([0.5, -1.0])
        label.contents.bytes_contents.append(b"stays")
    return answer


@pytest.mark.parametrize("data", [[0.5, -1.0], [[0.5, -1.00001]]])
def test_the_right_answer_in_json_flat_or_nested(data: object) -> None:
    with http(200, document(data)) as endpoint:
        check(endpoint, MODEL, "json")


@pytest.mark.parametrize("raw", [True, False])
def test_the_right_answer_over_grpc_raw_or_typed(raw: bool) -> None:
    with rpc(response(raw)) as endpoint:
        check(endpoint, MODEL, "grpc")


def test_a_wrong_number_is_told_with_both() -> None:
    with (
        http(200, document([0.5, 1.0])) as endpoint,
        pytest.raises(WrongAnswer, match=r"m over json: y is \[0.5, 1.0\]"),
    ):
        check(endpoint, MODEL, "json")


def test_an_error_is_no_answer() -> None:
    with (
        http(500, {"error": "no such model"}) as endpoint,
        pytest.raises(WrongAnswer, match=r"HTTP 500: .*no such model"),
    ):
        check(endpoint, MODEL, "json")


def test_nobody_there_is_no_answer() -> None:
    with pytest.raises(WrongAnswer, match="m over json"):
        check(Endpoint("127.0.0.1:1", "", ()), MODEL, "json")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "no output y, but none"),
        ({"z": OUTPUTS["y"]}, "no output y, but z"),
        ({"y": OUTPUTS["y"].reshape(2), "label": OUTPUTS["label"]}, "y has the shape"),
        ({"y": OUTPUTS["y"], "label": np.array(["leaves"], dtype=object)}, "label is"),
        (OUTPUTS, ""),
        ({**OUTPUTS, "more": OUTPUTS["y"]}, ""),
    ],
)
def test_the_difference_names_the_output(found: Mapping[str, Array], said: str) -> None:
    assert difference(OUTPUTS, found).startswith(said)
    assert bool(difference(OUTPUTS, found)) == bool(said)
