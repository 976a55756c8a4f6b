"""The setting against the model: what it becomes, and every mistake in its own words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.buckets import Buckets
from fairlead_server.batching.lengths import Trim
from fairlead_server.batching.padding import PaddingFault, for_serving, lengths_of, with_optional_masks
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import Padding, VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec


def text(name: str, datatype: str = "INT64", symbol: str = "sequence") -> TensorSpec:
    return TensorSpec(name, datatype, (-1, -1), ("batch", symbol))


BERT = Signature(
    (text("ids"), text("mask"), text("types"), TensorSpec("image", "FP32", (-1, 3, 8), ("batch", "", ""))),
    (
        TensorSpec("states", "FP32", (-1, -1, 384), ("batch", "sequence", "")),
        TensorSpec("pooled", "FP32", (-1, 384), ("batch", "")),
    ),
)
WHOLE = {"ids": Padding(mask="mask", multiple=8, trim={"states": 1}), "types": Padding(multiple=12)}


def test_a_bert() -> None:
    """Ids and types share a length by the name of their dimension; the mask goes with the ids."""
    lengths = lengths_of(BERT, WHOLE)
    assert lengths is not None
    assert [(fill.name, fill.group, fill.of) for fill in lengths.fills] == [
        ("ids", 0, ""),
        ("types", 0, ""),
        ("mask", 0, "ids"),
    ]
    assert (lengths.multiples, lengths.trims, lengths.plain) == ((24,), (Trim("states", 1, 0),), True)


@pytest.mark.parametrize(
    ("specs", "axes"),
    [
        (BERT.inputs, {"ids": 1, "mask": 1, "types": 1}),
        ((TensorSpec("x", "FP32", (-1, -1)),), {"x": 1}),
        ((TensorSpec("x", "BYTES", (-1, 2)),), {}),
        ((text("a", symbol="s"), text("b", symbol="t")), {}),
        ((text("a", symbol=""), text("b", symbol="")), {}),
        ((TensorSpec("image", "FP32", (-1, 3, -1, -1), ("n", "", "size", "size")),), {}),
    ],
)
def test_without_the_setting_nothing_is_filled_up(specs: tuple[TensorSpec, ...], axes: dict[str, int]) -> None:
    """The one length that the model names is known all the same, for whoever predicts; else there is none."""
    profile = Profile(padding=True)
    lengths = for_serving(Signature(specs, ()), VersionSettings(), profile)
    assert {fill.name: fill.axis for fill in lengths.fills} == axes if lengths else not axes
    assert lengths is None or not lengths.sharing


def test_warm_up_decides_whether_lengths_share() -> None:
    """And its buckets which of them meet."""
    settings = VersionSettings(padding=WHOLE)
    shared = for_serving(BERT, settings, Profile(padding=True, length_step=20, latency_by_length={64: {1: 1.0}}))
    assert shared is not None
    assert (shared.sharing, shared.buckets) == (True, Buckets(20, 64))
    alone = for_serving(BERT, settings, Profile(padding=False))
    assert alone is not None
    assert not alone.sharing


@pytest.mark.parametrize(
    ("symbols", "masks", "groups"),
    [
        (("s", "s"), ("", ""), [0, 0]),
        (("s", "t"), ("", ""), [0, 1]),
        (("s", "t"), ("mask", "mask"), [0, 0]),  # one mask, one length
        (("", ""), ("", ""), [0, 1]),  # no names: nobody knows
        (("unk__1", "unk__1"), ("", ""), [0, 1]),
        (("s", "m"), ("mask", ""), [0, 0]),  # the mask's dimension is called as the other input's
    ],
)
def test_which_lengths_belong_together(symbols: tuple[str, str], masks: tuple[str, str], groups: list[int]) -> None:
    """By the names of the dimensions, and by a shared mask."""
    signature = Signature((text("a", symbol=symbols[0]), text("b", symbol=symbols[1]), text("mask", symbol="m")), ())
    lengths = lengths_of(signature, {"a": Padding(mask=masks[0]), "b": Padding(mask=masks[1])})
    assert lengths is not None
    assert [fill.group for fill in lengths.fills if not fill.of] == groups


def test_a_mask_may_be_left_out_of_requests() -> None:
    """The signature says so; everything else stays required."""
    told = with_optional_masks(BERT, WHOLE)
    assert [spec.name for spec in told.inputs if spec.optional] == ["mask"]
    assert told.outputs == BERT.outputs


def padding(**others: Any) -> dict[str, Padding]:
    return {"ids": Padding(**others), "types": Padding(), "mask": Padding()}


@pytest.mark.parametrize(
    ("paddings", "message"),
    [
        ({"idz": Padding()}, "the input 'idz' is none of the model's; its inputs are 'ids', 'mask', 'types', 'image'"),
        (padding(axis=2), "axis 2 is beyond the input's 2 dimensions"),
        ({"image": Padding()}, "axis 1 is fixed at 3 by the model, so no length differs; take it out"),
        (padding(value=0.5), "value 0.5 is none that INT64 can hold"),
        (padding(value=1e30), "value 1e+30 is none that INT64 can hold"),
        (padding(value=float("nan")), "value nan is none that INT64 can hold"),
        ({**WHOLE, "ids": Padding(mask="maske")}, "the mask 'maske' is none of the model's; its inputs are"),
        ({**WHOLE, "mask": Padding()}, "padding of 'mask': is the mask of 'ids' and is filled with 0 by itself"),
        (
            {"ids": Padding(mask="image")},
            "the mask 'image' has the shape [-1, 3, 8]; it must have the input's, [-1, -1]",
        ),
        ({"ids": Padding(mask="mask")}, "input 'types' has the same dimension 'sequence' and is not padded"),
        (padding(trim={"logits": 1}), "the output in trim 'logits' is none of the model's; its outputs are 'states'"),
        (padding(trim={"pooled": 2}), "trim: axis 2 is beyond the 2 dimensions of output 'pooled'"),
        (padding(trim={"pooled": 1}), "trim: axis 1 of output 'pooled' is fixed at 384; take it out of trim"),
    ],
)
def test_mistakes_are_told(paddings: dict[str, Padding], message: str) -> None:
    """Each names the input, what is wrong, and what to do."""
    with pytest.raises(PaddingFault) as caught:
        lengths_of(BERT, paddings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "value", "fits"),
    [
        ("BYTES", 0.0, False), ("BOOL", 1.0, True), ("BOOL", 2.0, False), ("UINT8", -1.0, False), ("INT8", -1.0, True),
        ("FP16", 1e5, False), ("FP32", -1e9, True), ("FP32", float("inf"), False),
    ],
)  # fmt: skip
def test_the_value_must_be_one_of_the_datatypes(datatype: str, value: float, fits: bool) -> None:
    """Text cannot be filled up by a number."""
    signature = Signature((text("x", datatype),), ())
    try:
        made = lengths_of(signature, {"x": Padding(value=value)})
    except PaddingFault:
        made = None
    assert (made is not None) == fits


def test_one_output_axis_has_one_length() -> None:
    """Two inputs of different lengths cannot both cut it."""
    signature = Signature((text("a", symbol="s"), text("b", symbol="t")), BERT.outputs)
    with pytest.raises(PaddingFault, match="axis 1 of output 'states' is claimed for two different lengths"):
        lengths_of(signature, {"a": Padding(trim={"states": 1}), "b": Padding(trim={"states": 1})})


def test_other_free_sizes_are_looked_at_one_by_one() -> None:
    """A free size beside the lengths makes the key longer."""
    signature = Signature((TensorSpec("x", "FP32", (-1, -1, -1), ("n", "frames", "bands")),), ())
    lengths = lengths_of(signature, {"x": Padding()})
    assert lengths is not None
    assert not lengths.plain
    assert lengths.key({"x": np.zeros((1, 5, 4), np.float32)}) != lengths.key({"x": np.zeros((1, 5, 3), np.float32)})
