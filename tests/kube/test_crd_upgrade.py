"""An upgrade of the ServedModel's definition, as a newer chart brings it, on a real API server."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube.api_server import ApiServer, Refused
from kube.served_models import STATUS, create, model, patch, place, soon, told

from generate_crd import PLACE

ROOT = Path(__file__).resolve().parents[2]


def older(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition as an earlier chart may have had it: fewer fields, no rules, in a group of its own."""
    made = copy.deepcopy(definition)
    made["metadata"] = {"name": "servedmodels.older.fairlead.dev"}
    made["spec"] |= {"group": "older.fairlead.dev"}
    made["spec"]["names"] |= {"shortNames": [], "categories": []}
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    spec["properties"] = {name: {"type": "string"} for name in ("model", "alias", "pool")}
    for ruled in (schema, spec):
        del ruled["x-kubernetes-validations"]
    return made


def test_an_upgrade_of_the_definition_keeps_the_objects(api_server: ApiServer, namespace: str, tmp_path: Path) -> None:
    """Same object, same generation; it gets the new defaults, and what breaks a new rule can still be operated."""
    new = yaml.safe_load((ROOT / PLACE).read_text())
    old, group = older(new), "older.fairlead.dev"
    file = tmp_path / "crd.yaml"
    file.write_text(yaml.safe_dump(old))
    api_server.install(file)
    before = {}
    for name, pool in (("good", "default"), ("bad", "Not A Label")):
        document = {**model(name, model="Churn", pool=pool), "apiVersion": f"{group}/v1alpha1"}
        before[name] = create(api_server, namespace, document, group)
    old["spec"]["versions"] = new["spec"]["versions"]
    file.write_text(yaml.safe_dump(old))
    api_server.install(file)
    good = place(namespace, "good", group)
    soon(lambda: str(told(api_server.http.get(good))["spec"].get("requireApproval")), "False")
    after = told(api_server.http.get(good))
    assert after["metadata"]["uid"] == before["good"]["metadata"]["uid"]
    assert after["metadata"]["generation"] == before["good"]["metadata"]["generation"]
    assert after["spec"] | before["good"]["spec"] == after["spec"]
    assert patch(api_server, good, {"spec": {"requireApproval": True}})["spec"]["requireApproval"] is True
    bad = place(namespace, "bad", group)
    assert patch(api_server, f"{bad}/status", {"status": STATUS})["status"] == STATUS
    assert patch(api_server, bad, {"spec": {"alias": "champion"}})["spec"]["alias"] == "champion"
    with pytest.raises(Refused, match="a pool's name is"):
        patch(api_server, bad, {"spec": {"pool": "Other"}})
