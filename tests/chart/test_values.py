"""values.yaml, its schema and its table say the same, and a key that is not known is refused on every level."""

from __future__ import annotations

import copy
import json
import runpy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from chart.everything import EVERYTHING
from chart.rendering import CHART, ROOT, Refused, helm, render

from chart_values.table import rows, table

VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
EXAMPLES = sorted((ROOT / "manifests").glob("values-*.yaml"))


def resolve(schema: Any) -> Any:
    name = schema.get("$ref", "").removeprefix("#/definitions/")
    return SCHEMA["definitions"][name] if name else schema


def places(schema: Any, value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in `value` an object stands whose keys the schema names."""
    schema = resolve(schema)
    if isinstance(value, dict):
        if schema.get("additionalProperties") is False:
            yield path
        more = schema.get("additionalProperties") or {}
        for key, inner in value.items():
            yield from places(schema.get("properties", {}).get(key, more), inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(schema["items"], inner, (*path, index))


def test_every_key_has_a_comment_and_stands_in_the_readme() -> None:
    assert table(rows(VALUES)) in (CHART / "README.md").read_text()


def test_a_key_without_a_comment_is_noticed() -> None:
    with pytest.raises(ValueError, match=r"no comment above image\.tag"):
        rows("# The image.\nimage:\n  # Its name.\n  name: x\n  tag: y\n")


def test_the_schema_knows_the_keys_of_the_file_and_no_others() -> None:
    def compare(schema: Any, value: Any, path: str) -> None:
        known = resolve(schema).get("properties")
        if known is None or not isinstance(value, dict) or not value:
            return
        if path.endswith((".requests", ".limits", ".selector", "probes.readiness", "probes.liveness")):
            return
        assert known.keys() - {"global", "claims"} == value.keys(), path
        for key, inner in value.items():
            compare(known[key], inner, f"{path}.{key}")

    compare(SCHEMA, yaml.safe_load(VALUES), "")


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(yaml.safe_load(VALUES), SCHEMA)
    jsonschema.validate(EVERYTHING, SCHEMA)


@pytest.mark.parametrize("place", sorted(set(places(SCHEMA, EVERYTHING)), key=str), ids=str)
def test_a_misspelt_key_is_refused_wherever_keys_are_known(place: tuple[Any, ...]) -> None:
    values: Any = copy.deepcopy(EVERYTHING)
    inner = values
    for step in place:
        inner = inner[step]
    inner["misspelt"] = 1
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        jsonschema.validate(values, SCHEMA)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"opertor": {}}, "opertor is not allowed"),
        ({"image": {"tags": "1"}}, "image: Additional property tags"),
        ({"operator": {"tags": {"pool": []}}}, "operator.tags: Additional property pool"),
        ({"pools": {"default": {"drain": {"graceSecond": 1}}}}, "pools.default.drain: Additional property graceSecond"),
        ({"pools": {"default": {"resources": {"limit": {}}}}}, "resources: Additional property limit"),
        ({"pools": {"gpu": {"affinity": {"nodeAfinity": {}}}}}, "affinity: Additional property nodeAfinity"),
        ({"pools": {"Big": {}}}, "Big"),
        ({"pools": {"default": {"replicas": 0}}}, "greater than or equal to 1"),
        ({"pools": {"default": {"memoryLimit": "3.5 GB"}}}, "memoryLimit"),
        ({"pools": {"default": {"logLevel": "loud"}}}, "logLevel"),
        ({"rbac": {"scope": "clusterwide"}}, "rbac.scope"),
        ({"pools": {"gpu": None}}, "pools.gpu: Invalid type"),
        ({"networkPolicy": {"kuberay": []}}, "at least 1 items"),
        ({"mlflow": {"uri": "databricks"}}, "mlflow.uri"),
    ],
)
def test_helm_refuses_what_cannot_be_meant(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        render(values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"mlflow": {"uri": ""}}, "MLflow's address is missing"),
        ({"pools": {"default": None}}, "there is no pool"),
        ({"pools": {"operator": {}}}, 'cannot be called "operator"'),
        ({"pools": {"default-metrics": {}}}, 'cannot be called "default-metrics"'),
        ({"pools": {"a-pool-with-a-long-name": {}}, "fullnameOverride": "a-name-of-a-long-release"}, "KubeRay takes"),
        ({"operator": {"tags": {"pools": ["gpu"]}}}, 'names "gpu", and there is no such pool'),
        ({"operator": {"watchNamespaces": ["team-a"]}}, "watchNamespaces does not hold it"),
        ({"pools": {"default": {"autoscaling": {"enabled": True, "least": 5}}}}, "least is more than"),
        ({"pools": {"default": {"gateway": {"http": True}}}}, "parentRefs is empty"),
        (
            {"pools": {"default": {"gateway": {"http": True, "grpc": True, "hostnames": ["a"]}}}},
            "one kind of route for a host name",
        ),
        ({"pools": {"default": {"gcsFaultTolerance": {"enabled": True}}}}, "redisAddress is missing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_with_what_to_do(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        render(values)


@pytest.mark.parametrize("example", [None, *EXAMPLES], ids=lambda path: path.name if path else "defaults")
def test_helm_finds_no_fault(example: Any) -> None:
    options = [] if example is None else ["--values", str(example)]
    said = helm("lint", "--strict", "--namespace", "fairlead", str(CHART), *options)
    assert "0 chart(s) failed" in said
    assert render(None, *options, "--namespace", "fairlead").of("RayService")


def test_everything_at_once_renders() -> None:
    assert render(EVERYTHING).names("RayService") == ["fairlead-default", "fairlead-elastic", "fairlead-small"]


def test_the_generated_files_are_up_to_date(tmp_path: Any) -> None:
    runpy.run_path(str(ROOT / "hack" / "generate_chart.py"))["main"](tmp_path)
    for name in ("values.schema.json", "README.md"):
        assert (tmp_path / "charts" / "fairlead" / name).read_text() == (CHART / name).read_text(), name
