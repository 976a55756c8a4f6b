"""The MLflow registry: complete snapshots in, tags out. The only file with mlflow.

Every method blocks, with a time limit for each request and one for the whole snapshot; call it from a thread
of its own. All it ever raises is RegistryUnavailable: an error, a broken or a half answer is never an absence. What
the registry itself answers of one name, or of one version's source, is that one's fate and stops no other.

    search_registered_models (all pages)  +  get_registered_model for each name that must be accounted for; where
    those are many, all models instead, and get_registered_model for the few that are not among them
        -> versions that aliases name -> their source as a replica can fetch it
"""

from __future__ import annotations

import contextlib
import os
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fairlead_operator.spec import Tags
from fairlead_operator.state import RegisteredModel, RegistryUnavailable, Snapshot, Target

PAGE = 500
ONE_BY_ONE = 10  # models that no tag finds are asked for singly; for more, all models are read
# Known versions that are read again in one snapshot: those that were promoted lately, whose tags may still be
# changed, and a few of all the others in turn. Each costs the registry a request.
LATELY_S = 900.0
REREAD_LATE, REREAD_OTHER = 10, 3
DEPTH = 3  # sources that name another place in the registry are followed so far
HIGHEST = 2**31 - 1  # version; a database may take a higher one for an error, and not for an absence

# mlflow's own defaults are 120 s and 7 retries: a poll is worth less than that.
_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DO_NOT_TRACK": "true",
}

# What the registry itself answers of one thing; every other error says nothing of it.
_MISSING, _INVALID, _DENIED = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED"
_MEANS = {
    _MISSING: "the registry does not have that",
    _INVALID: "the registry takes that for no name",
    _DENIED: "the registry does not let the operator's user read that",
}


class _Names(msgspec.Struct):
    """What became of the names of one look. `gone`: with what more is known of it, or ""."""

    models: dict[str, RegisteredModel]
    gone: dict[str, str] = {}
    denied: list[str] = []


class _Known(msgspec.Struct, frozen=True):
    source: str
    target: Target
    first_at: float
    read_at: float


class MlflowRegistry:
    """One registry at `uri`, seen by one installation. Not safe for several threads at once."""

    def __init__(self, uri: str, keys: Tags, snapshot_limit_s: float = 60.0) -> None:
        self._uri = uri
        self._keys = keys
        self._limit_s = snapshot_limit_s
        self._client: Any = None
        self._untagged = 0  # models of the last snapshot that no tag finds
        self._pages = 0  # of all models, when they were read last
        self._known: dict[tuple[str, int, str], _Known] = {}

    def open(self) -> None:
        """Imports mlflow, which takes seconds; the first call would do it as well. Talks to nobody."""
        with self._trouble("opening the registry's client"):
            self._mlflow()

    def snapshot(self, names: Collection[str], choose: Callable[[RegisteredModel], Collection[str]]) -> Snapshot:
        """All models that ask to be served, those of `names`, and the versions that `choose` picks of each.

        Raises RegistryUnavailable unless everything was answered."""
        deadline = time.monotonic() + self._limit_s
        with self._trouble("reading the registry"):
            found = self._whole(names, deadline) if self._many() else self._asked(names, deadline)
            untagged = [model for model in found.models.values() if not self._keys.asks(model.tags)]
            self._untagged = len(untagged) + len(found.gone) + len(found.denied)
            versions = self._versions(found, choose, deadline)
        hints = {name: hint for name, hint in found.gone.items() if hint}
        return Snapshot(found.models, tuple(found.gone), versions, tuple(found.denied), hints)

    def _many(self) -> bool:
        """Whether reading all models costs the registry less than asking for those that no tag finds one by one."""
        return self._untagged > max(ONE_BY_ONE, self._pages)

    def _asked(self, names: Collection[str], deadline: float) -> _Names:
        found = _Names({})
        for key in dict.fromkeys(("fairlead.serve", self._keys.key("serve"))):
            found.models |= self._search(f"tags.`{key}` = 'true'", deadline)[0]
        missing = sorted(set(names) - set(found.models))
        if len(missing) > max(ONE_BY_ONE, self._pages):
            return self._whole(names, deadline)
        self._singly(missing, found, deadline)
        return found

    def _whole(self, names: Collection[str], deadline: float) -> _Names:
        every, self._pages = self._search(None, deadline)
        if not every:
            raise RegistryUnavailable("asked for all models, it answered with none: that is no absence")
        found = _Names({name: model for name, model in every.items() if name in names or self._keys.asks(model.tags)})
        missing = sorted(set(names) - set(found.models))
        # What may not be read is left out of a search without a word; beyond a few it is told as gone.
        self._singly(missing[:ONE_BY_ONE], found, deadline)
        found.gone |= dict.fromkeys(missing[ONE_BY_ONE:], "")
        return found

    def _singly(self, names: Iterable[str], found: _Names, deadline: float) -> None:
        for name in names:
            self._model(name, found)
            self._check(deadline)

    def write_tag(self, model: str, version: str, name: str, value: str) -> None:
        """Sets one of our tags on a version; a version that is gone needs none. Raises RegistryUnavailable."""
        with self._trouble(f"writing {name} to {model} {version}"):
            key = self._keys.key(name)
            self._said(lambda: self._mlflow().set_model_version_tag(model, version, key, value), (_MISSING,))

    def _search(self, wanted: str | None, deadline: float) -> tuple[dict[str, RegisteredModel], int]:
        """All models, or those of a filter, and the number of pages that they took."""
        models: dict[str, RegisteredModel] = {}
        token, pages = None, 0
        while pages == 0 or token:
            page = self._mlflow().search_registered_models(filter_string=wanted, max_results=PAGE, page_token=token)
            models |= {found.name: _registered(found) for found in page}
            token, pages = page.token, pages + 1
            self._check(deadline)
        return models, pages

    def _model(self, name: str, into: _Names) -> None:
        found, refused = self._said(lambda: self._mlflow().get_registered_model(name))
        if refused == _DENIED:
            into.denied.append(name)
        elif refused:
            into.gone[name] = "" if refused == _MISSING else _MEANS[refused]
        elif found.name != name and _folded(found.name) == _folded(name):  # as many databases compare
            into.gone[name] = f"it has {found.name!r}"
        else:
            _of(found.name, name)
            into.models[name] = _registered(found)

    def _versions(
        self, names: _Names, choose: Callable[[RegisteredModel], Collection[str]], deadline: float
    ) -> dict[str, dict[str, Target | None]]:
        """By model. A model of which some version may not be read is moved to those that are denied."""
        models = list(names.models.values())
        keys = dict.fromkeys((model.name, model.created, version) for model in models for version in choose(model))
        self._known = {key: known for key, known in self._known.items() if key in keys}
        stale = self._stale(time.monotonic())
        found: dict[str, dict[str, Target | None]] = {}
        for key in keys:
            name, _, version = key
            if (key in stale or key not in self._known) and name in names.models:
                if not self._read(key):
                    del names.models[name]
                    names.denied.append(name)
                self._check(deadline)
            known = self._known.get(key)
            found.setdefault(name, {})[version] = known.target if known else None
        return {name: versions for name, versions in found.items() if name in names.models}

    def _stale(self, now: float) -> list[tuple[str, int, str]]:
        oldest = sorted(self._known, key=lambda key: self._known[key].read_at)
        late = [key for key in oldest if now - self._known[key].first_at < LATELY_S][:REREAD_LATE]
        return late + [key for key in oldest if key not in late][:REREAD_OTHER]

    def _read(self, key: tuple[str, int, str]) -> bool:
        """Brings one version up to date; forgets it when the registry has it no more. False: it may not be read."""
        name, _, version = key
        if not version.isdecimal() or int(version) > HIGHEST:
            return True
        found, refused = self._said(lambda: self._mlflow().get_model_version(name, version))
        known = self._known.pop(key, None)
        if refused:
            return refused != _DENIED
        _of(f"{found.name} {found.version}", f"{name} {version}")
        # A problem may pass: a permission comes back.
        source, problem = (known.source, "") if known and known.source else self._source(name, version)
        tags = dict(found.tags or {})
        target = Target(
            version=version,
            source=source,
            problem=problem,
            status=tags.get(self._keys.key("status"), ""),
            digest=tags.get(self._keys.key("digest"), ""),
            allow_signature_change=(self._keys.get(tags, "allow_signature_change") or "").lower() == "true",
            settings=self._keys.settings(tags),
        )
        now = time.monotonic()
        self._known[key] = _Known(source, target, known.first_at if known else now, now)
        return True

    def _source(self, name: str, version: str) -> tuple[str, str]:
        """(a place that a replica can fetch, "") or ("", why there is none)."""
        uri = f"models:/{name}/{version}"
        for _ in range(DEPTH):
            found, refused = self._said(partial(self._follow, uri))
            if refused:
                return "", f"its source {uri} leads nowhere: {_MEANS[refused]}"
            if not found.startswith(("models:/", "runs:/")):
                return fetchable(found, self._uri)
            uri = found
        return "", f"its source {uri} leads nowhere"

    def _follow(self, uri: str) -> str:
        scheme, _, rest = uri.partition(":/")
        first, _, below = rest.strip("/").partition("/")
        if scheme == "runs":
            place = self._mlflow().get_run(first).info.artifact_uri
        elif below:
            return str(self._mlflow().get_model_version_download_uri(first, below))
        else:
            place = self._mlflow().get_logged_model(first).artifact_location
        return f"{place.rstrip('/')}/{below}" if below else str(place)

    def _said(self, call: Callable[[], Any], instead: Collection[str] = _MEANS) -> tuple[Any, str]:
        """(the call's result, ""), or (None, which of these codes the registry itself answered `instead`)."""
        try:
            return call(), ""
        except Exception as error:
            refused = getattr(error, "error_code", "")
            if refused not in instead:
                raise
            return None, refused

    def _check(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise RegistryUnavailable(f"it took longer than {self._limit_s:g} s to read the registry")

    def _mlflow(self) -> Any:
        if self._client is None:
            for name, value in _LIMITS.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._client

    @contextlib.contextmanager
    def _trouble(self, doing: str) -> Iterator[None]:
        try:
            yield
        except RegistryUnavailable:
            raise
        except Exception as error:  # mlflow lets requests', urllib3's, json's and its own through
            raise RegistryUnavailable(f"{doing}: {_short(str(error)) or type(error).__name__}") from None


def _of(answered: str, asked: str) -> None:
    """An answer that does not name what was asked for, such as an empty one, says nothing of it. Raises
    RegistryUnavailable."""
    if answered != asked:
        raise RegistryUnavailable(f"asked for {asked!r}, it answered of {answered!r}")


def _folded(name: str) -> str:
    """Without case, accents and blanks at its end, which a database's collation may not tell apart."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return plain.rstrip()


def _short(text: str) -> str:
    """One line; where it is long, its two ends: the cause stands last."""
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:120]} ... {text[-175:]}"


def _registered(found: Any) -> RegisteredModel:
    aliases = {alias: str(version) for alias, version in dict(found.aliases or {}).items()}
    return RegisteredModel(found.name, int(found.creation_timestamp or 0), dict(found.tags or {}), aliases)


def fetchable(uri: str, registry: str) -> tuple[str, str]:
    """(the source as it stands in a catalog, "") or ("", why a replica could not fetch it)."""
    scheme, colon, _ = uri.partition(":")
    try:
        netloc = urlsplit(uri).netloc
    except ValueError as error:
        return "", f"its source {uri!r} is no URI: {error}"
    if colon and scheme == "mlflow-artifacts":
        return _proxied(uri, registry)
    if scheme.startswith("mlflow-artifacts+"):  # as a catalog has it: it would name a server past the registry's word
        return "", f"its source {uri!r} is none that MLflow knows"
    if "@" in netloc and scheme in ("http", "https", "ftp"):
        return "", "its source holds a user name or a password, and a catalog holds no secret"
    if not colon and not uri.startswith("/"):
        return "", f"its source {uri!r} is a relative path, which only the machine that logged it understands"
    return uri, ""


def _proxied(uri: str, registry: str) -> tuple[str, str]:
    """Artifacts that the MLflow server hands out itself: from its address, and with no secret in it."""
    server, place = urlsplit(registry), urlsplit(uri)
    if server.scheme not in ("http", "https"):
        return (
            "",
            f"its source {uri} needs an MLflow server's address, and the registry is {server.scheme or registry}:",
        )
    if server.path.strip("/") and not place.netloc:
        return "", f"the registry lies below {server.path}, and artifacts below a path cannot be fetched"
    netloc = (place.netloc or server.netloc).rpartition("@")[2]
    return f"mlflow-artifacts+{server.scheme}://{netloc}/{place.path.strip('/')}", ""
