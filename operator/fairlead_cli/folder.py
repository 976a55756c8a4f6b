"""The data folder of `fairlead up`: what is kept between runs, who holds it, and where its parts can be reached.

    DATA/lock            held (flock) by the running `up` and the keepers of its parts
    DATA/up.json         the addresses of the running `up`, for the other commands; gone when it ends
    DATA/mlflow/         SQLite and artifacts
    DATA/catalog.json    the stored catalog: the operator writes it, the pool reads it
    DATA/pool/, DATA/operator/    their own state
    DATA/logs/           one file for each part, and that of the run before; Ray's own logs

This module must not know how a part is started.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fairlead_cli.errors import CommandError


@dataclass(frozen=True)
class Addresses:
    """Where the parts of a running `up` are."""

    registry: str
    http: str
    grpc: str  # host:port, as gRPC clients want it
    metrics: str
    control: str


class Folder:
    """A data folder; `hold` makes it this process's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mlflow = root / "mlflow"
        self.catalog = root / "catalog.json"
        self.pool = root / "pool"
        self.operator = root / "operator"
        self.logs = root / "logs"
        self.ray = self.logs / "ray"
        self._record = root / "up.json"
        self._lock = root / "lock"

    def hold(self) -> int:
        """Makes the folders and takes the lock; the descriptor holds it, in every process that has it open."""
        for folder in (self.root, self.mlflow, self.pool, self.operator, self.logs):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"cannot make {folder}: {error.strerror}; give another folder by --data") from error
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(lock, fcntl.LOCK_EX):
            os.close(lock)
            raise CommandError(
                f"`fairlead up` runs on {self.root} already, or is still ending: "
                "wait for it, end it by Ctrl-C, or give another folder by --data"
            )
        self.forget()  # a run that was killed could not
        return lock

    def tell(self, addresses: Addresses) -> None:
        """Writes down where the parts are, whole or not at all."""
        with tempfile.NamedTemporaryFile("w", dir=self.root, delete=False, suffix=".new") as new:
            json.dump(asdict(addresses), new)
        os.replace(new.name, self._record)

    def forget(self) -> None:
        """Takes back what `tell` wrote."""
        self._record.unlink(missing_ok=True)

    def running(self) -> Addresses | None:
        """Where the parts of the `up` on this folder are; None when none runs."""
        try:
            with self._lock.open() as lock:
                if _locked(lock.fileno(), fcntl.LOCK_SH):
                    return None  # nobody holds it: what is written there was left by a run that was killed
            return Addresses(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def default_folder() -> Path:
    """`fairlead` below the user's data folder (XDG_DATA_HOME)."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "fairlead"
