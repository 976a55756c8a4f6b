"""MLflow's registry by its REST API: the few calls that the commands need.

mlflow itself is not imported: the command line works where it is not installed, and starts at once.
Credentials are MLflow's own: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from fairlead_cli.errors import CommandError

_API = "/api/2.0/mlflow"


@dataclass(frozen=True)
class RegisteredModel:
    """A model as the registry tells it; `aliases` maps names to versions."""

    name: str
    aliases: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version as the registry tells it. `updated` is in milliseconds of Unix time."""

    version: str
    tags: dict[str, str]
    updated: int


class Registry:
    """One registry; `transport` is for tests."""

    def __init__(self, address: str, transport: httpx.BaseTransport | None = None) -> None:
        if not address.startswith(("http://", "https://")):
            raise CommandError(f"{address!r} is no registry that can be asked: give http://HOST:PORT by --registry")
        self.address = address.rstrip("/")
        self._client = httpx.Client(timeout=20.0, transport=transport, headers=_token(), auth=_password())

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def model(self, name: str) -> RegisteredModel:
        """The model; CommandError when there is none."""
        found = self._call("GET", "/registered-models/get", "registered_model", name=name)
        aliases = {entry["alias"]: str(entry["version"]) for entry in found.get("aliases", [])}
        return RegisteredModel(found["name"], aliases, _tags(found))

    def version(self, name: str, version: str) -> RegisteredVersion:
        """One version of the model; CommandError when there is none."""
        return _version(self._call("GET", "/model-versions/get", "model_version", name=name, version=version))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions, page by page."""
        quoted = name.replace("'", "''")
        asked = {"filter": f"name='{quoted}'", "max_results": "200"}
        found: list[RegisteredVersion] = []
        while True:
            page = self._call("GET", "/model-versions/search", "", **asked)
            found += map(_version, page.get("model_versions", []))
            if not page.get("next_page_token"):
                return found
            asked["page_token"] = page["next_page_token"]

    def artifacts(self, name: str, version: str) -> str:
        """The folder of the version's files, relative to the server's artifact store."""
        uri = self._call("GET", "/model-versions/get-download-uri", "", name=name, version=version).get("artifact_uri")
        scheme, _, path = str(uri).partition(":")
        if scheme != "mlflow-artifacts":
            raise CommandError(f"version {version} of {name} does not lie in MLflow's own artifact store, but at {uri}")
        return path.lstrip("/")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Moves the alias to this version."""
        self._call("POST", "/registered-models/alias", "", name=name, alias=alias, version=version)

    def _call(self, method: str, path: str, part: str, **values: str) -> dict[str, Any]:
        """The answer, or the `part` of it that counts."""
        where = {"params": values} if method == "GET" else {"json": values}
        try:
            answer = self._client.request(method, self.address + _API + path, **where)  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(
                f"no answer from MLflow at {self.address} ({error or type(error).__name__}): "
                "is it running? --registry or MLFLOW_TRACKING_URI names another"
            ) from error
        body = _object(answer)
        if answer.status_code != 200 and body:
            raise CommandError(f"MLflow refuses: {body.get('message') or body}")
        found = body.get(part) if body is not None and part else body
        if answer.status_code != 200 or not isinstance(found, dict):
            raise CommandError(f"{self.address} answers, but not as MLflow does (status {answer.status_code})")
        return found


def _object(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _version(found: dict[str, Any]) -> RegisteredVersion:
    return RegisteredVersion(str(found["version"]), _tags(found), int(found.get("last_updated_timestamp", 0)))


def _tags(found: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}


def _token() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _password() -> tuple[str, str] | None:
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None
