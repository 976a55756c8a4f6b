from __future__ import annotations

import pytest

from fairlead_server.doors.heads import Head, Heads, plain_infer

INFER = b"/v2/models/digits%201.0/infer"


def read(method: bytes = b"POST", url: bytes = INFER, keep_alive: bool = True, **headers: str) -> Head | None:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return plain_infer(method, url, pairs, keep_alive=keep_alive, longest=1000)


def test_a_plain_inference_tells_its_target_and_its_length() -> None:
    """The query says nothing; chunks come without a length, and no body at all has none to read."""
    head = read(url=INFER + b"?x=1", content_length="7", x_user="anna")
    assert head is not None
    assert (head.target.model, head.target.version, head.length) == ("digits 1.0", None, 7)
    assert head.headers["x-user"] == "anna"
    chunked, bare = read(transfer_encoding="chunked"), read()
    assert chunked is not None
    assert bare is not None
    assert (chunked.length, bare.length) == (None, 0)


@pytest.mark.parametrize(
    "head",
    [
        read(b"GET"),
        read(url=b"/v2"),
        read(url=b"/v2/models/%ff/infer"),
        read(url=b"http://x" + INFER),
        read(url=INFER + b"#x"),
        read(url=b"/v2/models/" + b"m" * 1000 + b"/infer"),
        read(content_encoding="gzip"),
        read(expect="100-continue"),
        read(content_length="1001"),
    ],
)
def test_what_only_the_application_can_answer_is_not_plain(head: Head | None) -> None:
    """Other methods and paths, URLs in another form, compressed bodies, those to be asked for, those over the limit."""
    assert head is None


def test_as_many_heads_are_kept_as_there_is_room_for() -> None:
    """The newest ones; neither long ones nor those that end a connection or bring chunks."""
    heads = Heads()
    kept, last, chunked = read(), read(keep_alive=False), read(transfer_encoding="chunked")
    assert kept is not None
    assert last is not None
    assert chunked is not None
    for head in (last, chunked):
        heads.keep(b"a", head)
    heads.keep(b"a" * 5000, kept)
    assert (heads.find(b"a"), heads.find(b"a" * 5000)) == (None, None)
    for number in range(1025):
        heads.keep(b"%d" % number, kept)
    assert (heads.find(b"0"), heads.find(b"1"), heads.find(b"1024")) == (None, kept, kept)
