"""The registry's door against a real MLflow server, and against one that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from awkward_proxy import AwkwardProxy
from mlflow_server import MlflowServer, start_mlflow

from fairlead_operator import registry as door
from fairlead_operator.registry import MlflowRegistry, fetchable
from fairlead_operator.sightings import chooser
from fairlead_operator.spec import Tags
from fairlead_operator.state import RegistryUnavailable

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("mlflow"),
    # mlflow's own imports warn on this Python; none of it is ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pydantic.*"),
]

KEYS = Tags()
CHOOSE = chooser(KEYS, "champion", ())


class Human:
    """What a data scientist does, by MLflow's own HTTP API."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def call(self, path: str, method: str = "POST", **fields: Any) -> dict[str, Any]:
        url = f"{self.uri}/api/2.0/mlflow/{path}"
        answer = httpx.request(method, url, json=fields, timeout=20, trust_env=False)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def register(self, model: str, *sources: str, serve: bool = True) -> None:
        self.call("registered-models/create", name=model)
        if serve:
            self.call("registered-models/set-tag", name=model, key="fairlead.serve", value="true")
        for source in sources:
            self.call("model-versions/create", name=model, source=source)

    def promote(self, model: str, version: str, alias: str = "champion") -> None:
        self.call("registered-models/alias", name=model, alias=alias, version=version)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = start_mlflow(tmp_path_factory.mktemp("mlflow"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def human(mlflow: MlflowServer) -> Human:
    human = Human(mlflow.uri)
    human.register("plain", "s3://bucket/plain/1", "s3://bucket/plain/2")
    human.promote("plain", "1")
    human.register("My model.v1", "s3://bucket/other/1")
    human.register("quiet", "s3://bucket/quiet/1", serve=False)
    for i in range(4):
        human.register(f"filler-{i}")
    return human


@pytest.fixture
def proxy(mlflow: MlflowServer) -> Iterator[AwkwardProxy]:
    proxy = AwkwardProxy(mlflow.uri)
    try:
        yield proxy
    finally:
        proxy.close()


def test_a_snapshot_holds_all_that_asks_to_be_served(mlflow: MlflowServer, human: Human) -> None:
    """Tagged models, with aliases and the versions that aliases name; asked-for names; and what is gone."""
    snapshot = MlflowRegistry(mlflow.uri, KEYS).snapshot(["quiet", "nowhere"], CHOOSE)
    assert {"plain", "My model.v1", "quiet", "filler-0"} <= set(snapshot.models)
    assert snapshot.gone == ("nowhere",)
    assert snapshot.models["plain"].aliases == {"champion": "1"}
    target = snapshot.versions["plain"]["1"]
    assert target is not None
    assert (target.source, target.problem) == ("s3://bucket/plain/1", "")
    assert "My model.v1" not in snapshot.versions


def test_pages_are_read_to_the_end(mlflow: MlflowServer, human: Human, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of two models at a time gives the same snapshot."""
    whole = MlflowRegistry(mlflow.uri, KEYS).snapshot([], CHOOSE)
    monkeypatch.setattr(door, "PAGE", 2)
    assert MlflowRegistry(mlflow.uri, KEYS).snapshot([], CHOOSE) == whole


def test_many_names_cost_one_search(human: Human, proxy: AwkwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that no tag finds: one by one while they are few, all models at once where they are many."""
    few = MlflowRegistry(proxy.uri, KEYS).snapshot(["quiet", "nowhere"], CHOOSE)
    monkeypatch.setattr(door, "ONE_BY_ONE", 1)
    registry = MlflowRegistry(proxy.uri, KEYS)
    assert registry.snapshot(["quiet", "nowhere"], CHOOSE) == few
    proxy.calls.clear()
    assert registry.snapshot(["quiet", "nowhere"], CHOOSE) == few
    assert sum("registered-models/search" in call for call in proxy.calls) == 1
    assert not any("registered-models/get" in call for call in proxy.calls)
    proxy.mode = "empty"
    with pytest.raises(RegistryUnavailable, match="no absence"):
        registry.snapshot(["quiet", "nowhere"], CHOOSE)


def test_a_half_read_search_is_no_snapshot(human: Human, proxy: AwkwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page answers and the second does not: an error, not a smaller registry."""
    monkeypatch.setattr(door, "PAGE", 2)
    proxy.mode, proxy.only = "503", lambda path: "page_token" in path
    with pytest.raises(RegistryUnavailable, match="503"):
        MlflowRegistry(proxy.uri, KEYS).snapshot([], CHOOSE)
    assert len(proxy.calls) == 2


@pytest.mark.parametrize("mode", ["503", "half", "short", "html", "empty"])
def test_a_broken_answer_is_an_error(human: Human, proxy: AwkwardProxy, mode: str) -> None:
    """5xx, a body that is cut off, JSON that is cut off, a page of HTML, an empty object: none of them
    is an absence."""
    registry = MlflowRegistry(proxy.uri, KEYS)
    proxy.mode = mode
    with pytest.raises(RegistryUnavailable):
        registry.snapshot(["plain"], CHOOSE)
    proxy.only = lambda path: "registered-models/get" in path  # of the names that must be accounted for
    with pytest.raises(RegistryUnavailable):
        registry.snapshot(["quiet"], CHOOSE)
    proxy.mode = ""
    assert "plain" in registry.snapshot(["plain"], CHOOSE).models


def test_a_registry_that_hangs_is_an_error(human: Human, proxy: AwkwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is not answered ends at its time limit."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    proxy.mode = "hang"
    with pytest.raises(RegistryUnavailable, match=r"(?i)timed out|timeout"):
        MlflowRegistry(proxy.uri, KEYS).snapshot([], CHOOSE)


def test_nobody_there_is_an_error(human: Human) -> None:
    """A refused connection is an error, too."""
    with pytest.raises(RegistryUnavailable):
        MlflowRegistry("http://127.0.0.1:9", KEYS).snapshot([], CHOOSE)


def test_tags_are_written_and_read_back(mlflow: MlflowServer, human: Human) -> None:
    """The operator's tags carry the installation's name, and one installation does not see another's."""
    human.register("tagged", "s3://bucket/tagged/1")
    human.promote("tagged", "1")
    ours, theirs = MlflowRegistry(mlflow.uri, KEYS), MlflowRegistry(mlflow.uri, Tags("staging"))
    ours.write_tag("tagged", "1", "status", "refused: é")
    theirs.write_tag("tagged", "1", "digest", "sha256:00")
    mine = ours.snapshot([], CHOOSE).versions["tagged"]["1"]
    other = theirs.snapshot([], chooser(Tags("staging"), "champion", ())).versions["tagged"]["1"]
    assert mine is not None
    assert other is not None
    assert (mine.status, mine.digest) == ("refused: é", "")
    assert (other.status, other.digest) == ("", "sha256:00")
    ours.write_tag("tagged", "99", "status", "nobody is told")


def test_a_version_that_is_deleted_is_noticed(mlflow: MlflowServer, human: Human) -> None:
    """The next snapshot says that there is no such version, though it was known before."""
    human.register("short-lived", "s3://bucket/x/1")
    registry = MlflowRegistry(mlflow.uri, KEYS)
    fixed = lambda model: ["1"] if model.name == "short-lived" else []  # noqa: E731
    assert registry.snapshot([], fixed).versions["short-lived"]["1"] is not None
    human.call("model-versions/delete", "DELETE", name="short-lived", version="1")
    assert registry.snapshot([], fixed).versions["short-lived"]["1"] is None


def test_a_logged_model_is_resolved_to_what_can_be_fetched(mlflow: MlflowServer, human: Human, tmp_path: Path) -> None:
    """A version whose source is models:/m-... lies in MLflow's proxied artifacts, and can be listed there."""
    import mlflow as real

    client = real.MlflowClient(mlflow.uri)
    logged = client.create_logged_model(experiment_id="0")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    client.log_model_artifacts(logged.model_id, str(tmp_path))
    client.finalize_logged_model(logged.model_id, "READY")
    human.register("logged")
    human.call("model-versions/create", name="logged", source=f"models:/{logged.model_id}", model_id=logged.model_id)
    human.promote("logged", "1")
    target = MlflowRegistry(mlflow.uri, KEYS).snapshot([], CHOOSE).versions["logged"]["1"]
    assert target is not None
    base = f"mlflow-artifacts+{mlflow.uri}/"
    assert target.source.startswith(base)
    listed = httpx.get(
        f"{mlflow.uri}/api/2.0/mlflow-artifacts/artifacts",
        params={"path": target.source.removeprefix(base)},
        trust_env=False,
    )
    assert [file["path"] for file in listed.json()["files"]] == ["model.onnx"]


@pytest.mark.parametrize(
    ("uri", "registry", "source", "problem"),
    [
        ("mlflow-artifacts:/0/m/a", "http://h:5000", "mlflow-artifacts+http://h:5000/0/m/a", ""),
        ("mlflow-artifacts:/0/m", "https://u:p@h/", "mlflow-artifacts+https://h/0/m", ""),
        ("mlflow-artifacts://other:1/0/m", "http://h:5000", "mlflow-artifacts+http://other:1/0/m", ""),
        ("mlflow-artifacts:/0/m", "http://h:5000/mlflow", "", "lies below /mlflow"),
        ("mlflow-artifacts:/0/m", "sqlite:///x.db", "", "needs an MLflow server's address"),
        ("/models/a", "sqlite:///x.db", "/models/a", ""),
        ("file:///models/a", "http://h", "file:///models/a", ""),
        ("s3://b/a", "http://h", "s3://b/a", ""),
        ("./mlruns/a", "http://h", "", "relative path"),
        ("https://me:secret@h/a.onnx", "http://h", "", "holds no secret"),
    ],
)
def test_sources_as_a_replica_can_fetch_them(uri: str, registry: str, source: str, problem: str) -> None:
    """MLflow's proxied artifacts get the server's address; what cannot be fetched elsewhere says why."""
    found, why = fetchable(uri, registry)
    assert found == source
    assert problem in why
    assert bool(found) != bool(why)
