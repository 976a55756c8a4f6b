"""What a replica must not forget: proofs of versions, deaths in their name, and what is condemned.

One JSON line a record, fsynced before it is acted upon, beside the model cache; so it outlives supervisor and
container. A kill at any moment leaves whole lines and at most one torn one at the end, which is cut off.
Condemned is what killed its trial twice or its worker three times (rule 12); a version with other settings or
bytes has another key (`identity.key_of`), and is tried anew.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
from pathlib import Path

import msgspec

from fairlead_server import log
from fairlead_server.models.profile import Profile
from fairlead_server.models.signature import Signature
from fairlead_server.supervisor.files import sync_folder, write_durably

TRIAL_DEATHS = 2
WORKER_DEATHS = 3
MOST_LINES = 2000  # beyond it, and where half of it is outdated, the file is written anew at the next start
MOST_PROOFS = 10_000  # the newest are kept


class Proof(msgspec.Struct, frozen=True, tag="proof"):
    """`key` passed its trial, with this result, in this version of the runtime."""

    key: str
    digest: str
    runtime: str
    signature: Signature
    profile: Profile


class Death(msgspec.Struct, frozen=True, tag="death"):
    """A process died by a signal while it tried (`where` is "trial") or ran ("worker") `key`."""

    key: str
    where: str
    cause: str


class Condemned(msgspec.Struct, frozen=True, tag="condemned"):
    key: str
    reason: str


Record = Proof | Death | Condemned
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Journal:
    """Reads at `open`; `write` blocks on the disk, so call it off the loop where that matters."""

    def __init__(self, path: Path, runtime: str) -> None:
        self._path = path
        self._runtime = runtime
        self._proofs: dict[str, Proof] = {}
        self._deaths: dict[tuple[str, str], list[Death]] = {}
        self._condemned: dict[str, str] = {}
        self._digests: set[str] = set()
        self.broken_lines = 0

    @classmethod
    def open(cls, path: Path, runtime: str = "") -> Journal:
        journal = cls(path, runtime or runtime_version())
        lines = journal._read()
        if lines > max(MOST_LINES, 2 * len(journal._proofs)) or journal.broken_lines:
            try:
                journal._compact()
            except OSError as fault:  # a full disk: it counts as it is, and the fetcher may make room
                log.warning("journal_not_compacted", reason=str(fault))
        return journal

    def proof(self, key: str) -> Proof | None:
        found = self._proofs.get(key)
        return found if found is not None and found.runtime == self._runtime else None

    def knows(self, digest: str) -> bool:
        """Whether some version of these bytes was proven: then another trial is not likely."""
        return digest in self._digests

    def has_died(self, key: str) -> bool:
        """Whether a process has died of it, ever."""
        return any((key, where) in self._deaths for where in ("trial", "worker"))

    def condemned(self, key: str) -> str:
        """Why, or ""."""
        return self._condemned.get(key, "")

    def prove(self, key: str, digest: str, signature: Signature, profile: Profile) -> None:
        self.write([Proof(key, digest, self._runtime, signature, profile)])

    def died(self, key: str, where: str, cause: str) -> str:
        """Count a death. Why `key` is condemned now, or ""."""
        records: list[Record] = [Death(key, where, cause)]
        deaths = len(self._deaths.get((key, where), ())) + 1
        if deaths >= (TRIAL_DEATHS if where == "trial" else WORKER_DEATHS) and not self.condemned(key):
            records.append(Condemned(key, f"its {where} died {deaths} times of it, last: {cause}"))
        self.write(records)
        return self.condemned(key)

    def write(self, records: list[Record]) -> None:
        """Raises OSError; then the records do not count."""
        data = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        fresh = not self._path.exists()
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _append(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if fresh:
            sync_folder(self._path.parent)
        for record in records:
            self._take(record)

    def _take(self, record: Record) -> None:
        if isinstance(record, Proof):
            self._proofs.pop(record.key, None)
            self._proofs[record.key] = record
            if record.runtime == self._runtime:
                self._digests.add(record.digest)
        elif isinstance(record, Death):
            self._deaths.setdefault((record.key, record.where), []).append(record)
        else:
            self._condemned.setdefault(record.key, record.reason)

    def _read(self) -> int:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        whole, _, torn = data.rpartition(b"\n")
        if torn:  # never acted upon: the write was not finished
            os.truncate(self._path, len(data) - len(torn))
        lines = whole.split(b"\n") if whole else []
        for line in lines:
            try:
                self._take(_decoder.decode(line))
            except (msgspec.DecodeError, msgspec.ValidationError):
                self.broken_lines += 1
        return len(lines)

    def _compact(self) -> None:
        self._proofs = dict(list(self._proofs.items())[-MOST_PROOFS:])
        records: list[Record] = [*self._proofs.values()]
        records += [death for deaths in self._deaths.values() for death in deaths[-WORKER_DEATHS:]]
        records += [Condemned(key, reason) for key, reason in self._condemned.items()]
        write_durably(self._path, b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def _append(fd: int, data: bytes) -> None:
    """All of it or nothing: the next record would go on in a torn line, and both be lost."""
    before = os.fstat(fd).st_size
    if os.write(fd, data) < len(data):
        os.ftruncate(fd, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def runtime_version() -> str:
    """Of ONNX Runtime, without importing it: another version is another measurement."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
