"""What a lease gives access to: one open version."""

from __future__ import annotations

from collections.abc import Callable

from fairlead_server.batching.batcher import Batcher
from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.service.checking import Checker


class Handle:
    """The worker makes it from an open session, and calls `close` (which may block) once nothing runs any more;
    the service uses the rest under a lease."""

    __slots__ = ("batcher", "checker", "close", "profile", "signature")

    def __init__(self, signature: Signature, profile: Profile, batcher: Batcher, close: Callable[[], None]) -> None:
        self.signature = signature
        self.profile = profile
        self.batcher = batcher
        self.close = close
        self.checker = Checker(signature)
