"""What can go wrong, said once and without a protocol.

    ServingError
     +-- has a kind: what the caller may conclude (see Kind)
     +-- has a message: one sentence that says what to do, safe to show to a client

A kind never is a status code: each door has one table from kinds to its protocol's codes
(`doors/codes.py`), and a test checks that every table covers every kind.
This module must not know HTTP, gRPC or any model.
"""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """What the caller may conclude from an error."""

    INVALID = "invalid"  # the request is wrong as it stands; sending it again will not help
    NOT_FOUND = "not_found"  # no such model, version, alias or path
    NOT_ALLOWED = "not_allowed"  # the path exists, this method on it does not
    TOO_LARGE = "too_large"  # body, header or message beyond a stated limit
    UNSUPPORTED = "unsupported"  # understood, and not done here (an encoding, a datatype, a feature)
    REJECTED = "rejected"  # the model itself could not run on this input
    NOT_READY = "not_ready"  # the model is known and cannot answer yet, or failed to load
    OVERLOADED = "overloaded"  # a bounded queue is full; try again later
    LEAVING = "leaving"  # this replica drains; another will answer
    SLOW_CLIENT = "slow_client"  # the request did not arrive in the time allowed
    DEADLINE = "deadline"  # the caller's deadline passed, or cannot be met
    CANCELLED = "cancelled"  # the caller went away
    UNAUTHENTICATED = "unauthenticated"  # the control API wants a token
    CONFLICT = "conflict"  # a catalog that is older than, or differs from, the stored one
    INTERNAL = "internal"  # a fault of ours


class ServingError(Exception):
    """An error that a client may see.

    Raised anywhere below the doors; the doors turn `kind` into their protocol's code and
    `message` into its error body. `retry_after` (seconds) is told where the protocol can.
    """

    def __init__(self, kind: Kind, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
