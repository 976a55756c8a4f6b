"""Forms: whatever was learned before, a message is read as protobuf's own parser reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead_server.errors import ServingError
from fairlead_server.protocols import v2_forms, v2_proto
from fairlead_server.protocols.v2_forms import Forms, varint
from fairlead_server.protocols.v2_messages import message

Request = message("ModelInferRequest")
SIZES = {"FP32": 4, "UINT8": 1, "BOOL": 1, "FP64": 8}
TEXTS = st.text(max_size=3)


@pytest.fixture(name="forms", autouse=True)
def _forms(monkeypatch: pytest.MonkeyPatch) -> Forms[Any]:
    """Forms of the test's own, that learn from every message."""
    monkeypatch.setattr(v2_forms, "RARELY", 1)
    forms: Forms[Any] = Forms(v2_proto._reads)
    monkeypatch.setattr(v2_proto, "_FORMS", forms)
    return forms


def request(contents: list[bytes], **fields: Any) -> bytes:
    wire = Request(model_name="m", **fields)
    for number, content in enumerate(contents):
        wire.inputs.add(name=f"x{number}", datatype="UINT8", shape=[len(content)])
        wire.raw_input_contents.append(content)
    return wire.SerializeToString()


def read(data: bytes, decode: Any) -> Any:
    """What the rest of the server sees of a message, or the error."""
    try:
        model, version, decoded = decode(data)
    except ServingError as error:
        return error.kind, error.message
    tensors = [(t.name, t.datatype, t.shape, str(t.array.dtype), t.array.tobytes()) for t in decoded.inputs]
    return model, version, decoded.id, decoded.parameters, decoded.outputs, tensors


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Any request with raw contents, written in any order of its fields."""
    wires = [Request(model_name=draw(TEXTS), model_version=draw(TEXTS)), Request(id=draw(TEXTS)), Request()]
    for name in draw(st.lists(TEXTS, max_size=2)):
        wires[2].parameters[name].string_param = draw(TEXTS)
    for name in draw(st.lists(TEXTS, max_size=1)):
        wires[2].outputs.add(name=name)
    for name in draw(st.lists(TEXTS, min_size=1, max_size=3)):
        datatype = draw(st.sampled_from(sorted(SIZES)))
        shape = draw(st.lists(st.integers(0, 3), max_size=2))
        wires[2].inputs.add(name=name, datatype=datatype, shape=shape)
        size = int(np.prod(shape)) * SIZES[datatype]
        wires.append(Request(raw_input_contents=[draw(st.binary(min_size=size, max_size=size))]))
    parts = [wire.SerializeToString() for wire in wires]
    return b"".join(parts if draw(st.booleans()) else draw(st.permutations(parts)))


@settings(max_examples=300, deadline=None)
@given(messages(), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=12))
def test_a_message_near_a_known_one_is_read_as_if_nothing_were_known(data: bytes, changes: list[Any]) -> None:
    """Any byte of it may be another one, in the form, the id or the contents."""
    read(data, v2_proto.decode_request)
    for at, byte in [(0, data[0]), *changes]:
        at %= len(data)
        near = data[:at] + bytes([byte]) + data[at + 1 :]
        assert read(near, v2_proto.decode_request) == read(near, v2_proto._parse_request)


def test_contents_and_ids_of_the_same_length_are_the_same_form(forms: Forms[Any]) -> None:
    """Such a message is not parsed again: nothing else is compared than the bytes of the form."""
    assert v2_proto.decode_request(request([b"abc", b"", b"de"], id="7"))[2].id == "7"
    data = request([b"xyz", b"", b"12"], id="8")
    assert forms.find(data) is not None
    _, _, decoded = v2_proto.decode_request(data)
    assert (decoded.id, [tensor.array.tobytes() for tensor in decoded.inputs]) == ("8", [b"xyz", b"", b"12"])


@pytest.mark.parametrize(
    "data",
    [
        request([b"abc"])[: -len(b"\x3a\x03abc")] + b"\x1a\x01i\x1a\x01j\x3a\x03abc",  # two ids: the last counts
        b"\x3a\x03abc" + request([b"abc"])[: -len(b"\x3a\x03abc")],  # the contents stand first
        b"\x3a\x03abc" + request([b"abc"])[: -len(b"\x3a\x03abc")] + b"\x12\x05\x3a\x03abc",  # a version like contents
        request([b"abc"], parameters={"p" * v2_forms.LARGEST: message("InferParameter")()}),
        b"",
    ],
)
def test_a_message_of_an_unusual_make_has_no_form(data: bytes, forms: Forms[Any]) -> None:
    """It is parsed each time."""
    first = read(data, v2_proto.decode_request)
    assert forms.find(data) is None
    assert read(data, v2_proto.decode_request) == first


def test_a_large_tensor_is_looked_at_where_it_is() -> None:
    """Without a copy where its elements are aligned, whatever they are."""
    for _ in range(2):
        data = request([bytes(2**20)])
        [tensor] = v2_proto.decode_request(data)[2].inputs
        seen = tensor.array
    assert np.shares_memory(seen, np.frombuffer(data, np.uint8))


def test_forms_are_few(forms: Forms[Any]) -> None:
    """A client whose every request is another form fills no memory, and the newest are known."""
    for number in range(3 * v2_forms.LENGTHS):
        v2_proto.decode_request(request([bytes(number)]))
    assert len(forms._by_length) <= v2_forms.LENGTHS
    assert forms.find(request([bytes(number)])) is not None
    names = ["a", "b", "c", "d", "e", "f"]
    for name in names:
        v2_proto.decode_request(request([b"x"], model_version=name))
    known = [name for name in names if forms.find(request([b"x"], model_version=name))]
    assert known == names[-v2_forms.ALIKE :]


def test_only_every_so_many_misses_teach(monkeypatch: pytest.MonkeyPatch, forms: Forms[Any]) -> None:
    """What never comes again costs little; what does is learned soon."""
    monkeypatch.setattr(v2_forms, "RARELY", 4)
    data = [request([bytes(number)]) for number in range(8)]
    for one in data:
        v2_proto.decode_request(one)
    assert [forms.find(one) is not None for one in data] == [True, False, False, False] * 2


def test_varints_are_those_of_the_specification() -> None:
    """150 is its example."""
    assert (varint(0), varint(127), varint(150)) == (b"\x00", b"\x7f", b"\x96\x01")
