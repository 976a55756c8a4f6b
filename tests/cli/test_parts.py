from pathlib import Path

import pytest

from fairlead_cli import parts
from fairlead_cli.folder import Folder


def test_the_pool_gets_its_four_ports_and_the_stored_catalog() -> None:
    """The ports follow each other in the order of the documents: HTTP, gRPC, metrics, control."""
    folder = Folder(Path("/data"))
    command = parts.pool(folder, parts.Plan(folder.root, engine="process", workers=2), 8010)
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert command[1:4] == ["-m", "fairlead_server", "serve"]
    assert [options[f"--{name}-port"] for name in ("http", "grpc", "metrics", "control")] == [
        "8010",
        "8011",
        "8012",
        "8013",
    ]
    assert (options["--engine"], options["--workers"]) == ("process", "2")
    assert options["--catalog"] == "/data/catalog.json"


def test_the_operator_writes_the_catalog_that_the_pool_reads() -> None:
    """One file, the control address of this pool, this registry."""
    folder = Folder(Path("/data"))
    at = parts.addresses(5010, 8010)
    command = parts.operator(folder, at)
    assert command[command.index("--catalog") + 1] == "/data/catalog.json"
    assert command[command.index("--pool") + 1] == at.control == "http://127.0.0.1:8013"
    assert command[command.index("--registry") + 1] == at.registry == "http://127.0.0.1:5010"


def test_nothing_goes_through_a_proxy_or_to_another_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is added to what the user excluded; an address of a running Ray is not passed on."""
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    environment = parts.environment(Path("/tmp/ray"))
    assert environment["NO_PROXY"] == environment["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert "RAY_ADDRESS" not in environment
    assert environment["RAY_TMPDIR"] == "/tmp/ray"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
