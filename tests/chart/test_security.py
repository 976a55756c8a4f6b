"""Who the pods are, what they may, and who reaches them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from chart.everything import EVERYTHING
from chart.rendering import NAMESPACE, Objects, Refused, environment, mounted, pods, render

ALL = pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])


@ALL
def test_every_pod_meets_the_restricted_standard(values: dict[str, Any]) -> None:
    for what, pod in pods(render(values)).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, what
        assert spec["securityContext"]["runAsUser"] == 65532, what
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, what
        for one in spec["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            }, what  # fmt: skip
            assert one["resources"]["requests"], what


def test_a_platform_may_choose_the_user() -> None:
    objects = render({"security": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
    for pod in pods(objects).values():
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@ALL
def test_only_the_operator_and_rays_autoscaler_have_a_token_of_the_api_server(values: dict[str, Any]) -> None:
    objects = render(values)
    with_token = {what for what, pod in pods(objects).items() if pod["spec"]["automountServiceAccountToken"]}
    heads = {f"head of {service['metadata']['name']}" for service in objects.of("RayService")}
    assert heads
    assert with_token == {"Deployment fairlead-operator"} | heads
    assert all(account["automountServiceAccountToken"] is False for account in objects.of("ServiceAccount"))


def test_accounts_carry_a_clouds_annotations() -> None:
    objects = render(EVERYTHING)
    account = objects.one("ServiceAccount", "fairlead-default")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/models"}
    given = {"create": False, "name": "mine"}
    objects = render({"operator": {"serviceAccount": given}, "pools": {"default": {"serviceAccount": given}}})
    assert not objects.of("ServiceAccount")
    accounts = {what: pod["spec"].get("serviceAccountName") for what, pod in pods(objects).items()}
    assert accounts.pop("head of fairlead-default") is None  # KubeRay's own
    assert set(accounts.values()) == {"mine", None}
    assert {binding["subjects"][0]["name"] for binding in objects.of("RoleBinding")} == {"mine"}


def test_pools_may_share_an_account() -> None:
    account = {"name": "reader", "annotations": {"role": "a"}}
    objects = render({"poolDefaults": {"serviceAccount": account}, "pools": {"more": {}}})
    assert objects.names("ServiceAccount") == ["fairlead-operator", "reader"]
    other = {"serviceAccount": {"annotations": {"role": "b"}}}
    with pytest.raises(Refused, match='"reader" is made twice, with other annotations for the pool "more"'):
        render({"poolDefaults": {"serviceAccount": account}, "pools": {"more": other}})


def test_the_platform_may_choose_who_the_containers_are_but_not_root() -> None:
    given = {"runAsUser": None, "runAsGroup": 0, "fsGroup": 0}
    for pod in pods(render({"security": given})).values():
        security = pod["spec"]["securityContext"]
        assert {key: security.get(key) for key in given} == given
    with pytest.raises(Refused, match="runAsUser"):
        render({"security": {"runAsUser": 0}})


def test_credentials_come_from_a_secret_and_reach_operator_and_pools() -> None:
    objects = render({"mlflow": {"secret": {"name": "mlflow", "tokenKey": ""}}})
    for what in ("Deployment fairlead-operator", "pool of fairlead-default"):
        found = environment(pods(objects)[what])
        assert found["MLFLOW_TRACKING_USERNAME"] == {
            "secretKeyRef": {"name": "mlflow", "key": "username", "optional": True}
        }
        assert "MLFLOW_TRACKING_TOKEN" not in found
        assert found["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert "MLFLOW_TRACKING_USERNAME" not in environment(pods(objects)["head of fairlead-default"])


def test_a_ca_and_a_proxy_reach_whoever_leaves_the_cluster() -> None:
    objects = render(EVERYTHING)
    for what in ("Deployment fairlead-operator", "pool of fairlead-default"):
        pod = pods(objects)[what]
        found = environment(pod)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH"):
            assert found[name] == "/etc/fairlead/ca/ca.crt"
        (item,) = mounted(pod)["/etc/fairlead/ca"]["configMap"]["items"]
        assert item == {"key": "bundle.pem", "path": "ca.crt"}
        assert found["HTTPS_PROXY"] == found["https_proxy"] == "http://proxy:3128"
        assert found["NO_PROXY"].endswith(",.cluster.local,$(KUBERNETES_SERVICE_HOST),.example.com")


@pytest.mark.parametrize(
    ("uri", "direct"),
    [("http://mlflow:5000", True), ("http://mlflow", True), ("https://mlflow.example.com", False), ("", False)],
)
def test_a_registry_of_the_same_namespace_is_reached_without_the_proxy(uri: str, direct: bool) -> None:
    given = {"uri": uri, "secret": {"name": "mlflow", "uriKey": "" if uri else "uri"}}
    objects = render({"mlflow": given, "proxy": {"httpProxy": "http://proxy:3128"}})
    for what in ("Deployment fairlead-operator", "pool of fairlead-default"):
        assert ("mlflow" in environment(pods(objects)[what])["NO_PROXY"].split(",")) == direct


def test_the_token_is_made_where_none_is_named() -> None:
    def token(objects: Objects) -> bytes:
        return base64.b64decode(objects.one("Secret", "fairlead-control")["data"]["token"])

    assert len(token(render()).strip()) == 48
    assert token(render()) != token(render())
    objects = render({"control": {"existingSecret": "ours"}})
    assert not objects.of("Secret")
    for what in ("Deployment fairlead-operator", "pool of fairlead-default"):
        assert mounted(pods(objects)[what])["/etc/fairlead/control"]["secret"] == {"secretName": "ours"}


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({}, "fairlead:0.1.0"),
        ({"registry": "r.example.com:5000", "tag": "x"}, "r.example.com:5000/fairlead:x"),
        ({"digest": "sha256:" + "0" * 64, "tag": "x"}, "fairlead@sha256:" + "0" * 64),
    ],
)
def test_every_pod_runs_the_same_image(image: dict[str, str], wanted: str) -> None:
    objects = render({"image": {**image, "pullSecrets": ["pull"], "pullPolicy": "Always"}})
    for pod in pods(objects).values():
        assert [(one["image"], one["imagePullPolicy"]) for one in pod["spec"]["containers"]] == [(wanted, "Always")]
        assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]


def test_a_pool_with_an_image_of_its_own_does_not_run_the_digest_of_another() -> None:
    objects = render({
        "image": {"digest": "sha256:" + "0" * 64},
        "pools": {"gpu": {"image": {"tag": "gpu"}}, "registry": {"image": {"registry": "other.example.com"}}},
    })  # fmt: skip
    images = {what: {one["image"] for one in pod["spec"]["containers"]} for what, pod in pods(objects).items()}
    assert images["pool of fairlead-gpu"] == images["head of fairlead-gpu"] == {"fairlead:gpu"}
    assert images["pool of fairlead-default"] == {"fairlead@sha256:" + "0" * 64}
    assert images["pool of fairlead-registry"] == {"other.example.com/fairlead@sha256:" + "0" * 64}


# --- rights


def test_with_the_scope_namespaced_there_is_nothing_of_the_cluster() -> None:
    objects = render({"rbac": {"scope": "namespaced"}, "operator": {"watchNamespaces": [NAMESPACE, "team-a"]}})
    assert not objects.of("ClusterRole") + objects.of("ClusterRoleBinding")
    places = {(role["metadata"].get("namespace"), role["metadata"]["name"]) for role in objects.of("Role")}
    assert {(NAMESPACE, "fairlead-operator-models"), ("team-a", "fairlead-operator-models")} <= places


def test_roles_can_be_left_to_others() -> None:
    objects = render({"rbac": {"create": False}})
    assert not [found for found in objects.all if "rbac.authorization.k8s.io" in found["apiVersion"]]


@ALL
def test_no_right_is_a_wildcard_and_no_secret_can_be_read(values: dict[str, Any]) -> None:
    objects = render(values)
    for role in objects.of("Role") + objects.of("ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert "secrets" not in rule["resources"]


# --- NetworkPolicies


def reachable(objects: Objects, source: dict[str, str], target: dict[str, str], port: int) -> bool:
    """Whether a pod with these labels, of the release's namespace, reaches the port of another one."""
    policies = [
        policy["spec"] for policy in objects.of("NetworkPolicy")
        if policy["spec"]["podSelector"]["matchLabels"].items() <= target.items()
    ]  # fmt: skip
    if not policies:
        return True
    return any(
        any(one["port"] <= port <= one.get("endPort", one["port"]) for one in rule.get("ports", [{"port": port}]))
        and any(_peer(peer, source) for peer in rule.get("from", [{}]))
        for spec in policies
        for rule in spec["ingress"]
    )


def _peer(peer: dict[str, Any], source: dict[str, str]) -> bool:
    wanted = peer.get("podSelector", {}).get("matchLabels", {})
    return bool(wanted.items() <= source.items())


OPERATOR, POOL, HEAD = "Deployment fairlead-operator", "pool of fairlead-default", "head of fairlead-default"
OTHER = "pool of fairlead-other"
STRANGERS = {
    "anybody": {"app": "shop"},
    "Prometheus": {"app.kubernetes.io/name": "prometheus"},
    "KubeRay": {"app.kubernetes.io/name": "kuberay-operator"},
}


@pytest.mark.parametrize(
    ("target", "port", "allowed"),
    [
        (POOL, 8000, {"anybody", "Prometheus", "KubeRay", OPERATOR, POOL, HEAD, OTHER}),
        (POOL, 8001, {"anybody", "Prometheus", "KubeRay", OPERATOR, POOL, HEAD, OTHER}),
        (POOL, 8002, {"Prometheus"}),
        (POOL, 8003, {OPERATOR}),
        (POOL, 10005, {POOL, HEAD}),
        (POOL, 52365, {POOL, HEAD}),
        (HEAD, 8265, {"KubeRay", POOL, HEAD}),
        (HEAD, 6379, {POOL, HEAD}),
        (HEAD, 10001, {POOL, HEAD}),
        (OPERATOR, 8080, {"Prometheus"}),
        (OPERATOR, 22, set()),
    ],
)
def test_who_reaches_what(target: str, port: int, allowed: set[str]) -> None:
    objects = render({"pools": {"other": {}}})
    labels = {what: pod["metadata"]["labels"] for what, pod in pods(objects).items()}
    sources = STRANGERS | {what: labels[what] for what in (OPERATOR, POOL, HEAD, OTHER)}
    found = {name for name, source in sources.items() if reachable(objects, source, labels[target], port)}
    assert found == allowed


def test_clients_may_be_few_and_the_releases_own_test_is_among_them() -> None:
    objects = render({"networkPolicy": {"clients": [{"podSelector": {"matchLabels": {"app": "shop"}}}]}})
    labels = {what: pod["metadata"]["labels"] for what, pod in pods(objects).items()}
    assert reachable(objects, {"app": "shop"}, labels[POOL], 8000)
    assert reachable(objects, labels["Pod fairlead-default-test"], labels[POOL], 8000)
    assert not reachable(objects, {"app": "other"}, labels[POOL], 8000)


def test_policies_can_be_left_out() -> None:
    assert not render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy")
