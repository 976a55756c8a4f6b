"""The ServedModel's definition: it is what the types say, and the examples and the document tell all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from fairlead_operator import resource
from fairlead_operator.spec import VERBS, from_object, from_yaml
from generate_crd import PLACE, main

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / PLACE
EXAMPLES = sorted((ROOT / "manifests" / "servedmodels").glob("*.yaml"))
DIGEST = "sha256:" + "0" * 64

DEFINITION = yaml.safe_load(FILE.read_text())
VERSION = DEFINITION["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC, STATUS = SCHEMA["properties"]["spec"], SCHEMA["properties"]["status"]

FULL_STATUS = resource.Status(
    observed_generation=2,
    phase="Holding",
    reason="version 4 serves",
    served_name="churn",
    pool="default",
    stable=resource.Pinned("4", DIGEST),
    candidate=resource.Pinned("5"),
    weights={"4": 90.0, "5": 10.0},
    step="1 of 2",
    replicas=resource.Replicas(2, 2),
    conditions=(resource.Condition("Ready", "True", "Serving", "it serves", "2026-01-01T00:00:00Z", 2),),
    last_verdict=resource.Verdict("Pass", "4", "every gate passed", "2026-01-01T00:00:00Z", DIGEST),
    memory={"anything": [{"goes": 1}]},
)


def documents() -> list[dict[str, Any]]:
    return [document for file in EXAMPLES for document in yaml.safe_load_all(file.read_text())]


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below this one, with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from objects(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from objects(schema[key], f"{path}[]")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """As kubectl judges: a field that is not known is refused."""
    made = {**schema, "properties": {name: strict(below) for name, below in schema.get("properties", {}).items()}}
    for key in {"items", "additionalProperties"} & set(schema):
        made[key] = strict(schema[key])
    known = made["properties"] and schema is not SCHEMA["properties"]["metadata"]
    return {**made, "additionalProperties": False} if known else made


def test_the_file_is_what_the_types_say(tmp_path: Path) -> None:
    """hack/generate was run after the last change."""
    main(tmp_path)
    assert (tmp_path / PLACE).read_text() == FILE.read_text()


def test_names_by_which_it_is_asked_for() -> None:
    """`kubectl get sm`, and `kubectl get fairlead` for all kinds of ours; the status is written apart."""
    names = DEFINITION["spec"]["names"]
    assert (names["plural"], names["shortNames"], names["categories"]) == ("servedmodels", ["sm"], ["fairlead"])
    assert DEFINITION["metadata"]["name"] == "servedmodels.fairlead.dev"
    assert VERSION["subresources"] == {"status": {}}


@pytest.mark.parametrize(("struct", "schema"), [(resource.Spec, SPEC), (resource.Status, STATUS)])
def test_every_field_of_the_types_is_in_the_schema(struct: type[msgspec.Struct], schema: dict[str, Any]) -> None:
    """And no other."""
    assert list(schema["properties"]) == list(struct.__struct_encode_fields__)


def test_every_field_says_what_it_means() -> None:
    """kubectl explain has a sentence for each."""
    for path, schema in objects(SCHEMA):
        if not path.endswith("[]") and path != ".metadata":
            assert schema.get("description"), path


def test_the_schema_is_structural() -> None:
    """Every value has a type, nothing is by reference, may be null, or stands in a status by default."""
    for path, schema in objects(SCHEMA):
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "anyOf", "title"} & set(schema), path
        assert not ({"properties", "additionalProperties"} <= set(schema)), path
        assert "default" not in schema or (path.startswith(".spec.") and ".settings" not in path), path


def test_what_a_rule_looks_at_is_bounded() -> None:
    """The API server refuses a definition whose rules could cost too much; what it reads must have an end."""
    for path, schema in objects(SPEC):
        if schema.get("type") == "string" and "x-kubernetes-validations" in schema:
            assert schema["maxLength"], path


def test_settings_are_those_that_the_server_knows() -> None:
    """As its published schema has them, and without defaults."""
    published = yaml.safe_load((ROOT / "docs" / "schemas" / "catalog.v1.json").read_text())["$defs"]["VersionSettings"]
    assert set(SPEC["properties"]["settings"]["properties"]) == set(published["properties"])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_is_accepted(file: Path) -> None:
    """By the schema, and standalone."""
    for document in yaml.safe_load_all(file.read_text()):
        jsonschema.validate(document, strict(SCHEMA))
    assert from_yaml(file.read_text(), file.name)


def test_the_examples_show_every_field_and_a_verb() -> None:
    """What is in no example is found by nobody."""
    shown = {field for document in documents() for field in document["spec"]}
    assert shown == set(SPEC["properties"])
    annotated = [name for document in documents() for name in document["metadata"].get("annotations", ())]
    assert any(name.removeprefix(resource.PREFIX) in VERBS for name in annotated)


def test_what_the_operator_writes_is_accepted() -> None:
    """Every field of a status; and one that was wiped."""
    written = msgspec.json.decode(msgspec.json.encode(FULL_STATUS))
    assert set(written) == set(STATUS["properties"])
    jsonschema.validate(written, strict(STATUS))
    jsonschema.validate({}, strict(STATUS))
    assert msgspec.convert(written, resource.Status) == FULL_STATUS


def test_the_rules_in_python_are_the_rules_of_the_schema() -> None:
    """Each stands in it, at its field, with its message."""
    found = {
        (path.removeprefix("."), rule["rule"], rule["message"])
        for path, schema in objects(SCHEMA)
        for rule in schema.get("x-kubernetes-validations", ())
    }
    assert found == {(rule.place, rule.cel, rule.message) for rule in resource.RULES}


def test_a_default_is_what_the_operator_takes() -> None:
    """An object that the API server has filled in means what the bare one means."""
    filled = {name: field["default"] for name, field in SPEC["properties"].items() if "default" in field}
    head = {"apiVersion": resource.API_VERSION, "kind": resource.KIND, "metadata": {"name": "a"}}
    assert filled
    assert from_object({**head, "spec": filled}) == from_object({**head, "spec": {}})


def test_the_document_tells_every_field_verb_and_column() -> None:
    """docs/servedmodel.md is complete."""
    text = (ROOT / "docs" / "servedmodel.md").read_text()
    told = set(re.findall(r"`([^`]+)`", re.sub(r"(?s)```.*?```", "", text)))
    assert set(SPEC["properties"]) <= told
    assert set(STATUS["properties"]) <= told
    assert {f"{resource.PREFIX}{verb}" for verb in VERBS} <= told
    for column in VERSION["additionalPrinterColumns"]:
        assert column["name"].upper() in text
