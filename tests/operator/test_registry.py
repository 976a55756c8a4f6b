"""The registry's door against a real MLflow server, and against one that misbehaves."""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from awkward_proxy import Answer, AwkwardProxy
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
ASKED = "/api/2.0/mlflow/registered-models/get?name={}"


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

    def of_run(self, model: str, run: str) -> None:
        """The model with one promoted version, whose source names a run."""
        self.register(model)
        self.call("model-versions/create", name=model, source=f"runs:/{run}/model", run_id=run)
        self.promote(model, "1")

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
    assert [call for call in proxy.calls if "registered-models/get" in call] == [ASKED.format("nowhere")]
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


@pytest.mark.parametrize("one_by_one", [10, 1])
def test_what_is_no_name_is_gone_and_stops_nothing(
    human: Human, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    """Anybody may ask for a model by a name that MLflow refuses to look up: it is not there."""
    monkeypatch.setattr(door, "ONE_BY_ONE", one_by_one)
    for name in (" ", ".", "..", "..x"):
        snapshot = MlflowRegistry(mlflow.uri, KEYS).snapshot([name, "quiet"], CHOOSE)
        assert {"plain", "quiet"} <= set(snapshot.models)
        assert snapshot.gone == (name,)
        assert "no name" in snapshot.hints.get(name, "")


@pytest.mark.parametrize("one_by_one", [10, 2])
def test_a_model_that_may_not_be_read_is_not_gone(
    human: Human, proxy: AwkwardProxy, monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    """MLflow's basic-auth says 403 of it, and all others are read. A search that is denied says nothing at all."""
    monkeypatch.setattr(door, "ONE_BY_ONE", one_by_one)
    proxy.mode, proxy.only = "403", lambda path: path == ASKED.format("secret")
    names = ["quiet", "secret", "nowhere"]
    registry = MlflowRegistry(proxy.uri, KEYS)
    snapshot = registry.snapshot(names, CHOOSE)
    assert {"plain", "quiet"} <= set(snapshot.models)
    assert (snapshot.gone, snapshot.denied) == (("nowhere",), ("secret",))
    proxy.only = lambda path: "search" in path
    with pytest.raises(RegistryUnavailable, match="Permission denied"):
        registry.snapshot(names, CHOOSE)


def test_a_version_that_may_not_be_read_denies_its_model(human: Human, proxy: AwkwardProxy) -> None:
    """That model is neither there nor gone while it lasts, whether the version was known before or not."""
    registry = MlflowRegistry(proxy.uri, KEYS)
    before = registry.snapshot([], CHOOSE)
    proxy.mode, proxy.only = "403", lambda path: "model-versions/get?name=plain" in path
    for _ in range(2):
        snapshot = registry.snapshot([], CHOOSE)
        assert (snapshot.denied, snapshot.gone) == (("plain",), ())
        assert set(snapshot.models) == set(before.models) - {"plain"}
        assert "plain" not in snapshot.versions
    proxy.mode = ""
    assert registry.snapshot([], CHOOSE) == before


class CaseBlindProxy(AwkwardProxy):
    """As MySQL usually compares: the name in capitals finds the model."""

    def _pass_on(self, request: http.server.BaseHTTPRequestHandler, body: bytes | None) -> Answer:
        request.path = request.path.replace("name=QUIET", "name=quiet").replace("name=odd", "name=plain")
        return super()._pass_on(request, body)


def test_another_case_of_a_name_is_not_that_model(human: Human, mlflow: MlflowServer) -> None:
    """The registry answers of `quiet` when asked for `QUIET`: there is none, and how it is spelled is told. An answer
    of an altogether different model says nothing."""
    proxy = CaseBlindProxy(mlflow.uri)
    try:
        snapshot = MlflowRegistry(proxy.uri, KEYS).snapshot(["QUIET"], CHOOSE)
        assert "plain" in snapshot.models
        assert (snapshot.gone, snapshot.hints) == (("QUIET",), {"QUIET": "it has 'quiet'"})
        with pytest.raises(RegistryUnavailable, match="it answered of 'plain'"):
            MlflowRegistry(proxy.uri, KEYS).snapshot(["odd"], CHOOSE)
    finally:
        proxy.close()


def test_a_source_that_leads_nowhere_is_its_versions_problem(human: Human, mlflow: MlflowServer) -> None:
    """A run that is not there, such as one that `mlflow gc` removed, and one that has no run's name: all other models
    are read."""
    runs = {"0" * 32: "the registry does not have that", "a$b": "the registry takes that for no name"}
    for run, why in runs.items():
        human.of_run("dangling", run)
        snapshot = MlflowRegistry(mlflow.uri, KEYS).snapshot([], CHOOSE)
        target = snapshot.versions["dangling"]["1"]
        assert target is not None
        assert (target.source, target.problem) == ("", f"its source runs:/{run}/model leads nowhere: {why}")
        assert "plain" in snapshot.versions
        human.call("registered-models/delete", "DELETE", name="dangling")


def test_a_source_that_may_be_read_again_is_read(human: Human, proxy: AwkwardProxy) -> None:
    """A denied run is the version's problem for as long as it is denied; an error on the way is no answer."""
    import mlflow as real

    run = real.MlflowClient(proxy.uri).create_run("0")
    human.of_run("of-a-run", run.info.run_id)
    registry = MlflowRegistry(proxy.uri, KEYS)
    proxy.mode, proxy.only = "503", lambda path: "runs/get" in path
    with pytest.raises(RegistryUnavailable):
        registry.snapshot([], CHOOSE)
    proxy.mode = "403"
    denied = registry.snapshot([], CHOOSE).versions["of-a-run"]["1"]
    assert denied is not None
    assert denied.source == ""
    assert "does not let the operator's user read" in denied.problem
    proxy.mode = ""
    target = registry.snapshot([], CHOOSE).versions["of-a-run"]["1"]
    assert target is not None
    assert (target.source.endswith(f"/{run.info.run_id}/artifacts/model"), target.problem) == (True, "")
    proxy.mode = "403"
    again = registry.snapshot([], CHOOSE).versions["of-a-run"]["1"]
    assert again == target, "what is known is not asked for again"


def test_a_version_beyond_all_numbers_is_not_asked_for(human: Human, proxy: AwkwardProxy) -> None:
    """PostgreSQL takes a number above its range for an error, which would be the whole snapshot's."""
    fixed = lambda model: ["2147483648"] if model.name == "plain" else []  # noqa: E731
    assert MlflowRegistry(proxy.uri, KEYS).snapshot([], fixed).versions["plain"] == {"2147483648": None}
    assert not any("model-versions/get" in call for call in proxy.calls)


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
        ("mlflow-artifacts+http://other:1/0/m", "http://h:5000", "", "none that MLflow knows"),
        ("/models/a", "sqlite:///x.db", "/models/a", ""),
        ("file:///models/a", "http://h", "file:///models/a", ""),
        ("s3://b/a", "http://h", "s3://b/a", ""),
        ("./mlruns/a", "http://h", "", "relative path"),
        ("s3://[half/a", "http://h", "", "is no URI"),
        ("https://me:secret@h/a.onnx", "http://h", "", "holds no secret"),
    ],
)
def test_sources_as_a_replica_can_fetch_them(uri: str, registry: str, source: str, problem: str) -> None:
    """MLflow's proxied artifacts get the server's address; what cannot be fetched elsewhere says why."""
    found, why = fetchable(uri, registry)
    assert found == source
    assert problem in why
    assert bool(found) != bool(why)
