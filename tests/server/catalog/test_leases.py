"""The lease of one request."""

from __future__ import annotations

from fairlead_server.catalog.leases import Lease


def test_a_lease_is_given_back_once() -> None:
    """Leaving the block and releasing again count as one."""
    given_back: list[str] = []
    with Lease("u3", "3", "a handle", given_back.append) as lease:
        assert (lease.uid, lease.version, lease.handle, given_back) == ("u3", "3", "a handle", [])
        lease.release()
    lease.release()
    assert given_back == ["u3"]
