"""The artifacts that an MLflow server hands out itself: `mlflow-artifacts+http(s)://HOST:PORT/PATH`.

Lists with `GET /api/2.0/mlflow-artifacts/artifacts?path=PATH` (names are relative to PATH, one level a
call) and fetches with `GET /api/2.0/mlflow-artifacts/artifacts/PATH/FILE`, as MLflow's own client does
(read in mlflow 3.17, server/handlers.py). mlflow itself is not imported: the server must run without it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from fairlead_server.store.download import Downloads
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.listing import ADDED_BY_CLIENTS
from fairlead_server.store.source import SourceFile

PREFIX = "mlflow-artifacts+"
_API = "/api/2.0/mlflow-artifacts/artifacts"


class _Entry(msgspec.Struct):
    path: str
    is_dir: bool = False
    file_size: int | None = None


class _Page(msgspec.Struct):
    files: list[_Entry] = []


_page = msgspec.json.Decoder(_Page, strict=False)  # 64-bit numbers are text in protobuf's JSON


class MlflowSource:
    def __init__(self, uri: str, limits: Limits, deadline: Deadline, environ: Mapping[str, str]) -> None:
        parts = urlsplit(uri.removeprefix(PREFIX))
        self._uri = uri
        self._root = unquote(parts.path).strip("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not self._root:
            raise FetchFailure(f"{uri!r} is not of the form {PREFIX}http://HOST:PORT/PATH", retry=False)
        self._limits = limits
        self._api = f"{parts.scheme}://{parts.netloc}{_API}"
        self._http = Downloads(limits, deadline, credentials(environ, parts))

    def files(self) -> list[SourceFile]:
        found: list[SourceFile] = []
        folders = [""]
        for folder in folders:  # which grows on the way
            for entry in self._list(folder):
                path = f"{folder}{entry.path}"
                if "/" in entry.path or entry.path in ("", ".", ".."):
                    raise FetchFailure(f"{self._uri} lists {path!r}, which is no plain name", retry=False)
                if entry.is_dir:
                    folders.append(f"{path}/")
                elif path not in ADDED_BY_CLIENTS:
                    found.append(SourceFile(path, entry.file_size))
            if len(found) + len(folders) > self._limits.files or folder.count("/") > self._limits.depth:
                raise FetchFailure(f"{self._uri} holds more than one model's folder may", retry=False)
        return found

    def copy(self, file: SourceFile, to: Path) -> None:
        self._http.to_file(f"{self._api}/{quote(f'{self._root}/{file.path}')}", to, file.size)

    def close(self) -> None:
        self._http.close()

    def _list(self, folder: str) -> list[_Entry]:
        path = f"{self._root}/{folder}".rstrip("/")

        def take(body: bytes) -> list[_Entry]:
            try:
                return _page.decode(body).files
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise FetchFailure(f"{self._api}?path={path} is no listing: {error}", retry=True) from None

        return self._http.read(self._api, {"path": path}, take)


def credentials(environ: Mapping[str, str], place: SplitResult) -> dict[str, str]:
    """From MLflow's own variables; a name with a password wins over a token, as in MLflow's client. Whoever registers a
    version chooses its `place`: where MLFLOW_TRACKING_URI says whose these are, no other server gets them."""
    tracking = environ.get("MLFLOW_TRACKING_URI")
    if tracking and _server(urlsplit(tracking)) != _server(place):
        return {}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _server(place: SplitResult) -> tuple[str, str]:
    host = place.netloc.rpartition("@")[2].lower()
    return place.scheme, host.removesuffix({"http": ":80", "https": ":443"}.get(place.scheme, ""))
