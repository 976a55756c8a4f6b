"""What the chart renders, before a real API server: taken, restricted, with the rights it needs and no others."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.everything import EVERYTHING
from chart.rendering import CHART, HELM, ROOT, Object, Objects, pods, render
from kube.api_server import ApiServer, Refused
from kube.cluster_site import DEFINITION, ClusterSite
from kube.namespaces import make_namespace, remove_namespace

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
UNKNOWN_HERE = ("ServiceMonitor", "PodMonitor")  # of Prometheus' operator
EXAMPLES = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "manifests").glob("values-*.yaml"))}
VALUES: dict[str, Any] = {"defaults": {}, "everything": EVERYTHING, **EXAMPLES}
HELM_S = 120.0

ALL = pytest.mark.parametrize("name", VALUES)


def rendered(name: str, namespace: str) -> Objects:
    values = dict(VALUES[name])
    operator = dict(values.get("operator", {}))
    if operator.get("watchNamespaces"):
        operator["watchNamespaces"] = [namespace]  # the others are not there
    return render({**values, "operator": operator}, "--namespace", namespace)


def known(objects: Objects) -> list[Object]:
    return [found for found in objects.all if found["kind"] not in UNKNOWN_HERE]


def create(server: ApiServer, namespace: str, pod: Object, name: str = "pod") -> None:
    """Asked, not done: admission has its say. Raises Refused."""
    metadata = {**pod["metadata"], "name": name, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    answer = server.http.post(f"/api/v1/namespaces/{namespace}/pods", json=body, params=query)
    if answer.is_error:
        raise Refused(answer.text)


@pytest.fixture
def restricted(api_server: ApiServer) -> Iterator[str]:
    """A namespace of the restricted Pod Security Standard, with the classes that the values name."""
    api_server.apply(
        *({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1}
          for name in ("high", "inference")),
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
    )  # fmt: skip
    make_namespace(api_server.http, "restricted", RESTRICTED)
    yield "restricted"
    remove_namespace(api_server.http, "restricted")


@ALL
def test_the_api_server_takes_every_object(
    api_server: ApiServer, kuberay: ApiServer, gateway_api: ApiServer, namespace: str, name: str
) -> None:
    """Strictly: a field that it does not know is an error here, KubeRay's and the Gateway API's too."""
    text = yaml.safe_dump_all(known(rendered(name, namespace)))
    options = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
    api_server.kubectl(*options, namespace=namespace, stdin=text)


def test_a_field_that_kuberay_does_not_know_would_be_refused(kuberay: ApiServer, namespace: str) -> None:
    (service,) = render({}, "--namespace", namespace).of("RayService")
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["tolerationz"] = []
    with pytest.raises(Refused, match="tolerationz"):
        kuberay.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-",
            namespace=namespace, stdin=yaml.safe_dump(service),
        )  # fmt: skip


@ALL
def test_every_pod_is_allowed_where_the_restricted_standard_is_enforced(
    api_server: ApiServer, restricted: str, name: str
) -> None:
    """Those of a RayService too: KubeRay makes them of these templates, with security contexts copied from ours."""
    for pod in pods(rendered(name, restricted)).values():
        create(api_server, restricted, pod)


def test_the_standard_is_enforced_there(api_server: ApiServer, restricted: str) -> None:
    (pod, *_) = pods(render()).values()
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused, match="violates PodSecurity"):
        create(api_server, restricted, pod)


def test_kserve_runs_the_image_on_a_folder_of_models(kserve: ApiServer, restricted: str) -> None:
    """Taken strictly, and the runtime's pod meets the restricted standard."""
    text = (ROOT / "manifests" / "kserve.yaml").read_text()
    options = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    kserve.kubectl(*options, namespace=restricted, stdin=text)
    runtime, _ = yaml.safe_load_all(text)
    spec = {key: runtime["spec"][key] for key in ("containers", "volumes")}
    create(kserve, restricted, {"metadata": {}, "spec": spec})


# --- rights, by impersonation

Ask = tuple[
    str, str, str, str
]  # verb, resource.group or resource/sub.group, namespace ("" all, "." the release's), name

NEEDED: list[Ask] = [
    ("get", "servedmodels.fairlead.dev", "team-a", "churn"),
    ("list", "servedmodels.fairlead.dev", "", ""),
    ("watch", "servedmodels.fairlead.dev", "", ""),
    ("patch", "servedmodels/status.fairlead.dev", "team-a", "churn"),
    ("create", "events", "team-a", ""),
    ("patch", "events", "team-a", "churn.1"),
    ("create", "servedmodels.fairlead.dev", ".", "churn"),
    ("patch", "servedmodels.fairlead.dev", ".", "churn"),
    ("delete", "servedmodels.fairlead.dev", ".", "churn"),
    ("get", "configmaps", ".", "fairlead-default-catalog"),
    ("create", "configmaps", ".", "fairlead-default-catalog"),
    ("update", "configmaps", ".", "fairlead-default-catalog"),
    ("list", "endpointslices.discovery.k8s.io", ".", ""),
    ("watch", "endpointslices.discovery.k8s.io", ".", ""),
    ("get", "leases.coordination.k8s.io", ".", "fairlead-operator"),
    ("create", "leases.coordination.k8s.io", ".", "fairlead-operator"),
    ("update", "leases.coordination.k8s.io", ".", "fairlead-operator"),
]
REFUSED: list[Ask] = [
    *(
        (verb, "secrets", where, "fairlead-control")
        for verb in ("get", "list", "watch", "update")
        for where in (".", "")
    ),
    *((verb, "pods", ".", "") for verb in ("get", "list", "create", "delete")),
    ("create", "pods/exec", ".", ""),
    ("get", "pods/log", ".", ""),
    *((verb, "servedmodels.fairlead.dev", "team-a", "churn") for verb in ("create", "update", "patch", "delete")),
    ("update", "servedmodels.fairlead.dev", ".", "churn"),
    ("deletecollection", "servedmodels.fairlead.dev", ".", ""),
    ("update", "servedmodels/status.fairlead.dev", "team-a", "churn"),
    ("get", "configmaps", ".", "fairlead-operator"),
    ("update", "configmaps", ".", "fairlead-operator"),
    ("delete", "configmaps", ".", "fairlead-default-catalog"),
    ("list", "configmaps", ".", ""),
    ("create", "configmaps", "team-a", "x"),
    ("get", "leases.coordination.k8s.io", ".", "another"),
    ("update", "leases.coordination.k8s.io", ".", "another"),
    ("delete", "leases.coordination.k8s.io", ".", "fairlead-operator"),
    ("create", "leases.coordination.k8s.io", "kube-system", "fairlead-operator"),
    ("list", "endpointslices.discovery.k8s.io", "team-a", ""),
    ("update", "endpointslices.discovery.k8s.io", ".", "x"),
    ("list", "events", "team-a", ""),
    ("delete", "events", "team-a", "churn.1"),
    *((verb, "rayservices.ray.io", ".", "fairlead-default") for verb in ("get", "list", "update", "patch", "delete")),
    *((verb, "deployments.apps", ".", "fairlead-operator") for verb in ("get", "update", "patch")),
    *((verb, "customresourcedefinitions.apiextensions.k8s.io", "", "") for verb in ("get", "list", "watch", "update")),
    *((verb, "namespaces", "", "") for verb in ("get", "list", "watch", "create")),
    *((verb, "nodes", "", "") for verb in ("get", "list")),
    ("create", "roles.rbac.authorization.k8s.io", ".", ""),
    ("bind", "clusterroles.rbac.authorization.k8s.io", "", "cluster-admin"),
    ("impersonate", "users", "", "administrator"),
    ("create", "serviceaccounts/token", ".", "fairlead-operator"),
]


def may(server: ApiServer, user: str, home: str, ask: Ask) -> bool:
    """Asked by the account itself."""
    verb, what, where, name = ask
    resource, _, group = what.partition(".")
    resource, _, sub = resource.partition("/")
    attributes = {
        "verb": verb, "group": group, "resource": resource, "subresource": sub, "name": name,
        "namespace": home if where == "." else where,
    }  # fmt: skip
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = server.http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        json={**kind, "spec": {"resourceAttributes": attributes}},
        headers={"Impersonate-User": user, "Impersonate-Group": "system:authenticated"},
    )
    return bool(answer.raise_for_status().json()["status"]["allowed"])


def rights(server: ApiServer, namespace: str, values: Object) -> str:
    """The release's rights alone, in force; the operator's account."""
    grant(server, namespace, render(values, "--namespace", namespace))
    return f"system:serviceaccount:{namespace}:fairlead-operator"


def grant(server: ApiServer, namespace: str, objects: Objects) -> None:
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    documents = [found for kind in kinds for found in objects.of(kind)]
    server.kubectl("apply", "--server-side", "-f", "-", namespace=namespace, stdin=yaml.safe_dump_all(documents))


def test_the_operator_may_what_it_needs_and_nothing_else(api_server: ApiServer, namespace: str) -> None:
    user = rights(api_server, namespace, {})
    assert [ask for ask in NEEDED if not may(api_server, user, namespace, ask)] == []
    assert [ask for ask in REFUSED if may(api_server, user, namespace, ask)] == []


def test_with_the_scope_namespaced_it_sees_no_other_namespace(api_server: ApiServer, namespace: str) -> None:
    user = rights(api_server, namespace, {"rbac": {"scope": "namespaced"}})
    home = [(verb, what, "." if where != "." else where, name) for verb, what, where, name in NEEDED]
    assert [ask for ask in home if not may(api_server, user, namespace, ask)] == []
    elsewhere = [ask for ask in NEEDED if ask[2] != "."]
    assert [ask for ask in elsewhere if may(api_server, user, namespace, ask)] == []
    assert [ask for ask in REFUSED if may(api_server, user, namespace, ask)] == []


def test_without_tags_it_makes_and_removes_no_served_model(api_server: ApiServer, namespace: str) -> None:
    user = rights(api_server, namespace, {"operator": {"tags": {"enabled": False}}})
    for verb in ("create", "patch", "delete"):
        assert not may(api_server, user, namespace, (verb, "servedmodels.fairlead.dev", ".", "churn"))


def test_a_pools_account_may_nothing(api_server: ApiServer, namespace: str) -> None:
    rights(api_server, namespace, {})
    user = f"system:serviceaccount:{namespace}:fairlead-default"
    assert [ask for ask in NEEDED if may(api_server, user, namespace, ask)] == []


# When it ends, kopf leaves the connection of its watch to the collector of garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scope", ["cluster", "namespaced"])
def test_an_operator_lives_with_these_rights_and_this_file(
    api_server: ApiServer, namespace: str, scope: str, tmp_path: Path
) -> None:
    """Started as the chart starts it, as its own account: asked for by an object and by a tag, promoted, told."""
    api_server.install(DEFINITION)
    objects = render({"fullnameOverride": "f", "rbac": {"scope": scope}}, "--namespace", namespace)
    grant(api_server, namespace, objects)
    (tmp_path / "token").write_text("token")
    told = yaml.safe_load(objects.one("ConfigMap", "f-operator")["data"]["operator.yaml"])
    here = {"registry": {"uri": "fake://", "intervalSeconds": 0.2}, "tokenFile": str(tmp_path / "token")}
    site = ClusterSite(api_server, namespace)
    site.register("churn")
    site.register("fraud", "/m/3", tagged=True)
    account = api_server.kubeconfig_of(namespace, "f-operator")
    with site.operator(account, **{**told, **here, "listen": {"host": "127.0.0.1", "port": 0}}):
        site.serve("churn", model="churn")
        site.until_serving("churn", "1")
        site.until_serving("fraud", "1")
        site.registry.promote("churn", "2")
        site.until_serving("churn", "2")
        site.until(
            "its steps are told", lambda: "Switched" in site.server.kubectl("get", "events", namespace=namespace)
        )
    assert api_server.get("lease", "f-operator", namespace)["spec"]["leaseDurationSeconds"] == 15


# --- a release's life


class Release:
    """Helm against the API server, which runs nothing: what it stores is what is looked at."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._namespace = namespace

    def helm(self, *arguments: str) -> str:
        server = ("--kubeconfig", str(self._server.kubeconfig), "--namespace", self._namespace)
        home = {**os.environ, "HOME": str(self._server.folder)}
        command = [str(HELM), *arguments, *server]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HELM_S, env=home, check=False)
        assert not done.returncode, done.stderr
        return done.stdout

    def token(self) -> str:
        secret = self._server.get("secret", "fairlead-control", self._namespace)
        return base64.b64decode(secret["data"]["token"]).decode()

    def set_token(self, token: str) -> None:
        data = json.dumps({"data": {"token": base64.b64encode(token.encode()).decode()}})
        self._server.kubectl("patch", "secret", "fairlead-control", "--patch", data, namespace=self._namespace)


def older(folder: Path) -> Path:
    """The chart with a definition that lacks the last printer column."""
    shutil.copytree(CHART, folder / "fairlead")
    file = folder / "fairlead" / "files" / "servedmodels.yaml"
    definition = yaml.safe_load(file.read_text())
    definition["spec"]["versions"][0]["additionalPrinterColumns"].pop()
    file.write_text(yaml.safe_dump(definition))
    return folder / "fairlead"


def columns(server: ApiServer) -> int:
    definition = server.get("crd", "servedmodels.fairlead.dev")
    return len(definition["spec"]["versions"][0]["additionalPrinterColumns"])


def test_a_release_upgrades_the_definition_keeps_its_token_and_leaves_the_served_models(
    kuberay: ApiServer, namespace: str, tmp_path: Path
) -> None:
    release = Release(kuberay, namespace)
    # another test may have installed the definition before: this is what takes it over
    said = release.helm("install", "fairlead", str(older(tmp_path)), "--take-ownership")
    assert "kubectl delete crd servedmodels.fairlead.dev" in said
    token = release.token()
    assert len(token.strip()) == 48

    before = columns(kuberay)
    release.helm("upgrade", "fairlead", str(CHART), "--set", "pools.default.replicas=2")
    assert columns(kuberay) == before + 1
    assert release.token() == token
    scaled = kuberay.get("rayservice", "fairlead-default", namespace)
    assert scaled["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["replicas"] == 2
    release.set_token(f"new\n{token}")
    release.helm("upgrade", "fairlead", str(CHART))
    assert release.token() == f"new\n{token}"

    kuberay.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/servedmodels.fairlead.dev", limit_s=90)
    model = {"apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel", "spec": {"model": "churn"}}
    kuberay.apply({**model, "metadata": {"name": "churn", "namespace": namespace}})
    release.helm("uninstall", "fairlead")
    assert kuberay.get("servedmodel", "churn", namespace)["spec"]["model"] == "churn"
    with pytest.raises(Refused, match="not found"):
        kuberay.get("deployment", "fairlead-operator", namespace)

    release.helm("install", "fairlead", str(CHART))
    assert kuberay.get("servedmodel", "churn", namespace)["metadata"]["name"] == "churn"
    release.helm("uninstall", "fairlead")
