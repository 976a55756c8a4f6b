"""The registry that the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.registry import Registry
from mlflow_server import start_mlflow


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    server = start_mlflow(tmp_path_factory.mktemp("mlflow"))
    registry = Registry(server)
    try:
        yield registry
    finally:
        registry.close()
        server.stop()
