"""A catalog file that is gzip, and one that is not quite."""

from __future__ import annotations

import gzip

import pytest

from fairlead_server.doors.control import CATALOG_BYTES
from fairlead_server.errors import Kind, ServingError
from fairlead_server.supervisor.packing import LIMIT, unpacked


def test_gzip_and_plain() -> None:
    """What does not begin as gzip does is the document."""
    assert unpacked(b"{}") == b"{}"
    assert unpacked(gzip.compress(b"{}")) == b"{}"
    assert unpacked(b"") == b""


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gzip.compress(b"{}")[:-1], Kind.INVALID),
        (gzip.compress(b"{}") + b"x", Kind.INVALID),
        (b"\x1f\x8bnonsense", Kind.INVALID),
        (gzip.compress(b" " * 101), Kind.TOO_LARGE),
    ],
    ids=["cut", "more", "damaged", "large"],  # not by the bytes, which hold the time of day
)
def test_what_is_refused(data: bytes, kind: Kind) -> None:
    """Damaged, and larger than a catalog may be: read no further than that."""
    with pytest.raises(ServingError) as caught:
        unpacked(data, limit=100)
    assert caught.value.kind is kind


def test_both_carriers_have_one_limit() -> None:
    """What a PUT may bring, a file may hold."""
    assert LIMIT == CATALOG_BYTES
