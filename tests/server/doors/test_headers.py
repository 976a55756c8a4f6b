from __future__ import annotations

import pytest

from fairlead_server.doors.headers import Headers


def test_headers_read_like_a_mapping_of_text() -> None:
    """By lower-case name, in Latin-1; of several with one name the last; a name that HTTP cannot say is not there."""
    headers = Headers([(b"x-user", b"anna"), (b"x-user", b"b\xf6rge"), (b"host", b"h")])
    assert dict(headers) == {"x-user": "börge", "host": "h"}
    assert (headers.get("x-user"), headers.get("X-User"), headers.get("none", "else")) == ("börge", None, "else")
    assert ("host" in headers, "none" in headers, 7 in headers, len(headers)) == (True, False, False, 2)
    assert (headers.get("€"), "€" in headers) == (None, False)
    with pytest.raises(KeyError):
        headers["€"]
