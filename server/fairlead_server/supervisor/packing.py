"""A catalog file may be gzip: in a ConfigMap, thousands of models would not fit otherwise. Pure.

What is stored and compared is always the document itself, so that a file and a PUT carry the same bytes.
"""

from __future__ import annotations

import zlib

from fairlead_server.errors import Kind, ServingError

MAGIC = b"\x1f\x8b"
LIMIT = 48 * 2**20  # as of a PUT, see doors.control.CATALOG_BYTES
_GZIP = 31  # zlib's wbits for a gzip stream


def unpacked(data: bytes, limit: int = LIMIT) -> bytes:
    """The document. Raises INVALID for a damaged stream, TOO_LARGE beyond `limit` bytes."""
    if not data.startswith(MAGIC):
        return data
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        found = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ServingError(Kind.INVALID, f"its gzip is damaged: {error}") from None
    if len(found) > limit:
        raise ServingError(Kind.TOO_LARGE, f"it is over the limit of {limit} bytes")
    if not stream.eof or stream.unused_data:
        raise ServingError(Kind.INVALID, "its gzip is cut short, or more follows its end")
    return found
