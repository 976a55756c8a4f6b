"""The operator: what its file says, that it reads it, and what comes with its Deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chart.everything import EVERYTHING
from chart.rendering import (
    NAMESPACE,
    ROOT,
    Refused,
    container,
    environment,
    mounted,
    operator_file,
    pods,
    render,
)

from fairlead_operator.config import parse


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_operator_takes_its_file(values: dict[str, Any]) -> None:
    objects = render(values)
    config = parse(operator_file(objects))
    assert config.lease.namespace == NAMESPACE
    assert config.lease.name == "fairlead-operator"
    assert sorted(config.pools) == [name.removeprefix("fairlead-") for name in objects.names("RayService")]
    for name, pool in config.pools.items():
        service = objects.one("Service", pool.service)
        assert service["metadata"]["labels"]["fairlead.dev/pool"] == name
        assert service["spec"]["ports"][0]["port"] == pool.port
        assert pool.catalog == f"fairlead-{name}-catalog"


def test_its_settings_are_those_of_the_values() -> None:
    config = parse(operator_file(render({
        "installation": "staging",
        "mlflow": {"uri": "http://mlflow.registry:5000"},
        "operator": {
            "intervalSeconds": 0.5, "alias": "prod", "holdSeconds": 5, "progressSeconds": 1200, "takeover": True,
            "watchNamespaces": ["team-a", "team-b"], "tags": {"namespace": "team-a", "pools": ["gpu"]},
        },
        "pools": {"gpu": {"allowedNamespaces": ["team-a"]}},
    })))  # fmt: skip
    assert config.installation == "staging"
    assert (config.registry.uri, config.registry.interval_seconds) == ("http://mlflow.registry:5000", 0.5)
    assert (config.registry.alias, config.hold_seconds, config.progress_seconds) == ("prod", 5, 1200)
    assert config.takeover
    assert config.watch_namespaces == ("team-a", "team-b")
    assert (config.tags.enabled, config.tags.namespace, config.tags.pools) == (True, "team-a", ("gpu",))
    assert config.pools["gpu"].allowed_namespaces == ("team-a",)
    assert config.pools["default"].allowed_namespaces == ()


@pytest.mark.parametrize("example", sorted((ROOT / "manifests").glob("values-*.yaml")), ids=lambda path: path.stem)
def test_the_operator_takes_the_file_of_each_example(example: Path) -> None:
    parse(operator_file(render({}, "--namespace", "fairlead", "--values", str(example))))


def test_tags_may_choose_every_pool_and_are_made_into_objects_of_the_releases_namespace() -> None:
    tags = operator_file(render({"pools": {"gpu": {}}}))["tags"]
    assert tags == {"enabled": True, "namespace": NAMESPACE, "pools": []}


def test_a_pool_for_other_namespaces_is_none_that_tags_can_name() -> None:
    """Left to itself the operator refuses each such model; named here it would not start."""
    theirs = {"gpu": {"allowedNamespaces": ["vision"]}}
    assert parse(operator_file(render({"pools": theirs}))).tags.pools == ()
    with pytest.raises(Refused, match=r'"gpu", whose allowedNamespaces do not hold "ml"'):
        render({"pools": theirs, "operator": {"tags": {"pools": ["gpu"]}}})
    assert render({"pools": theirs, "operator": {"tags": {"pools": ["gpu"], "enabled": False}}})


@pytest.mark.parametrize("create", [True, False], ids=["roles", "no roles"])
def test_tagged_models_are_made_where_the_operator_looks(create: bool) -> None:
    with pytest.raises(Refused, match=r'tags.namespace is "ml", and operator.watchNamespaces does not hold it'):
        render({"rbac": {"create": create}, "operator": {"watchNamespaces": ["team-a"]}})


@pytest.mark.parametrize("name", ["Staging", "team_a", "status", "", "-x"])
def test_an_installation_that_the_operator_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="installation"):
        render({"installation": name})


def test_an_installation_may_look_like_a_number() -> None:
    objects = render({"installation": "2025"})
    assert parse(operator_file(objects)).installation == "2025"
    labels = [found["metadata"]["labels"] for found in objects.all if "labels" in found["metadata"]]
    assert {one["fairlead.dev/installation"] for one in labels} == {"2025"}


def test_without_a_cluster_role_it_watches_the_releases_namespace() -> None:
    assert operator_file(render())["watchNamespaces"] == []
    assert operator_file(render({"rbac": {"scope": "namespaced"}}))["watchNamespaces"] == [NAMESPACE]


def test_the_address_may_come_from_a_secret() -> None:
    objects = render({"mlflow": {"uri": "", "secret": {"name": "mlflow", "uriKey": "uri"}}})
    assert parse(operator_file(objects)).registry.uri is None
    from_secret = environment(pods(objects)["Deployment fairlead-operator"])["MLFLOW_TRACKING_URI"]
    assert from_secret == {"secretKeyRef": {"name": "mlflow", "key": "uri"}}


def test_it_is_started_on_its_file_with_its_token() -> None:
    pod = pods(render())["Deployment fairlead-operator"]
    assert container(pod)["command"] == ["fairlead", "operate", "--config", "/etc/fairlead/operator/operator.yaml"]
    assert mounted(pod)["/etc/fairlead/operator"]["configMap"] == {"name": "fairlead-operator"}
    assert mounted(pod)["/etc/fairlead/control"]["secret"] == {"secretName": "fairlead-control"}
    assert container(pod)["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
    assert container(pod)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert container(pod)["ports"] == [{"name": "metrics", "containerPort": 8080}]


def test_a_change_of_its_file_makes_its_pods_anew() -> None:
    def checksum(values: dict[str, Any]) -> str:
        pod = pods(render(values))["Deployment fairlead-operator"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({})
    assert checksum({}) != checksum({"operator": {"holdSeconds": 1}})


def test_several_of_them_have_a_budget() -> None:
    assert "fairlead-operator" not in render().names("PodDisruptionBudget")
    assert "fairlead-operator" in render({"operator": {"replicas": 2}}).names("PodDisruptionBudget")


def test_placement_and_more_of_everything_reach_it() -> None:
    pod = pods(render(EVERYTHING))["Deployment fairlead-operator"]
    given = EVERYTHING["operator"]
    for key in ("tolerations", "affinity", "nodeSelector", "priorityClassName"):
        assert pod["spec"][key] == given[key]
    assert environment(pod)["MORE"] == "1"
    assert "/more" in mounted(pod)
    assert container(pod)["command"][-1] == "-v"


def test_the_definition_of_served_models_is_upgraded_with_the_release_and_kept_without_it() -> None:
    (found,) = render().of("CustomResourceDefinition")
    assert found["metadata"]["name"] == "servedmodels.fairlead.dev"
    assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not render({"crd": {"install": False}}).of("CustomResourceDefinition")
