"""The headers of one HTTP request, decoded one by one when somebody asks: most requests' are never looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fairlead_server.doors.seam import TIMEOUTS

_TIMEOUTS = {name.encode() for name in TIMEOUTS}


class Headers(Mapping[str, str]):
    """By lower-case name; of several with one name the last counts. Latin-1, as HTTP has it. `timed` says whether a
    deadline may be among them."""

    __slots__ = ("raw", "timed")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """The names are in lower case already."""
        self.raw = dict(pairs)
        self.timed = not _TIMEOUTS.isdisjoint(self.raw)

    def __getitem__(self, name: str) -> str:
        try:
            return self.raw[name.encode("latin-1")].decode("latin-1")
        except UnicodeEncodeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        try:
            value = self.raw.get(name.encode("latin-1"))
        except UnicodeEncodeError:
            return default
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self.raw)

    def __len__(self) -> int:
        return len(self.raw)
