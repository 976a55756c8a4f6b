"""What the figures were had on, for the report: no names of people, hosts or folders."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmark.load.generator import cores

_PACKAGES = ("onnxruntime", "grpcio", "uvicorn", "uvloop", "httptools", "msgspec", "numpy", "ray")


def facts() -> dict[str, str]:
    """Each in a few words, in the report's order."""
    return {
        "cores": str(cores()),
        "processor": _first(r"model name\s*: (.*)", "/proc/cpuinfo"),
        "memory": f"{_memory_gib():.1f} GiB",
        "kernel": platform.release(),
        "system": _first(r'PRETTY_NAME="(.*)"', "/etc/os-release"),
        "Python": platform.python_version(),
        "packages": ", ".join(_versions()),
        "commit": _commit(),
    }


def _first(pattern: str, file: str) -> str:
    found = re.search(pattern, Path(file).read_text()) if Path(file).exists() else None
    return found.group(1).strip() if found else ""


def _memory_gib() -> float:
    return int(_first(r"MemTotal: *(\d+) kB", "/proc/meminfo") or 0) / 2**20


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        yield f"{name} {importlib.metadata.version(name)}"


def _commit() -> str:
    """The short name of what was measured, and whether the checkout had changes beyond it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=Path(__file__).parent)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
