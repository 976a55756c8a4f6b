"""The ServedModel's definition on a real API server: examples, the status, and what kubectl makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kube.api_server import ApiServer, Refused
from kube.served_models import STATUS, create, model, patch, place, soon, told

from fairlead_operator.spec import from_object

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "manifests" / "servedmodels").glob("*.yaml"))


def test_it_is_established_without_complaint(served_models: ApiServer) -> None:
    """Its schema is structural, and every condition is as it should be."""
    definition = served_models.get("crd", "servedmodels.fairlead.dev")
    found = {one["type"]: one["status"] for one in definition["status"]["conditions"]}
    assert found["Established"] == found["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in found
    assert definition["status"]["acceptedNames"]["shortNames"] == ["sm"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_can_be_applied(served_models: ApiServer, namespace: str, file: Path) -> None:
    """As a person does it, twice, and the second time nothing changes; the stored object is what the operator reads."""
    served_models.kubectl("apply", "-f", str(file), namespace=namespace)
    again = served_models.kubectl("apply", "-f", str(file), namespace=namespace)
    assert all(line.endswith("unchanged") for line in again.splitlines())
    for document in yaml.safe_load_all(file.read_text()):
        stored = served_models.get("servedmodel", document["metadata"]["name"], namespace)
        claim = from_object(stored)
        assert claim.ref == f"{namespace}/{document['metadata']['name']}"
        assert claim.created > 0
        assert claim.settings == document["spec"].get("settings", {})


def test_defaults_are_filled_in(served_models: ApiServer, namespace: str) -> None:
    """Those that say what happens; settings stay as they were written."""
    stored = create(served_models, namespace, model(settings={"padding": {"ids": {}}}))
    assert stored["spec"] == {
        "pool": "default",
        "strategy": "blue-green",
        "settings": {"padding": {"ids": {}}},
        "allowSignatureChange": False,
        "requireApproval": False,
    }


def test_the_status_is_written_apart(served_models: ApiServer, namespace: str) -> None:
    """Whoever writes fields cannot write the status, nor the other way round; the generation counts fields alone."""
    assert "status" not in create(served_models, namespace, {**model(), "status": STATUS})
    path = place(namespace, "churn")
    written = patch(served_models, f"{path}/status", {"status": STATUS, "spec": {"alias": "sneaked"}})
    assert written["status"] == STATUS
    assert "alias" not in written["spec"]
    assert written["metadata"]["generation"] == 1
    kept = patch(served_models, path, {"spec": {"alias": "champion"}, "status": None})
    assert (kept["status"], kept["metadata"]["generation"]) == (STATUS, 2)
    for wiped in ({"status": None}, {"status": dict.fromkeys(STATUS)}):
        assert not patch(served_models, f"{path}/status", wiped).get("status")
        patch(served_models, f"{path}/status", {"status": STATUS})


def test_a_condition_is_replaced_by_its_type(served_models: ApiServer, namespace: str) -> None:
    """Two writers of conditions do not undo each other."""
    create(served_models, namespace, model())
    for manager, kind in (("one", "Ready"), ("two", "Conflict")):
        condition = {**STATUS["conditions"][0], "type": kind}
        body = {**model(), "status": {"conditions": [condition]}}
        del body["spec"]
        answer = served_models.http.patch(
            f"{place(namespace, 'churn')}/status",
            content=yaml.safe_dump(body),
            headers={"content-type": "application/apply-patch+yaml"},
            params={"fieldManager": manager},
        )
        found = told(answer)
    assert [one["type"] for one in found["status"]["conditions"]] == ["Ready", "Conflict"]


def test_what_kubectl_get_shows(served_models: ApiServer, namespace: str) -> None:
    """By the short name and by the category; more with -o wide."""
    create(served_models, namespace, model(model="Churn"))
    patch(served_models, f"{place(namespace, 'churn')}/status", {"status": STATUS})
    soon(lambda: served_models.kubectl("get", "sm", namespace=namespace), "churn")
    head, row = served_models.kubectl("get", "sm", namespace=namespace).splitlines()
    assert head.split() == ["NAME", "MODEL", "POOL", "PHASE", "STABLE", "CANDIDATE", "READY", "AGE"]
    assert row.split()[:-1] == ["churn", "Churn", "default", "Loading", "3", "4", "False"]
    head, row = served_models.kubectl("get", "fairlead", "-o", "wide", namespace=namespace).splitlines()
    assert head.split()[8:] == ["SERVED", "NAME", "REPLICAS", "REASON"]
    assert row.endswith(STATUS["reason"])


def test_kubectl_waits_for_it(served_models: ApiServer, namespace: str) -> None:
    """As docs/servedmodel.md says: for a condition, with a limit."""
    create(served_models, namespace, model())
    patch(served_models, f"{place(namespace, 'churn')}/status", {"status": STATUS})
    wait = ("wait", "--for=condition=Ready", "servedmodel/churn")
    with pytest.raises(Refused, match="timed out"):
        served_models.kubectl(*wait, "--timeout=1s", namespace=namespace)
    ready = {**STATUS["conditions"][0], "status": "True"}
    patch(served_models, f"{place(namespace, 'churn')}/status", {"status": {"conditions": [ready]}})
    assert "condition met" in served_models.kubectl(*wait, "--timeout=20s", namespace=namespace)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("sm", "A model of the MLflow registry"),
        ("sm.spec.requireApproval", "fairlead.dev/approve"),
        ("sm.spec.strategy", "ENUM: blue-green"),
        ("sm.spec.settings.max_batch_size", "(default: 64)"),
        ("sm.spec.settings.padding.mask", "the input that tells real from filled"),
        ("sm.status.conditions.reason", "Why, in one word for programs."),
    ],
)
def test_kubectl_explains_every_field(served_models: ApiServer, field: str, text: str) -> None:
    """From the descriptions in the types."""
    soon(lambda: " ".join(served_models.kubectl("explain", field).split()), text)


def test_a_field_that_is_not_known_is_refused_or_lost(served_models: ApiServer, namespace: str) -> None:
    """kubectl refuses it; who does not ask for that gets a warning, and the rest is stored. Memory keeps anything."""
    text = yaml.safe_dump(model(modle="x", settings={"max_batch_size": 8, "later": 1}))
    with pytest.raises(Refused, match=r'unknown field "spec.modle".*unknown field "spec.settings.later"'):
        served_models.kubectl("create", "-f", "-", namespace=namespace, stdin=text)
    answer = served_models.http.post(place(namespace), json=yaml.safe_load(text))
    assert answer.json()["spec"]["settings"] == {"max_batch_size": 8}
    assert "unknown field" in answer.headers["warning"]
    memory = {"anything": {"at": [1, {"all": "x"}]}}
    written = patch(served_models, f"{place(namespace, 'churn')}/status", {"status": {"memory": memory}})
    assert written["status"]["memory"] == memory
