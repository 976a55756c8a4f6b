"""Triton Inference Server as nvidia-pytriton's wheel carries it: the C++ server with its Python back end, which is not
the ONNX back end of NVIDIA's container images. Twice: with a model written for that back end, and bound by pytriton,
whose proxy passes tensors on to another process."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.environments import Environment, InstallFailed
from benchmark.subject import Model, Wire
from benchmark.subjects.peer import SERVERS, Peer, server_flags

PYTHONS = ("3.12", "3.11")  # pytriton wants a NumPy that 3.13 has no wheel of
NO_PYTHON = (
    f"it needs Python {' or '.join(PYTHONS)} with a shared libpython (on Debian and Ubuntu: apt install python3.11 "
    "libpython3.11, or python3.12 libpython3.12)"
)
# Triton's stub is linked to libpython.
_FITS = """
import os, sys, sysconfig
name, folder = (sysconfig.get_config_var(key) or "" for key in ("INSTSONAME", "LIBDIR"))
version = ".".join(map(str, sys.version_info[:2]))
raise SystemExit(version not in sys.argv[1:] or ".so" not in name or not os.path.exists(os.path.join(folder, name)))
"""


@functools.cache
def fitting_python(candidates: tuple[str, ...]) -> Path | None:
    """The first of the candidates that is one of PYTHONS with a shared library."""
    for candidate in candidates:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run([candidate, "-c", _FITS, *PYTHONS], capture_output=True, timeout=20).returncode == 0:
                return Path(candidate)
    return None


def all_pythons() -> tuple[str, ...]:
    """This one, those in PATH, the distribution's."""
    names = [f"python{version}" for version in PYTHONS]
    return (sys.executable, *names, *(f"/usr/bin/{name}" for name in names))


class Triton(Peer):
    """`dynamic_batching {}` with no delay was the fastest of 0, 100, 1000 and 2000 microseconds."""

    name = "Triton (Python back end)"
    settings = (
        "Triton 2.51.0 of nvidia-pytriton 0.7.0, a model for its Python back end; dynamic_batching with its defaults "
        "(no delay), max_batch_size 64, one instance, after Triton's batcher guide"
    )
    protocols: frozenset[Wire] = frozenset({"json", "binary", "grpc"})

    def __init__(self, scratch: Path, candidates: Sequence[str] = ()) -> None:
        python = fitting_python(tuple(candidates) or all_pythons())
        super().__init__(scratch, Environment("triton", interpreter=python))
        self._python = python

    def missing(self) -> str:
        if not self._python:
            return NO_PYTHON
        return super().missing()

    def prepare(self) -> None:
        if not self._python:
            raise InstallFailed(NO_PYTHON)
        super().prepare()

    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        own = ["--metrics_port", str(base + 2), "--folder", str(folder)]
        script = str(SERVERS / "triton_start.py")
        return [str(self.environment.python), script, *own, *server_flags(base, models, threads)]


class PyTriton(Triton):
    name = "Triton (Python back end), bound by pytriton"
    settings = (
        "nvidia-pytriton 0.7.0 with Triton 2.51.0; @batch callables, DynamicBatcher without delay, max_batch_size 64, "
        "after its documents on binding models"
    )

    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        script = str(SERVERS / "triton_server.py")
        own = ["--metrics_port", str(base + 2)]
        return [str(self.environment.python), script, *own, *server_flags(base, models, threads)]
