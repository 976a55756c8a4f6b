"""Error kinds -> the codes of each protocol: the only place where the two meet.

gRPC codes are names here, so that the supervisor can read the HTTP table without grpc.
A test checks that every table covers every kind.
"""

from __future__ import annotations

from fairlead_server.errors import Kind

HTTP: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ALLOWED: 405,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.REJECTED: 422,
    Kind.NOT_READY: 503,
    Kind.OVERLOADED: 503,
    Kind.LEAVING: 503,
    Kind.SLOW_CLIENT: 408,
    Kind.DEADLINE: 504,
    Kind.CANCELLED: 499,
    Kind.UNAUTHENTICATED: 401,
    Kind.CONFLICT: 409,
    Kind.INTERNAL: 500,
}

# A request line and headers over the limit have a status of their own (RFC 6585); a body has 413.
HTTP_HEAD_TOO_LARGE = 431

# UNAVAILABLE is what the documented retry policy tries again.
GRPC: dict[Kind, str] = {
    Kind.INVALID: "INVALID_ARGUMENT",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.NOT_ALLOWED: "UNIMPLEMENTED",
    Kind.TOO_LARGE: "RESOURCE_EXHAUSTED",
    Kind.UNSUPPORTED: "UNIMPLEMENTED",
    Kind.REJECTED: "INVALID_ARGUMENT",
    Kind.NOT_READY: "UNAVAILABLE",
    Kind.OVERLOADED: "UNAVAILABLE",
    Kind.LEAVING: "UNAVAILABLE",
    Kind.SLOW_CLIENT: "DEADLINE_EXCEEDED",
    Kind.DEADLINE: "DEADLINE_EXCEEDED",
    Kind.CANCELLED: "CANCELLED",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.CONFLICT: "FAILED_PRECONDITION",
    Kind.INTERNAL: "INTERNAL",
}

INTERNAL_MESSAGE = "the server failed on this request; its log says why"
