"""How a pool is reached: Services, routes, monitors, budgets."""

from __future__ import annotations

from typing import Any

import pytest
from chart.everything import EVERYTHING
from chart.rendering import container, pods, render, worker


def ports(service: Any) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize(
    ("name", "wanted", "headless"),
    [
        ("fairlead-default", {"http": 8000, "grpc": 8001}, False),
        ("fairlead-default-metrics", {"metrics": 8002}, True),
        ("fairlead-default-control", {"control": 8003}, True),
    ],
)
def test_services_select_the_serving_pods_of_any_cluster(name: str, wanted: dict[str, int], headless: bool) -> None:
    objects = render({"pools": {"default": {}, "other": {}}})
    service = objects.one("Service", name)
    assert ports(service) == wanted
    assert (service["spec"].get("clusterIP") == "None") is headless
    chosen = [
        what
        for what, pod in pods(objects).items()
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ]
    assert chosen == ["pool of fairlead-default"]
    assert not any(key.startswith("ray.io/") for key in service["spec"]["selector"])


def test_the_operator_finds_pods_that_are_not_ready() -> None:
    service = render().one("Service", "fairlead-default-control")
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["metadata"]["labels"]["fairlead.dev/pool"] == "default"


def test_grpc_is_told_apart_for_proxies() -> None:
    (_, grpc) = render().one("Service", "fairlead-default")["spec"]["ports"]
    assert grpc["appProtocol"] == "kubernetes.io/h2c"


def test_a_service_may_be_a_load_balancer() -> None:
    service = render(EVERYTHING).one("Service", "fairlead-default")
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {"lb": "internal"}
    assert service["spec"]["ports"][0]["nodePort"] == 30800


@pytest.mark.parametrize(("given", "least"), [({}, 2), ({"minAvailable": 0}, 0), ({"minAvailable": 3}, 3)])
def test_an_eviction_leaves_all_but_one_where_nothing_else_is_said(given: dict[str, Any], least: int) -> None:
    objects = render({"pools": {"default": {"replicas": 3, "podDisruptionBudget": given}}})
    budget = objects.one("PodDisruptionBudget", "fairlead-default")["spec"]
    assert budget["minAvailable"] == least
    assert "maxUnavailable" not in budget, "Kubernetes cannot count the pods of a RayCluster"
    assert budget["selector"]["matchLabels"].items() <= worker(objects)["metadata"]["labels"].items()


def test_an_elastic_pool_keeps_all_but_one_of_its_least() -> None:
    assert render(EVERYTHING).one("PodDisruptionBudget", "fairlead-elastic")["spec"]["minAvailable"] == 1


def test_a_budget_can_be_left_out_and_false_is_not_lost_on_the_way() -> None:
    assert not render({"pools": {"default": {"podDisruptionBudget": {"enabled": False}}}}).of("PodDisruptionBudget")


@pytest.mark.parametrize(
    ("kind", "port", "host"), [("HTTPRoute", 8000, "models.example.com"), ("GRPCRoute", 8001, "grpc.example.com")]
)
def test_routes_lead_from_the_gateway_to_the_pool(kind: str, port: int, host: str) -> None:
    assert not render().of(kind)
    spec = render(EVERYTHING).one(kind, "fairlead-default")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert spec["hostnames"] == [host]
    assert spec["rules"] == [{"backendRefs": [{"name": "fairlead-default", "port": port}]}]


def test_nothing_of_prometheus_is_asked_for_unasked() -> None:
    assert not render().of("ServiceMonitor") + render().of("PodMonitor")


def test_a_service_monitor_finds_pools_and_operator_once() -> None:
    objects = render(EVERYTHING)
    monitor = objects.one("ServiceMonitor", "fairlead")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "interval": "30s"}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [service for service in objects.of("Service") if wanted <= service["metadata"]["labels"].items()]
    assert sorted(service["metadata"]["name"] for service in found) == [
        "fairlead-default-metrics", "fairlead-elastic-metrics", "fairlead-operator", "fairlead-small-metrics",
    ]  # fmt: skip
    assert all("metrics" in ports(service) for service in found)


def test_a_pod_monitor_finds_pools_and_operator() -> None:
    objects = render({"monitoring": {"kind": "PodMonitor"}})
    wanted = objects.one("PodMonitor", "fairlead")["spec"]["selector"]["matchLabels"].items()
    chosen = {what: pod for what, pod in pods(objects).items() if wanted <= pod["metadata"]["labels"].items()}
    scraped = [
        what for what, pod in chosen.items() if "metrics" in [port["name"] for port in container(pod).get("ports", [])]
    ]
    assert sorted(scraped) == ["Deployment fairlead-operator", "pool of fairlead-default"]
