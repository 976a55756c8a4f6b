"""The transport of one HTTP connection, with what a plain transport leaves out.

- It knows what the client's machine has taken, which tells a slow reader from one that takes nothing.
- Reading is paused while anybody wants it paused: the request pipeline, or too many unsent bytes.
- Closing never destroys an answer: where input may still be arriving, the kernel would answer it
  with a reset that overtakes our last bytes, so only our direction is shut and the input is thrown
  away for a moment.

This module must not know HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any


class Outlet:
    """`arriving` tells, at the close, whether the protocol knows of input that is not over. `closing` is set by our
    own close, and `is_closing` tells of the transport's as well."""

    def __init__(self, transport: asyncio.Transport, now: Callable[[], float], arriving: Callable[[], bool]) -> None:
        self._transport = transport
        self._now = now
        self._arriving = arriving
        self._written = 0
        self._taken = 0
        self._taken_at = now()
        self._wants_pause = False
        self._held = False
        self.closing = False
        self.lingering_since: float | None = None

    # --- what uvicorn asks of a transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self.closing or self._transport.is_closing()

    def write(self, data: bytes | memoryview) -> None:
        if self.is_closing():
            return
        self._written += len(data)
        self._transport.write(data)

    def pause_reading(self) -> None:
        self._wants_pause = True
        self._set_reading()

    def resume_reading(self) -> None:
        self._wants_pause = False
        self._set_reading()

    def close(self) -> None:
        if self.is_closing():
            return
        self.closing = True
        if self._arriving() or self.reading_paused or self.has_unread():
            self._linger()
        else:
            self._transport.close()

    # --- what the connection asks

    @property
    def reading_paused(self) -> bool:
        return self._wants_pause or self._held

    def hold_reading(self, held: bool) -> None:
        if held != self._held:
            self._held = held
            self._set_reading()

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    def nothing_taken_for(self, now: float) -> float:
        """Seconds since the client last took a byte of those that wait for it; 0 when none wait. As exact as it is
        asked often, so that no write has to look at the clock."""
        waiting = self._transport.get_write_buffer_size()
        # The kernel asks for more only when a third of its own buffer is free, so what it holds is counted too.
        taken = self._written - waiting - (self._kernel_holds(termios.TIOCOUTQ) if waiting else 0)
        if not waiting or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at

    def has_unread(self) -> bool:
        """Whether the kernel holds input that the loop has not read yet."""
        return self._kernel_holds(termios.FIONREAD) > 0

    def _kernel_holds(self, question: int) -> int:
        with contextlib.suppress(OSError, ValueError):
            fd = self._transport.get_extra_info("socket").fileno()
            held: int = struct.unpack("i", fcntl.ioctl(fd, question, b"\0\0\0\0"))[0]
            return held
        return 0

    def _set_reading(self) -> None:
        if self.is_closing():
            return
        if self.reading_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _linger(self) -> None:
        self.lingering_since = self._now()
        try:
            self._transport.write_eof()
            self._transport.resume_reading()
        except (OSError, RuntimeError):  # the client is gone already
            self._transport.abort()
