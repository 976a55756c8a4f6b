"""The peers' environments: one virtual environment each, outside the repository's own, made when first wanted.

Named after the lock's hash, so a new lock is a new environment, and one that was made is never changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.load.tools import cache_folder

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "hack" / "locks" / "peers"
INSTALL_S = 1800


class InstallFailed(Exception):
    """An environment could not be made; the text holds what the installer said last."""


class Environment:
    """`interpreter` is the Python that it is made with."""

    def __init__(self, name: str, *, interpreter: Path | None = None, cache: Path | None = None) -> None:
        self.name = name
        self.lock = LOCKS / f"{name}.txt"
        self._interpreter = interpreter or Path(sys.executable)
        key = hashlib.sha256(self.lock.read_bytes() + str(self._interpreter).encode()).hexdigest()[:12]
        self.folder = (cache or cache_folder()) / f"{name}-{key}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def ready(self) -> bool:
        return self._stamp.exists()

    def commands(self) -> tuple[Sequence[str], ...]:
        """What makes it, in this order."""
        uv = str(Path(sys.executable).with_name("uv"))
        make = [uv, "venv", "--quiet", "--clear", "--python", str(self._interpreter), str(self.folder)]
        fill = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(self.python), str(self.lock)]
        return make, fill

    def make(self) -> None:
        """Does nothing when it is there; another run that makes it is waited for. Raises InstallFailed."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.folder.with_suffix(".making").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if self.ready():
                return
            for command in self.commands():
                self._run(command)
            self._stamp.touch()

    @property
    def _stamp(self) -> Path:
        return self.folder / "complete"

    def _run(self, command: Sequence[str]) -> None:
        """uv reads no settings of pip: hack/registry.sh hands it the index that the repository's own set-up has."""
        handed = ["bash", "-c", 'source hack/registry.sh; exec "$@"', "bash", *command]
        try:
            done = subprocess.run(handed, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise InstallFailed(f"{self.name} was not installed within {INSTALL_S} s") from None
        if done.returncode:
            raise InstallFailed(f"{self.name}: {done.stderr.strip()[-2000:]}")
