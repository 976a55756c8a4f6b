"""operator.yaml: read whole, and every fault names its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead_operator.config import ConfigFault, parse, read

SMALL: dict[str, Any] = {
    "registry": {"uri": "http://mlflow:5000"},
    "pools": {
        "default": {"namespace": "ns", "service": "fairlead-default-control", "catalog": "fairlead-default-catalog"}
    },
    "lease": {"namespace": "ns", "name": "fairlead-operator"},
}
LARGE = """
installation: staging
registry: {uri: "http://mlflow:5000", intervalSeconds: 5, alias: live}
watchNamespaces: [a, b]
pools:
  gpu: {namespace: n, service: f-gpu-control, port: 9003, catalog: f-gpu-catalog, allowedNamespaces: [a]}
tags: {enabled: true, namespace: a, pools: [gpu]}
holdSeconds: 60
progressSeconds: 30
lease: {namespace: n, name: f-operator}
tokenFile: /etc/fairlead/control/token
takeover: true
listen: {host: 127.0.0.1, port: 0}
"""


def test_what_is_left_out_has_a_default() -> None:
    """All namespaces, no tags, port 8003, ten minutes of hold."""
    config = parse(SMALL)
    assert (config.installation, config.watch_namespaces, config.tags.enabled) == ("default", (), False)
    assert (config.pools["default"].port, config.hold_seconds, config.registry.interval_seconds) == (8003, 600.0, 2.0)
    assert config.watches("any")
    assert config.pools["default"].allows("any")


def test_the_registrys_address_may_come_from_the_environment() -> None:
    """A Secret's, as the chart hands it over."""
    assert parse({**SMALL, "registry": {"alias": "live"}}).registry.uri is None


def test_every_field_is_read(tmp_path: Path) -> None:
    """The whole document."""
    (tmp_path / "operator.yaml").write_text(LARGE)
    config = read(tmp_path / "operator.yaml")
    assert (config.installation, config.registry.alias, config.takeover) == ("staging", "live", True)
    assert (config.pools["gpu"].port, config.tags.pools, config.listen.port) == (9003, ("gpu",), 0)
    assert not config.watches("c")
    assert not config.pools["gpu"].allows("b")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"registy": {}}, "registy"),
        ({"registry": {"uri": "http://mlflow", "intervalSecond": 2}}, r"\$.registry: .*intervalSecond"),
        ({"registry": {"uri": ""}}, r"\$.registry.uri"),
        ({"registry": {"uri": "http://mlflow", "intervalSeconds": 0}}, r"\$.registry.intervalSeconds"),
        ({"pools": {}}, r"\$.pools: names no pool"),
        ({"pools": {"A": SMALL["pools"]["default"]}}, r"\$.pools: 'A'"),
        ({"pools": {"a": {**SMALL["pools"]["default"], "port": 0}}}, r"\$.pools\[...\].port"),
        ({"pools": dict.fromkeys("ab", SMALL["pools"]["default"])}, r"\$.pools.a.catalog: another pool"),
        ({"tags": {"enabled": True}}, r"\$.tags.namespace: say where"),
        ({"tags": {"enabled": True, "namespace": "x", "pools": ["b"]}}, r"\$.tags.pools: 'b' is none"),
        ({"tags": {"enabled": True, "namespace": "x"}, "watchNamespaces": ["y"]}, r"\$.tags.namespace: 'x' is none"),
        ({"installation": "Prod"}, r"\$.installation"),
        ({"installation": "serve"}, r"\$.installation"),
        ({"lease": {"name": "it"}}, r"\$.lease.*namespace"),
        ({"holdSeconds": -1}, r"\$.holdSeconds"),
    ],
)
def test_a_fault_names_its_field(change: dict[str, Any], told: str) -> None:
    """So that whoever installs it knows which value to change."""
    with pytest.raises(ConfigFault, match=told):
        parse({**SMALL, **change})


def test_what_is_no_yaml_is_told(tmp_path: Path) -> None:
    """With the file's name."""
    (tmp_path / "operator.yaml").write_text("a: [")
    with pytest.raises(ConfigFault, match=r"operator.yaml: not YAML"):
        read(tmp_path / "operator.yaml")
