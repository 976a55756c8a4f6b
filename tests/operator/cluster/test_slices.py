"""Control addresses from EndpointSlices: every endpoint, ready or not, each once."""

from __future__ import annotations

from typing import Any

from fairlead_operator.cluster.slices import addresses


def piece(*hosts: str, ports: Any = None, ready: bool = True) -> dict[str, Any]:
    ends = [{"addresses": [host], "conditions": {"ready": ready}} for host in hosts]
    return {"endpoints": ends, "ports": ports}


def test_ready_or_not_and_each_once() -> None:
    """A pod may stand in two slices while they are being divided."""
    found = addresses([piece("10.0.0.2", "10.0.0.1"), piece("10.0.0.1", ready=False)], 8003)
    assert found == ("http://10.0.0.1:8003", "http://10.0.0.2:8003")


def test_the_slice_names_the_port() -> None:
    """By its name; other ports are not ours."""
    ports = [{"name": "http", "port": 8000}, {"name": "control", "port": 9003}]
    assert addresses([piece("10.0.0.1", ports=ports)], 8003) == ("http://10.0.0.1:9003",)
    assert addresses([piece("10.0.0.1", ports=ports[:1])], 8003) == ("http://10.0.0.1:8003",)


def test_an_address_of_the_sixth_version_has_brackets() -> None:
    """And an empty slice has no endpoints at all, not even an empty list."""
    assert addresses([piece("fd00::1"), {"endpoints": None, "ports": None}], 8003) == ("http://[fd00::1]:8003",)
