"""The examples beside the chart, where they belong together. What an API server says of them: tests/kube."""

from __future__ import annotations

import yaml
from chart.rendering import ROOT, render

MANIFESTS = ROOT / "manifests"


def test_kind_hands_out_the_ports_that_one_node_gives_to_the_pool() -> None:
    (node,) = yaml.safe_load((MANIFESTS / "kind.yaml").read_text())["nodes"]
    service = render(None, "--values", str(MANIFESTS / "values-one-node.yaml")).one("Service", "fairlead-default")
    handed_out = {mapping["hostPort"]: mapping["containerPort"] for mapping in node["extraPortMappings"]}
    assert handed_out == {port["port"]: port["nodePort"] for port in service["spec"]["ports"]}


def test_without_internet_every_image_comes_from_inside_and_nothing_of_the_cluster_is_needed() -> None:
    values = str(MANIFESTS / "values-air-gapped.yaml")
    objects = render(None, "--values", values, "--namespace", "fairlead")
    images = [
        one["image"] for found in objects.of("Deployment") for one in found["spec"]["template"]["spec"]["containers"]
    ]
    assert all(image.startswith("registry.internal.example:5000/platform/fairlead@sha256:") for image in images)
    assert not objects.of("ClusterRole") + objects.of("CustomResourceDefinition") + objects.of("Secret")


def test_routes_of_different_pools_have_different_host_names() -> None:
    objects = render(None, "--values", str(MANIFESTS / "values-gpu.yaml"))
    names = [name for route in objects.of("HTTPRoute") + objects.of("GRPCRoute") for name in route["spec"]["hostnames"]]
    assert len(names) == len(set(names)) == 4


def test_kserves_runtime_serves_a_folder_with_the_same_image() -> None:
    runtime, service = yaml.safe_load_all((MANIFESTS / "kserve.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    assert container["image"] == "fairlead:0.1.0"
    assert "fairlead serve --engine process" in container["args"][0]
    assert "--models /mnt/models" in container["args"][0]
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
