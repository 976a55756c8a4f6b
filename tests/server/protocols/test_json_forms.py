from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.errors import ServingError
from fairlead_server.protocols import v2_binary
from fairlead_server.protocols.json_forms import FORMS, LARGEST, RARELY, Forms


def forms() -> Forms[str]:
    return Forms(lambda text: json.dumps(json.loads(text).get("data")).encode())


def test_a_text_is_known_by_what_stands_around_its_data() -> None:
    """With any other value in that place; not with another start or end."""
    known = forms()
    known.learn(b'{"a":1,"data":[1,2]}', b"[1,2]", "it")
    assert known.find(b'{"a":1,"data":[3]}') == ("it", b"[3]")
    assert known.find(b'{"a":1,"data":}') == ("it", b"")
    assert known.find(b'{"a":2,"data":[3]}') is None
    assert known.find(b'{"a":1,"data":') is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"p":{"data":[1]},"data":[1]}',
        b'{"data":[1],"data":[2]}',
        b'{"data": [2],"more":[1]}',
        b'{"data":[1],"a":"' + b"a" * LARGEST + b'"}',
    ],
)
def test_a_place_that_is_not_the_data_s_is_not_learned(text: bytes) -> None:
    """Another value of that name, one that a later one takes the place of, and forms too long to keep."""
    known = forms()
    known.learn(text, b"[1]", "it")
    assert known.find(text) is None


def test_a_text_may_be_known_as_a_whole() -> None:
    known = forms()
    known.learn_whole(b'{"a":1}', "it")
    assert (known.find_whole(b'{"a":1}'), known.find_whole(b'{"a":2}')) == ("it", None)


def test_as_many_forms_are_kept_as_there_is_room_for() -> None:
    """And only one text of a few teaches one."""
    known = forms()
    for number in range(FORMS + 1):
        known.learn_whole(b"%d" % number, "it")
    assert (known.find_whole(b"0"), known.find_whole(b"1")) == (None, "it")
    assert [known.wants_one() for _ in range(RARELY + 1)] == [True, *[False] * (RARELY - 1), True]


BINARY = (
    b'{"inputs":[{"name":"a","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}},'
    b'{"name":"b","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}],'
    b'"parameters":{"binary_data_output":true}}'
)
TEXTS = {
    "flat": b'{"id":"7","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1.5,"NaN"]}],'
    b'"outputs":[{"name":"y"}]}',
    "nested": b'{"inputs": [{"name": "x", "shape": [2, 1], "datatype": "INT8", "data": [[1], [2]]}], "id": "7"}',
    "text": b'{"inputs":[{"data":["a","b"],"name":"x","shape":[2],"datatype":"BYTES"}]}',
    "binary": BINARY + b"\0\1" + b"abcd",
}


BITS = [b"", b"1", b",", b"]", b"[", b'"', b"}", b" ", b"null", b"1e99", b"\xff", b'],"id":"8']


def read(body: bytes, length: int, *, parsed: bool) -> Any:
    """What a body says, or what is said about it."""
    try:
        request = v2_binary._parse_request(body, length) if parsed else v2_binary.decode_request(body, str(length))
    except ServingError as error:
        return error.kind, error.message
    tensors = [(t.name, t.datatype, t.shape, t.array.dtype, t.array.tobytes()) for t in request.inputs]
    if any(t.datatype == "BYTES" for t in request.inputs):
        tensors = [(t.name, t.datatype, t.shape, t.array.tolist()) for t in request.inputs]
    return tensors, request.outputs, request.id, request.parameters


def known(case: str) -> tuple[bytes, int]:
    """A body whose form is known, and the length of its JSON."""
    body = TEXTS[case]
    length = len(BINARY) if case == "binary" else len(body)
    for _ in range(2 * RARELY):
        v2_binary.decode_request(body, str(length))
    form = v2_binary._known_binary(body, length) if case == "binary" else v2_binary._known_json(body)
    assert form is not None
    return body, length


@pytest.mark.parametrize("case", TEXTS)
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from(BITS)), max_size=3))
def test_a_body_near_a_known_one_is_read_as_if_nothing_were_known(
    case: str, changes: list[tuple[int, int, bytes]]
) -> None:
    """Bytes put in, taken out or replaced anywhere: the same request, or the same sentence about what is wrong."""
    body, length = known(case)
    near = body
    for at, cut, new in changes:
        at %= len(near) + 1
        near = near[:at] + new + near[at + cut :]
    length = min(max(0, length + len(near) - len(body)), len(near))
    for at in {length, min(len(near), len(BINARY))} if case == "binary" else {length}:
        assert read(near, at, parsed=False) == read(near, at, parsed=True)


@given(st.lists(st.floats(width=32) | st.integers(-(2**40), 2**40), min_size=1, max_size=70), st.booleans())
def test_values_of_a_known_form_are_checked_as_ever(values: list[float], nested: bool) -> None:
    """Any numbers, flat or nested, as many as the shape says or not."""
    body, _ = known("flat")
    data = json.dumps([[v] for v in values] if nested else values).encode()
    near = body.replace(b'[1.5,"NaN"]', data)
    assert read(near, len(near), parsed=False) == read(near, len(near), parsed=True)


def test_the_same_body_gives_the_same_request_again() -> None:
    """Known or not; and what one request is given is not shared with the next one's values."""
    for case in TEXTS:
        body, length = known(case)
        assert read(body, length, parsed=False) == read(body, length, parsed=True)
    body, _ = known("flat")
    first = v2_binary.decode_request(body).inputs[0].array
    other = v2_binary.decode_request(body.replace(b"1.5", b"2.5")).inputs[0].array
    assert (first[0], other[0], np.shares_memory(first, other)) == (1.5, 2.5, False)
