"""The operator as a process: killed at any moment it ends the same; it ends at once when asked; it refuses clearly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import loopback
import pytest

from fairlead_operator.documents import ModelEntry, read_catalog
from fairlead_operator.testing import Artifact, FakeRegistry, FakeReplica

pytestmark = [pytest.mark.timeout(150)]

SMALL = """
registry: {uri: "http://h"}
pools: {default: {namespace: n, service: s, catalog: c}}
lease: {namespace: n, name: l}
"""


def until(what: str, look: Callable[[], object], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.02)


class Pool:
    """A registry and two replicas on the loopback address, and the operator's folder."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.world = {f"/m/{n}": Artifact(n) for n in ("1", "2", "3")}
        self.world["/m/3"].broken = "model.onnx is cut short"
        self.registry = FakeRegistry()
        self.registry.register("m", *self.world)
        self.replicas = [FakeReplica(self.world, name) for name in ("a", "b")]
        self.uri = stack.enter_context(loopback.serve(loopback.registry(self.registry)))
        self.addresses = [stack.enter_context(loopback.serve(loopback.control(r))) for r in self.replicas]

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.json"

    @contextlib.contextmanager
    def operator(self, *more: str, registry: str = "") -> Iterator[subprocess.Popen[bytes]]:
        command = [
            *(sys.executable, "-m", "fairlead_operator", "operate", "--standalone"),
            *("--registry", registry or self.uri, "--pool", *self.addresses, "--catalog", str(self.catalog)),
            *("--state-dir", str(self.folder / "state"), "--interval", "0.2", "--hold", "1", *more),
        ]
        with (self.folder / "operator.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def entry(self) -> ModelEntry | None:
        if not self.catalog.exists():
            return None
        catalog = read_catalog(self.catalog.read_bytes())
        return catalog.models.get("m")

    def rest(self) -> tuple[object, ...]:
        """Where it has come to rest: the catalog's entry, every replica's route, the tags."""
        entry = self.entry()
        routes = [replica.routes.get("m", ({}, 0))[0] for replica in self.replicas]
        tags = {version: self.registry.tag("m", version, "status") for version in ("1", "2", "3")}
        return (sorted(entry.versions) if entry else [], entry.routed if entry else "", routes, tags)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with contextlib.ExitStack() as stack:
        yield Pool(tmp_path, stack)


def test_killed_at_any_moment_it_ends_the_same(pool: Pool) -> None:
    """SIGKILL before, in the middle of and after a promotion: the next operator ends where one alone would have."""
    pool.registry.promote("m", "1")
    with pool.operator():
        until("version 1 to be loading", lambda: pool.entry() is not None)
    with pool.operator():
        until("version 1 to serve", lambda: pool.rest()[1] == "1")
        pool.registry.promote("m", "2")
        until("version 2 to be loading", lambda: "2" in (pool.entry() or pytest.fail("no entry")).versions)
    with pool.operator():
        until("the switch", lambda: pool.rest()[1] == "2")
    pool.registry.promote("m", "3")
    with pool.operator() as process:
        tags = {"1": "retired", "2": "serving", "3": "refused: model.onnx is cut short (replica "}
        until("the refusal", lambda: pool.registry.tag("m", "3", "status").startswith(tags["3"]))
        until("the end", lambda: pool.rest()[:3] == (["2"], "2", [{"2": 1.0}, {"2": 1.0}]))
        until("the tags", lambda: [pool.registry.tag("m", v, "status") for v in "12"] == ["retired", "serving"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    report = json.loads((pool.folder / "state" / "rollouts.json").read_text())
    assert report["registry"]["error"] == ""
    line = report["rollouts"][0]
    assert (line["model"], line["phase"], line["stable"]) == ("m", "Refused", "2")
    assert "version 2 keeps serving" in line["reason"]
    for text in (pool.folder / "operator.log").read_text().splitlines():
        assert {"ts", "level", "who", "what"} <= set(json.loads(text))


def test_it_ends_at_once_while_the_registry_hangs(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT with a call to the registry under way: exit status 0, without waiting for it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # longer than the test waits
    asked, over = threading.Event(), threading.Event()

    def handle(method: str, path: str, query: dict[str, str], body: bytes) -> loopback.Answer:
        asked.set()
        over.wait(120)
        return 200, b"{}"

    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(loopback.serve(handle))
        process = stack.enter_context(pool.operator(registry=uri))
        stack.callback(over.set)
        until("the registry to be asked", asked.is_set)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_served_models_come_from_a_folder_too(pool: Pool) -> None:
    """A folder of ServedModel files asks for models that carry no tag; a broken file takes nothing away."""
    models = pool.folder / "models"
    models.mkdir()
    del pool.registry.models["m"].tags["fairlead.serve"]
    pool.registry.promote("m", "1", "blue")
    text = "apiVersion: fairlead.dev/v1alpha1\nkind: ServedModel\nmetadata: {name: shop}\n"
    (models / "shop.yaml").write_text(text + "spec: {model: m, alias: blue, settings: {max_batch_size: 4}}\n")

    def shop() -> ModelEntry | None:
        return read_catalog(pool.catalog.read_bytes()).models.get("shop") if pool.catalog.exists() else None

    with pool.operator("--models-from", str(models)):
        until("shop to serve", lambda: (found := shop()) and found.routed == "1")
        found = shop()
        assert found is not None
        assert found.versions["1"].settings == {"max_batch_size": 4}
        (models / "shop.yaml").write_text("spec: [")
        report = pool.folder / "state" / "rollouts.json"
        until("the fault", lambda: "shop.yaml" in report.read_text())
        time.sleep(1)
        assert shop() is not None
        (models / "shop.yaml").unlink()
        until("shop to be left out", lambda: shop() is None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pool", "a:1"], "name the registry"),
        (["--registry", "local", "--pool", "a:1"], "is no address"),
        (["--registry", "http://h"], "--pool HOST:PORT"),
        (["--registry", "http://h", "--pool", "nonsense"], "no control address"),
        (["--registry", "http://h", "--pool", "a:1", "--models-from", "/nowhere"], "is no folder"),
        (["--registry", "http://h", "--pool", "a:1", "--installation", "Status"], "lower-case letters"),
    ],
)
def test_wrong_arguments_get_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    """It does not start, exits with 2, and says on one line what to write."""
    command = [sys.executable, "-m", "fairlead_operator", "operate", "--standalone"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [*command, "--catalog", str(tmp_path / "c.json"), *arguments],
        capture_output=True, text=True, timeout=30, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_catalog_of_another_installation_is_refused(tmp_path: Path) -> None:
    """The stored catalog names its owner; another one starts only when told to take over."""
    from fairlead_operator.__main__ import main

    path = tmp_path / "c.json"
    path.write_text('{"apiVersion": "fairlead.dev/catalog/v1", "generation": 3, "owner": "theirs", "models": {}}')
    before = path.read_bytes()
    arguments = ["operate", "--standalone", "--registry", "http://127.0.0.1:9", "--pool", "127.0.0.1:9"]
    assert main([*arguments, "--catalog", str(path)]) == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("pools: {}", (), "operator.yaml: $: Object missing required field"),
        (SMALL, (), "no pod's service account, and no --kubeconfig"),
        (SMALL, ("--kubeconfig", "/nowhere"), "--kubeconfig /nowhere"),
        (SMALL, ("--standalone",), "not both"),
    ],
)
def test_a_wrong_configuration_gets_one_line(tmp_path: Path, text: str, more: tuple[str, ...], message: str) -> None:
    """On Kubernetes as well."""
    (tmp_path / "operator.yaml").write_text(text)
    command = [sys.executable, "-m", "fairlead_operator", "operate", "--config", str(tmp_path / "operator.yaml"), *more]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KUBE")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
