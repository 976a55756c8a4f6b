"""What a source URI names. Opens nothing but what the URI's form decides; the kinds are told apart here only.

/abs/path, file:///abs/path                a folder or a file here            local
mlflow-artifacts+http(s)://HOST:PORT/PATH  MLflow's proxied artifacts         mlflow_http
http(s)://...                              a single file                      HttpFile, below
anything else with a scheme                what fsspec opens                  remote
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fairlead_server.store.download import Downloads
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.local import LocalSource
from fairlead_server.store.mlflow_http import PREFIX, MlflowSource
from fairlead_server.store.remote import RemoteSource
from fairlead_server.store.source import Source, SourceFile

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_REGISTRY = ("models:", "runs:", "mlflow-artifacts:")


def open_source(uri: str, limits: Limits, deadline: Deadline) -> Source:
    """Raises FetchFailure(retry=False) for what names no source."""
    if uri.startswith("/"):
        return LocalSource(Path(uri), limits, deadline)
    if not _SCHEME.match(uri):
        raise FetchFailure(f"{uri!r} is a relative path: give an absolute one, or a URL", retry=False)
    if uri.startswith("file:"):
        return LocalSource(_file_path(uri), limits, deadline)
    _refuse_registry(uri)
    _refuse_secrets(uri)
    if uri.startswith(PREFIX):
        return MlflowSource(uri, limits, deadline, os.environ)
    kind: Callable[[str, Limits, Deadline], Source] = HttpFile if uri.startswith(("http:", "https:")) else RemoteSource
    return kind(uri, limits, deadline)


class HttpFile:
    """One file by HTTP, under the last part of its path."""

    def __init__(self, url: str, limits: Limits, deadline: Deadline) -> None:
        self._url = url
        self._http = Downloads(limits, deadline)

    def files(self) -> list[SourceFile]:
        name = PurePosixPath(unquote(urlsplit(self._url).path)).name
        if not name:
            raise FetchFailure(f"{self._url} names no file: over HTTP, a version is a single file", retry=False)
        return [SourceFile(name, None)]

    def copy(self, file: SourceFile, to: Path) -> None:
        self._http.to_file(self._url, to, file.size)

    def close(self) -> None:
        self._http.close()


def _file_path(uri: str) -> Path:
    """Not by urlsplit: unescaped `#` and `?` in a file's name are part of it."""
    rest = uri.removeprefix("file:")
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise FetchFailure(
                f"{uri!r} names a file on the host {host!r}: only this machine's can be read", retry=False
            )
        rest = slash + path
    if not rest.startswith("/"):
        raise FetchFailure(f"{uri!r} is no absolute path: write file:///folder/file", retry=False)
    return Path(unquote(rest))


def _refuse_registry(uri: str) -> None:
    if uri.startswith(_REGISTRY):
        raise FetchFailure(
            f"{uri!r} is known to MLflow only: a catalog names the place itself, as the operator writes it", retry=False
        )


def _refuse_secrets(uri: str) -> None:
    try:
        parts = urlsplit(uri.removeprefix(PREFIX))
    except ValueError as error:
        raise FetchFailure(f"{uri!r} is no URL: {error}", retry=False) from None
    # Azure names its container before the @, so only a password is one there.
    if parts.password is not None or (parts.username is not None and parts.scheme in ("http", "https")):
        place = uri.partition("://")[0] + "://" + parts.netloc.rpartition("@")[2]
        raise FetchFailure(f"the source at {place} holds credentials: they belong in the environment", retry=False)
