"""What a lease gives access to: one open version."""

from __future__ import annotations

from fairlead_server.batching.batcher import Batcher
from fairlead_server.models.signature import Signature
from fairlead_server.service.checking import Checker


class Handle:
    """The worker makes it from an open session; the service uses it under a lease."""

    __slots__ = ("batcher", "checker", "signature")

    def __init__(self, signature: Signature, batcher: Batcher) -> None:
        self.signature = signature
        self.batcher = batcher
        self.checker = Checker(signature)
