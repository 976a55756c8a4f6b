"""What tests against a real API server share. Each process of a test run has a server of its own (0.4 GB).

    def test_something(api_server: ApiServer, namespace: str) -> None: ...

Every test in this folder is marked `kube`, and has LIMIT_S: the first one of a process also starts the server.
`kuberay`, `gateway_api` and `served_models` (our own) install resource definitions, once, when a test first asks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from kube.api_server import ApiServer
from kube.namespaces import make_namespace, remove_namespace

from local_cluster.crds import crds
from local_cluster.programs import api_server_here

LIMIT_S = 300.0  # two busy cores; a test may ask for another

_numbers = count(1)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.kube)
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Ready; a test that kills it starts it again before it ends."""
    with ApiServer(api_server_here(), tmp_path_factory.mktemp("kube")) as server:
        yield server


@pytest.fixture
def namespace(api_server: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for this test alone; afterwards it is gone with all that was in it."""
    words = re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = f"{words[:40].strip('-')}-{next(_numbers)}"
    make_namespace(api_server.http, name)
    yield name
    remove_namespace(api_server.http, name)


@pytest.fixture(scope="session")
def kuberay(api_server: ApiServer) -> ApiServer:
    """KubeRay's definitions (RayService, RayCluster, ...) are served."""
    api_server.install(crds("kuberay", _say))
    return api_server


@pytest.fixture(scope="session")
def gateway_api(api_server: ApiServer) -> ApiServer:
    """The Gateway API's standard definitions (HTTPRoute, GRPCRoute, ...) are served."""
    api_server.install(crds("gateway-api", _say))
    return api_server


@pytest.fixture(scope="session")
def served_models(api_server: ApiServer) -> ApiServer:
    """Our own definition, as the chart installs it, is served."""
    api_server.install(Path(__file__).resolve().parents[2] / "charts" / "fairlead" / "files" / "servedmodels.yaml")
    return api_server


@pytest.fixture(scope="session")
def kserve(api_server: ApiServer) -> ApiServer:
    """KServe's definitions (ServingRuntime, InferenceService, ...) are served."""
    api_server.install(crds("kserve", _say))
    return api_server


def _say(line: str) -> None:
    print(line, file=sys.stderr)
