"""What a request holds while it uses a version. Unloading waits for it; nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

H = TypeVar("H")


class Lease(Generic[H]):
    """A context manager around one request's use of `handle`. Given back once, however often it is asked."""

    __slots__ = ("_give_back", "handle", "uid", "version")

    def __init__(self, uid: str, version: str, handle: H, give_back: Callable[[str], None]) -> None:
        self.uid = uid
        self.version = version
        self.handle = handle
        self._give_back: Callable[[str], None] | None = give_back

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self.uid)

    def __enter__(self) -> Lease[H]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
