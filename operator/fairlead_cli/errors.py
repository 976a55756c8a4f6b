"""What ends a command early: one line for the user, and an exit status.

    CommandError     something is wrong, and the message says what to do
    Interrupted      the user asked to end (Ctrl-C, SIGTERM, a closed terminal)

This module must not know any command.
"""

from __future__ import annotations


class CommandError(Exception):
    """Told to the user as one line; `details` (such as the end of a log) follows below it."""

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Interrupted(Exception):
    """Nothing is wrong: somebody wants it to end."""
