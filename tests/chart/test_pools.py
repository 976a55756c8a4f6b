"""A pool: what KubeRay, Ray Serve and the replica are told, and that all three take it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chart.everything import EVERYTHING
from chart.rendering import (
    Refused,
    container,
    environment,
    head,
    mounted,
    render,
    serve_config,
    worker,
)

from fairlead_server.app.builder import read
from fairlead_server.app.scaling import Span, Targets

RAY = re.search(
    r"^ray==(\S+)", (__import__("pathlib").Path(__file__).parents[2] / "hack/locks/dev.txt").read_text(), re.M
)


def pool(**values: Any) -> Any:
    return render({"pools": {"default": values}})


@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_the_server_takes_the_arguments_that_serve_hands_it(values: dict[str, Any]) -> None:
    (application,) = serve_config(render(values))["applications"]
    settings, _ = read(application["args"])
    assert application["import_path"] == "fairlead_server.app.builder:pool"
    assert (settings.host, settings.http_port, settings.control_port) == ("0.0.0.0", 8000, 8003)
    assert settings.pool == "default"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray's own modules
@pytest.mark.parametrize("pool", ["default", "elastic", "small"])
def test_ray_serve_takes_the_configuration(pool: str) -> None:
    """As KubeRay puts it to Serve's REST API: by Serve's own schema."""
    from ray.serve.schema import ServeDeploySchema

    config = serve_config(render(EVERYTHING), pool)
    taken = ServeDeploySchema.model_validate(config)
    assert [application.name for application in taken.applications] == [f"fairlead-{pool}"]
    assert taken.applications[0].route_prefix is None


def test_a_replicas_settings_are_those_of_the_values() -> None:
    settings, _ = read(serve_config(render(EVERYTHING))["applications"][0]["args"])
    assert (settings.workers, settings.cores, settings.gpus) == (2, 4, 0.5)
    assert settings.memory_limit_bytes == 3 * 2**30
    assert settings.gpu_memory_bytes == 20 * 2**30
    assert (settings.cache_bytes, settings.volume_bytes) == (50 * 2**30, 60 * 2**30)
    assert (settings.drain.balancer_s, settings.drain.grace_s, settings.drain.idle_s) == (10, 120, 2.5)
    assert (settings.limits.body_bytes, settings.limits.read_s, settings.limits.concurrent) == (536870912, 10, 500)


@pytest.mark.parametrize(("text", "size"), [("1500M", 1500 * 10**6), ("2Ti", 2 * 2**40), ("512Ki", 2**19), ("7", 7)])
def test_sizes_are_bytes_for_the_server(text: str, size: int) -> None:
    assert read(serve_config(pool(memoryLimit=text))["applications"][0]["args"])[0].memory_limit_bytes == size


def test_serve_has_no_proxy_and_one_replica_to_a_node() -> None:
    config = serve_config(pool(replicas=3))
    assert config["proxy_location"] == "Disabled"
    (application,) = config["applications"]
    assert application["route_prefix"] is None
    assert application["deployments"] == [{"name": "Pool", "num_replicas": 3, "max_replicas_per_node": 1}]


def test_pods_follow_the_replicas_that_serve_has() -> None:
    """KubeRay starts with as many, and takes no later change of the bounds: they are wide, for Ray's autoscaler."""
    objects = pool(replicas=3)
    cluster = objects.one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (3, 0, 1000)
    assert cluster["enableInTreeAutoscaling"]
    options = cluster["autoscalerOptions"]
    assert options["idleTimeoutSeconds"] == 300
    assert options["securityContext"] == container(head(objects))["securityContext"]
    assert "serviceAccountName" not in head(objects)["spec"]  # KubeRay's own, with rights for the autoscaler


def test_the_number_of_replicas_may_follow_what_they_measure() -> None:
    objects = render(EVERYTHING)
    (application,) = serve_config(objects, "elastic")["applications"]
    _, span = read(application["args"])
    assert isinstance(span, Span)
    assert (span.least, span.most) == (2, 8)
    assert span.targets == Targets(busy=0.5)
    assert application["deployments"] == [{"name": "Pool", "max_replicas_per_node": 1}]
    (group,) = objects.one("RayService", "fairlead-elastic")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["replicas"] == 2


def test_a_pool_that_chooses_its_size_begins_with_the_first() -> None:
    """Serve is told, and KubeRay makes so many pods at once."""
    objects = pool(autoscaling={"enabled": True, "least": 2, "most": 8, "first": 6})
    _, span = read(serve_config(objects)["applications"][0]["args"])
    assert isinstance(span, Span)
    assert span.first == 6
    (group,) = objects.one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["replicas"] == 6


@pytest.mark.parametrize("first", [1, 9])
def test_a_first_size_is_one_that_the_pool_may_choose(first: int) -> None:
    with pytest.raises(Refused, match=f"autoscaling.first is {first}, and should be from autoscaling.least to"):
        pool(autoscaling={"enabled": True, "least": 2, "most": 8, "first": first})


def test_a_drain_waits_until_the_probe_has_noticed() -> None:
    """A replica that leaves a pod which stays is taken out of the Service by its readiness probe alone."""
    slow = {"readiness": {"periodSeconds": 3}}
    with pytest.raises(Refused, match=r"drain.balancerSeconds is 5: Services may take 8 s to notice"):
        pool(probes=slow)
    assert pool(probes=slow, drain={"balancerSeconds": 8}).of("RayService")


def test_the_head_runs_nothing() -> None:
    objects = pool(gpu={"count": 1})
    params = objects.one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]["headGroupSpec"][
        "rayStartParams"
    ]
    assert (params["num-cpus"], params["num-gpus"]) == ("0", "0")
    labels = head(objects)["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "head"
    assert "fairlead.dev/serving" not in labels
    assert "app.kubernetes.io/name" not in labels, "KubeRay's Service of the head selects its own"
    assert "nvidia.com/gpu" not in container(head(objects))["resources"]["limits"]


def test_worker_pods_carry_what_services_and_the_operator_look_for() -> None:
    labels = worker(render({"installation": "staging"}))["metadata"]["labels"]
    assert labels | {
        "fairlead.dev/pool": "default", "fairlead.dev/serving": "true", "fairlead.dev/installation": "staging",
        "app.kubernetes.io/name": "fairlead", "app.kubernetes.io/instance": "fairlead",
        "app.kubernetes.io/component": "pool",
    } == labels  # fmt: skip


def test_rays_version_is_the_locks() -> None:
    assert RAY is not None
    assert render().one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]["rayVersion"] == RAY[1]


def test_probes_ask_the_replica_whether_it_is_ready_and_ray_whether_it_lives() -> None:
    found = container(worker(render()))
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert found["livenessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 52365}
    ports = {port["name"]: port["containerPort"] for port in found["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002, "control": 8003}
    assert container(head(render()))["readinessProbe"]["httpGet"]["port"] == 52365


@pytest.mark.parametrize("grace", [0.5, 60, 600])
def test_a_pod_drains_and_its_grace_time_is_longer_than_the_drain_and_the_longest_deadline(grace: float) -> None:
    found = worker(pool(drain={"graceSeconds": grace}))
    command = container(found)["lifecycle"]["preStop"]["exec"]["command"]
    assert command[:4] == ["python", "-m", "fairlead_server", "drain"]
    limit = float(command[command.index("--limit") + 1])
    assert command[command.index("--token-file") + 1] == "/etc/fairlead/control/token"
    assert grace + 5 + 5 < limit < found["spec"]["terminationGracePeriodSeconds"]


def test_what_is_written_goes_to_volumes() -> None:
    found = mounted(worker(render()))
    assert found["/var/lib/fairlead"]["emptyDir"] == {"sizeLimit": "25Gi"}
    assert found["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
    assert "emptyDir" in found["/tmp"]
    assert "emptyDir" in found[environment(worker(render()))["HOME"]]
    assert environment(worker(render()))["RAY_TMPDIR"] == "/tmp"
    assert found["/etc/fairlead/catalog"]["configMap"] == {"name": "fairlead-default-catalog", "optional": True}
    assert found["/etc/fairlead/control"]["secret"] == {"secretName": "fairlead-control"}
    assert {"/tmp", "/dev/shm"} <= mounted(head(render())).keys()


def test_the_cache_may_be_a_claim_of_the_pods_own() -> None:
    found = mounted(worker(render(EVERYTHING)))["/var/lib/fairlead"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert found["storageClassName"] == "fast"
    assert found["resources"] == {"requests": {"storage": "60Gi"}}


@pytest.mark.parametrize(("count", "asked"), [(0, None), (0.25, 1), (1, 1), (2, 2)])
def test_a_pod_asks_for_whole_gpus_and_its_replica_takes_what_was_said(count: float, asked: int | None) -> None:
    objects = pool(gpu={"count": count, "runtimeClassName": "nvidia"})
    found = worker(objects)
    assert container(found)["resources"]["limits"].get("nvidia.com/gpu") == asked
    assert read(serve_config(objects)["applications"][0]["args"])[0].gpus == count
    group = objects.one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    assert group["rayStartParams"]["num-gpus"] == str(asked or 0)
    assert found["spec"].get("runtimeClassName") == ("nvidia" if asked else None)


@pytest.mark.parametrize(("cores", "told"), [(0, "1"), (8, "8")])
def test_ray_has_the_cores_that_a_replica_takes(cores: int, told: str) -> None:
    group = pool(cores=cores).one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    assert group["rayStartParams"]["num-cpus"] == told


def test_placement_and_more_of_everything_reach_the_pods() -> None:
    objects = render(EVERYTHING)
    given = EVERYTHING["pools"]["default"]
    spec = worker(objects)["spec"]
    for key in ("tolerations", "affinity", "nodeSelector", "priorityClassName"):
        assert spec[key] == given[key]
    (spread,) = spec["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["fairlead.dev/pool"] == "default"
    assert environment(worker(objects))["AWS_REGION"] == "eu-central-1"
    assert container(worker(objects))["envFrom"] == given["extraEnvFrom"]
    assert mounted(worker(objects))["/more"]["configMap"] == {"name": "more"}
    assert worker(objects)["metadata"]["annotations"]["c"] == "d"
    assert worker(objects)["metadata"]["labels"]["a"] == "b"
    assert head(objects)["spec"]["nodeSelector"] == {"pool": "infra"}
    assert container(worker(objects))["image"] == "registry.example.com/fairlead:gpu"
    assert container(worker(objects, "small"))["image"] == "registry.example.com/fairlead:0.1.0"


def cluster_of(values: dict[str, Any]) -> Any:
    """What KubeRay compares to decide whether all pods are made anew: replicas are left out, as it does."""
    found = render({"pools": {"default": values}}).one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]
    for group in found["workerGroupSpecs"]:
        for key in ("replicas", "minReplicas", "maxReplicas"):
            del group[key]
    return found


def test_a_pool_is_scaled_in_place_and_settings_go_the_way_of_the_upgrade_strategy() -> None:
    assert cluster_of({"replicas": 5}) == cluster_of({})
    assert cluster_of({"workers": 2}) != cluster_of({})
    elastic = {"enabled": True}
    assert cluster_of({"autoscaling": elastic}) != cluster_of({"autoscaling": {**elastic, "targets": {"busy": 0.5}}})
    assert cluster_of({"autoscaling": elastic}) != cluster_of({"autoscaling": {**elastic, "first": 2}})


def test_the_way_of_an_upgrade_is_a_choice() -> None:
    spec = pool(upgrade={"strategy": "None", "deletionDelaySeconds": 10}).one("RayService", "fairlead-default")["spec"]
    assert spec["upgradeStrategy"] == {"type": "None"}
    assert spec["rayClusterDeletionDelaySeconds"] == 10


def test_ray_asks_for_a_token_and_keeps_its_state_where_it_is_told() -> None:
    spec = render(EVERYTHING).one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisUsername": {"value": "fairlead"},
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}},
    }, "no namespace in Redis: the clusters of an upgrade would share it"
    assert "gcsFaultToleranceOptions" not in render().one("RayService", "fairlead-default")["spec"]["rayClusterConfig"]
    assert pool(rayAuth="disabled").one("RayService", "fairlead-default")["spec"]["rayClusterConfig"][
        "authOptions"
    ] == {"mode": "disabled"}
