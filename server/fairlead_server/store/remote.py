"""What fsspec can open: cloud storage, a folder or a single file, each by its own optional package.

The only file with fsspec, and it is imported on first use. Credentials are the environment's (a role, the
cloud's own variables): a source that carries its own was refused before it came here. fsspec's own HTTP is not
used, see `download`. A library that hangs without a time limit of its own holds its thread: between two
pieces of a file we look at the clock, inside a call we cannot.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.source import SourceFile

_PIECE = 4 * 2**20
_S3, _GCS, _AZURE = "install s3fs (extra `s3`)", "install gcsfs (extra `gcs`)", "install adlfs (extra `azure`)"
_WHAT_TO_DO = {"s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS, "abfs": _AZURE, "abfss": _AZURE, "az": _AZURE}


class RemoteSource:
    def __init__(self, url: str, limits: Limits, deadline: Deadline) -> None:
        self._url = url
        self._limits = limits
        self._deadline = deadline
        self._system, self._root = self._open()

    def files(self) -> list[SourceFile]:
        found: list[SourceFile] = self._tried("listing", self._list)
        return found

    def copy(self, file: SourceFile, to: Path) -> None:
        reader = self._tried("opening", lambda: self._system.open(f"{self._root}/{file.path}", "rb"))
        with to.open("wb") as target, reader:
            while piece := self._tried("reading", lambda: reader.read(_PIECE)):
                if file.size is None:
                    self._deadline.more(len(piece))
                target.write(piece)
                self._deadline.check()
            written = target.tell()
        if file.size is not None and written != file.size:
            raise FetchFailure(f"{self._url}: {file.path!r} gave {written} of {file.size} bytes", retry=True)

    def close(self) -> None:
        pass

    def _open(self) -> tuple[Any, str]:
        try:
            import fsspec

            system, root = fsspec.core.url_to_fs(self._url)
        except ImportError as error:
            scheme = self._url.partition(":")[0]
            what = _WHAT_TO_DO.get(scheme, str(error))
            raise FetchFailure(f"{self._url} needs a package that is not here: {what}", retry=False) from None
        except ValueError as error:
            raise FetchFailure(f"{self._url} is no source that can be fetched: {error}", retry=False) from None
        except Exception as error:
            raise self._failed("opening", error) from error
        return system, str(root).rstrip("/")

    def _list(self) -> list[SourceFile]:
        self._system.invalidate_cache()  # another fetch may have listed it before it changed
        about = self._system.info(self._root)
        if about["type"] == "file":
            path = PurePosixPath(self._root)
            self._root = str(path.parent)
            return [SourceFile(path.name, about.get("size"))]
        found = self._system.find(self._root, detail=True)
        if len(found) > self._limits.files:
            raise FetchFailure(f"{self._url} holds more than {self._limits.files} files", retry=False)
        return [SourceFile(_below(self._root, name), facts.get("size")) for name, facts in found.items()]

    def _tried(self, doing: str, call: Any) -> Any:
        """These libraries raise anything; what is not a plain absence may pass."""
        try:
            return call()
        except FetchFailure:
            raise
        except Exception as error:
            raise self._failed(doing, error) from error

    def _failed(self, doing: str, error: Exception) -> FetchFailure:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return FetchFailure(f"{self._url} does not exist", retry=False)
        return FetchFailure(f"{doing} {self._url}: {type(error).__name__}: {error}", retry=True)


def _below(root: str, name: str) -> str:
    """`name` relative to `root`, as it stands: `check_name` refuses what does not lie below it."""
    return name.removeprefix(f"{root}/") if root else name.lstrip("/")
