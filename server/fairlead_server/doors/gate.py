"""How many requests a worker holds at once, over both protocols, and what its doors turned away."""

from __future__ import annotations

from types import TracebackType

from fairlead_server.errors import Kind, ServingError

_RETRY_AFTER_S = 1.0


class Gate:
    """Entered by every inference for as long as it lasts.

    `refused` counts, by error kind, the requests that no version was asked for: what the doors
    and codecs found wrong. What the service refuses, the service counts.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self.refused: dict[str, int] = {}

    def note(self, kind: Kind) -> None:
        self.refused[kind.value] = self.refused.get(kind.value, 0) + 1

    @property
    def full(self) -> bool:
        return self.inside >= self.limit

    def enter(self) -> None:
        """Raises OVERLOADED where the worker holds its limit; else `leave` has to follow, once."""
        if self.full:
            self.note(Kind.OVERLOADED)
            raise ServingError(
                Kind.OVERLOADED,
                f"this worker holds {self.limit} requests, which is its limit: try again later",
                retry_after=_RETRY_AFTER_S,
            )
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()
