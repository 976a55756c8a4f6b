"""Rows of different lengths in one array and back, by arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.buckets import Buckets
from fairlead_server.batching.lengths import Fill, Lengths, Trim
from fairlead_server.errors import Kind, ServingError

INT, FLOAT = np.dtype(np.int64), np.dtype(np.float32)
IDS = Fill("ids", 1, 0, 9.0, 2, INT)
TYPES = Fill("types", 1, 0, 0.0, 2, INT)
MASK = Fill("mask", 1, 0, 0.0, 2, INT, of="ids")


def text(multiple: int = 1, **others: Any) -> Lengths:
    return Lengths((IDS, TYPES, MASK), (Trim("states", 1, 0),), (multiple,), True, Buckets(100), **others)


def request(length: int, *, rows: int = 1, first: int = 1, **others: Any) -> dict[str, np.ndarray]:
    ids = np.arange(first, first + rows * length, dtype=np.int64).reshape(rows, length)
    return {"ids": ids, "types": np.ones((rows, length), np.int64), **others}


def test_a_batch_is_filled_up_to_its_longest() -> None:
    """Each input with its own value; the mask that is left out tells real from filled."""
    together = text().together([request(2), request(3, rows=2, first=5)])
    np.testing.assert_array_equal(together.inputs["ids"], [[1, 2, 9], [5, 6, 7], [8, 9, 10]])
    np.testing.assert_array_equal(together.inputs["types"], [[1, 1, 0], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(together.inputs["mask"], [[1, 1, 0], [1, 1, 1], [1, 1, 1]])
    assert (together.each, together.filled, together.changed) == ([(2,), (3,)], (3,), True)
    assert all(array.dtype == INT for array in together.inputs.values())


def test_a_mask_that_is_brought_is_kept_and_filled_with_0() -> None:
    """Beside one that is made."""
    batch = [request(3, mask=np.array([[1, 0, 1]])), request(2), request(1, mask=np.array([[0]]))]
    made = text().together(batch).inputs["mask"]
    np.testing.assert_array_equal(made, [[1, 0, 1], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(("multiple", "width"), [(1, 3), (4, 4), (8, 8)])
def test_lengths_are_rounded_up(multiple: int, width: int) -> None:
    """To the multiple, for one request too."""
    assert text(multiple).together([request(2), request(3)]).inputs["ids"].shape == (2, width)
    assert text(multiple).together([request(3)]).inputs["mask"].sum() == 3
    assert text(multiple).longest([request(2), request(3)]) == width


def test_equal_lengths_are_joined_and_one_is_passed_as_it_is() -> None:
    """Nothing is filled up, and nothing of it is copied where one request brings everything."""
    full = request(4, mask=np.ones((1, 4), np.int64))
    one = text(4).together([full])
    assert all(one.inputs[name] is full[name] for name in full)
    two = text(4).together([full, full])
    assert (two.changed, two.inputs["ids"].shape) == (False, (2, 4))


def test_whole_makes_only_what_is_missing() -> None:
    """For a request that runs alone, as it came."""
    full = request(3, mask=np.zeros((1, 3), np.int64))
    assert text(8).whole(full) is full
    made = text(8).whole(request(3, rows=2))
    np.testing.assert_array_equal(made["mask"], np.ones((2, 3)))


def test_answers_are_cut_back_by_views() -> None:
    """Along the axis that the setting names; what is not named is left."""
    states = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    own = text().own({"states": states[:1], "pooled": states[:1, 0]}, (2,))
    assert (own["states"].shape, own["pooled"].shape) == ((1, 2, 3), (1, 3))
    assert np.shares_memory(own["states"], states)
    assert text().own({"pooled": states}, (2,)).keys() == {"pooled"}


@pytest.mark.parametrize(("shape", "fault"), [((2, 4, 3), False), ((2, 3, 3), True), ((2,), True)])
def test_an_output_of_another_length_is_told(shape: tuple[int, ...], fault: bool) -> None:
    """Nobody can say what of it was real (rule 3)."""
    told = text().wrong({"states": np.zeros(shape, np.float32)}, (4,))
    assert told == (f"output 'states' has the shape {list(shape)}, and not 4 along 1" if fault else "")
    assert text().wrong({"pooled": np.zeros(shape)}, (4,)) == ""


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (request(3) | {"types": np.ones((1, 2), np.int64)}, "inputs disagree on their length: 'ids' 3, 'types' 2"),
        (request(3, mask=np.ones((1, 4), np.int64)), "inputs disagree on their length: 'ids' 3, 'types' 3, 'mask' 4"),
        (request(3) | {"types": np.ones(3, np.int64)}, "input 'types' has 1 dimensions; the model takes 2"),
        ({"ids": np.ones((1, 2), np.int64)}, "input 'types' is missing"),
    ],
)
def test_what_fits_no_run_is_refused(inputs: dict[str, np.ndarray], message: str) -> None:
    """Before it waits, and named."""
    with pytest.raises(ServingError) as caught:
        text().key(inputs)
    assert (caught.value.kind, caught.value.message) == (Kind.INVALID, message)


def test_keys_are_equal_for_what_may_meet() -> None:
    """Any lengths of a bucket, with and without the mask; only equal lengths where sharing is off."""
    assert text().key(request(2)) == text().key(request(90, rows=3, mask=np.ones((3, 90), np.int64)))
    assert text().key(request(2)) != text().key(request(101))
    assert text(sharing=False).key(request(2)) != text(sharing=False).key(request(3))
    assert text().key(request(0)) != text().key(request(1))


def test_without_sharing_nothing_is_filled_up() -> None:
    """The multiple does not count either; masks are made all the same."""
    together = text(8, sharing=False).together([request(3), request(3)])
    assert (together.inputs["ids"].shape, together.inputs["mask"].shape, together.changed) == ((2, 3), (2, 3), False)


def test_what_else_differs_keeps_requests_apart() -> None:
    """Other free sizes and datatypes, of padded inputs and of those beside them."""
    wide = Lengths((Fill("x", 2, 0, 0.0, 3, FLOAT),), (), (1,), plain=False)

    def key(*shape: int, beside: int = 1, dtype: Any = np.float32) -> Any:
        return wide.key({"x": np.zeros(shape, dtype), "beside": np.zeros((1, beside))})

    assert key(1, 5, 4) == key(2, 5, 3)
    assert len({key(1, 5, 4), key(1, 6, 4), key(1, 5, 4, beside=2), key(1, 5, 4, dtype=np.float64)}) == 4


def test_two_groups_are_filled_up_each_to_its_own_longest() -> None:
    """As an encoder and a decoder have; an output may be cut back along both."""
    both = Lengths(
        (Fill("source", 1, 0, 0.0, 2, INT), Fill("target", 1, 1, 0.0, 2, INT)),
        (Trim("cross", 1, 1), Trim("cross", 2, 0)),
        (1, 4),
        True,
    )
    ones = np.ones
    batch = [{"source": ones((1, 2)), "target": ones((1, 5))}, {"source": ones((1, 3)), "target": ones((1, 1))}]
    together = both.together(batch)
    assert (together.inputs["source"].shape, together.inputs["target"].shape) == ((2, 3), (2, 8))
    assert both.own({"cross": ones((1, 8, 3))}, together.each[0])["cross"].shape == (1, 5, 2)
