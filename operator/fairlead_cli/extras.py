"""Which parts are installed, asked without importing any of them.

The command line is installed with every extra; what an extra brings may be missing. This module must not
import the programs it looks for: it may run where they cannot be imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from fairlead_cli.errors import CommandError

NEEDED = {
    "server": ("msgspec", "uvicorn", "grpc", "onnxruntime"),
    "operator": ("msgspec", "mlflow"),
    "dev": ("sklearn", "skl2onnx", "tritonclient"),
}
PROGRAMS = {
    "serve": ("server", "fairlead_server"),
    "drain": ("server", "fairlead_server"),
    "operate": ("operator", "fairlead_operator"),
}


def require(*extras: str) -> None:
    """Raises CommandError with the line that installs what is missing of `extras`."""
    missing = [extra for extra in extras if any(importlib.util.find_spec(module) is None for module in NEEDED[extra])]
    if missing:
        raise CommandError(f"not installed here: pip install 'fairlead[{','.join(missing)}]'")


def program(command: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a command that is another program's."""
    return [sys.executable, "-m", PROGRAMS[command][1], command, *arguments]


def hand_over(command: str, arguments: Sequence[str]) -> NoReturn:
    """Becomes the program: its arguments, its help and its exit status are its own."""
    require(PROGRAMS[command][0])
    sys.stdout.flush()
    os.execv(sys.executable, program(command, arguments))  # noqa: S606 - no shell is wanted
