"""models.parsing: what is taken, what is refused, and which place is named."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.models.catalog import API_VERSION
from fairlead_server.models.parsing import CatalogFault, Reader, parse

DOCS = Path(__file__).parents[3] / "docs"


def entry(**changes: Any) -> dict[str, Any]:
    return {"versions": {"3": {"source": "/m/3"}, "4": {"source": "/m/4"}}, "route": {"weights": {"3": 1}}, **changes}


def document(models: dict[str, Any] | None = None, **changes: Any) -> bytes:
    whole = {"apiVersion": API_VERSION, "generation": 7, "models": models if models is not None else {"churn": entry()}}
    return json.dumps({**whole, **changes}).encode()


def fault(data: bytes, **options: bool) -> str:
    with pytest.raises(CatalogFault) as caught:
        parse(data, **options)
    return str(caught.value)


def test_the_example_of_the_documentation_is_taken() -> None:
    """The catalog shown in docs/catalog.md parses, with nothing left out."""
    example = re.search(r"```yaml\n(apiVersion.*?)```", (DOCS / "catalog.md").read_text(), re.DOTALL)
    assert example is not None
    catalog, faults = parse(example[1].encode())
    assert faults == {}
    assert catalog.generation == 42
    assert catalog.models["churn"].route.matches[0].version == "4"
    assert catalog.models["churn"].versions["3"].settings == {"max_batch_size": 128, "slo_ms": 50}


def test_json_and_yaml_are_the_same_document() -> None:
    """YAML and JSON of one document give one value."""
    text = f"apiVersion: {API_VERSION}\ngeneration: 7\nmodels: {{churn: {json.dumps(entry())}}}\n"
    assert parse(text.encode()) == parse(document())


def test_yaml_is_not_taken_over_the_wire() -> None:
    """Where only JSON is allowed, YAML is refused."""
    assert fault(b"generation: 7", yaml=False).startswith("$: JSON is malformed")


def test_a_route_may_send_nothing_anywhere_yet() -> None:
    """A first version is loaded and proven before it has a weight."""
    catalog, faults = parse(document({"churn": entry(route={"weights": {"3": 0}})}))
    assert faults == {}
    assert catalog.models["churn"].route.weights == {"3": 0.0}


def test_unknown_optional_fields_are_ignored() -> None:
    """Fields of a newer operator are passed over, at every level but where they would change a choice."""
    newer = entry(note="x", route={"weights": {"3": 1}, "shadow": "4"})
    newer["versions"]["3"]["size"] = 5
    newer["versions"]["3"]["settings"] = {"new_setting": 1}
    catalog, faults = parse(document({"churn": newer}, more=[1]))
    assert (list(catalog.models), faults) == (["churn"], {})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "$: Expected `object`, got `null`"),
        (b"[]", "$: Expected `object`, got `array`"),
        (b'{"generation": ', "$: Input data was truncated"),
        (b"[" * 100_000, "$: is neither JSON nor YAML: nested deeper than 64 levels, line 1"),
        (b'{"a":' * 100_000, "$: is nested too deeply"),
        (document(generation=0), "$.generation: Expected `int` >= 1"),
        (document(generation="7"), "$.generation: Expected `int`, got `str`"),
        (document(apiVersion="fairlead.dev/catalog/v2"), "$.apiVersion: is 'fairlead.dev/catalog/v2', and this server"),
        (document(requires=["weights", "shadow"]), "$.requires: this server does not know shadow: upgrade it first"),
        (b'{"models": 3}', "$.models: Expected `object`, got `int`"),
        (b"a: 1\nb: 2\na: 3", "$: is neither JSON nor YAML: the key 'a' is given twice, line 3"),
        (b"a: &x [*x]", "$: Object missing required field"),
        (b"a: !!python/object:os.system x", "$: is neither JSON nor YAML: could not determine a constructor"),
        (b"\xff\xfe\x00", "$: is neither JSON nor YAML"),
    ],
)
def test_a_structural_fault_refuses_the_document(data: bytes, told: str) -> None:
    """What is wrong with the document itself refuses it whole, by its place."""
    assert fault(data).startswith(told)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (3, '$.models["a.b"]: Expected `object`, got `int`'),
        ({"versions": {}, "route": {"weights": {}}}, '$.models["a.b"].versions: holds no version'),
        (entry(versions={"3": {}}), '$.models["a.b"].versions["3"]: Object missing required field `source`'),
        (entry(versions={"3": {"source": ""}}), '$.models["a.b"].versions["3"].source: is empty'),
        (entry(versions={"": {"source": "/m"}}), '$.models["a.b"].versions[""]: a version needs a name'),
        (entry(versions={"3\n": {"source": "/m"}}), '$.models["a.b"].versions["3\\n"]: a version needs a name'),
        (
            entry(versions={"3": {"source": "/m", "digest": "md5:1"}}),
            '$.models["a.b"].versions["3"].digest: Expected `str` matching regex',
        ),
        (
            entry(versions={"3": {"source": "/m", "settings": {"max_batch_size": 0}}}),
            '$.models["a.b"].versions["3"].settings: max_batch_size: Expected `int` >= 1',
        ),
        (
            entry(route={"weights": {"5": 1}}),
            "$.models[\"a.b\"].route.weights: names version '5', and the entry holds 3, 4",
        ),
        (entry(route={"weights": {}}), '$.models["a.b"].route.weights: names no version'),
        (entry(route={"weights": {"3": 1e308, "4": 1e308}}), '$.models["a.b"].route.weights: names no version, or its'),
        (entry(route={"weights": {"3": -1}}), '$.models["a.b"].route.weights[...]: Expected `float` >= 0.0'),
        (entry(route={"weights": {"3": 1}, "sticky": {}}), '$.models["a.b"].route.sticky: names one header or one'),
        (
            entry(route={"weights": {"3": 1}, "sticky": {"cookie": "x"}}),
            '$.models["a.b"].route.sticky: Object contains unknown field `cookie`',
        ),
        (
            entry(route={"weights": {"3": 1}, "matches": [{"header": "h", "value": "v", "version": "9"}]}),
            "$.models[\"a.b\"].route.matches[0].version: names version '9'",
        ),
        (
            entry(route={"weights": {"3": 1}, "matches": [{"value": "v", "version": "3"}]}),
            '$.models["a.b"].route.matches[0]: names one header or one parameter',
        ),
        (entry(aliases={"champion": "9"}), '$.models["a.b"].aliases["champion"]: names version \'9\''),
        (entry(aliases={"3": "4"}), '$.models["a.b"].aliases["3"]: is also the name of a version'),
    ],
)
def test_a_fault_inside_one_model_fails_that_model_only(wrong: Any, told: str) -> None:
    """The faulty model is left out and told by its place; the others are taken."""
    catalog, faults = parse(document({"a.b": wrong, "churn": entry()}))
    assert list(catalog.models) == ["churn"]
    assert list(faults) == ["a.b"]
    assert faults["a.b"].startswith(told)


def test_numbers_as_versions_are_told_in_words() -> None:
    """YAML's unquoted version numbers are refused with what to write instead."""
    text = f"apiVersion: {API_VERSION}\ngeneration: 1\nmodels: "
    text += "{a: {versions: {3: {source: /m}}, route: {weights: {}}}}"
    assert parse(text.encode()).faults == {"a": '$.models["a"].versions: a version is text: write "3" in quotes'}


def test_text_that_is_not_utf8_inside_a_model_fails_that_model() -> None:
    """Bytes that are no UTF-8 in one entry do not stop the others."""
    data = document({"bad": entry(aliases={"AA": "3"}), "churn": entry()}).replace(b"AA", b"\xff\xff")
    catalog, faults = parse(data)
    assert list(catalog.models) == ["churn"]
    assert "utf-8" in faults["bad"]


def test_five_thousand_models_parse_quickly() -> None:
    """A document of 5,000 models is parsed in far less than the second that tests allow."""
    data = document({f"model-{i}": entry() for i in range(5_000)})
    start = time.perf_counter()
    catalog, _ = parse(data)
    assert len(catalog.models) == 5_000
    assert time.perf_counter() - start < 1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever the bytes are, the answer is a catalog or a CatalogFault."""
    with pytest.raises(CatalogFault):
        parse(data)


@given(json_values, st.sampled_from(["versions", "route", "aliases", "versions.3", "route.weights", "route.matches"]))
def test_no_value_inside_a_model_refuses_the_document(value: Any, place: str) -> None:
    """Any value at any place inside a model is that model's own matter."""
    spoilt = entry()
    *above, last = place.split(".")
    spot = spoilt[above[0]] if above else spoilt
    spot[last] = value
    catalog, _ = parse(document({"spoilt": spoilt, "churn": entry()}))
    assert "churn" in catalog.models


def test_an_entry_with_the_same_bytes_is_the_same_object_again() -> None:
    """Of the next document only what differs is read; what was at fault is told again."""
    reader = Reader()
    changed = entry(aliases={"champion": "3"})
    first = reader.read(document({"a": entry(), "b": entry(), "broken": {}}))
    after = document({"a": entry(), "b": changed, "broken": {}}, generation=8)
    second = reader.read(after)
    assert second.catalog.models["a"] is first.catalog.models["a"]
    assert (second, "broken" in second.faults) == (parse(after), True)


def test_what_came_between_two_documents_does_not_matter() -> None:
    """Neither one that cannot be read, nor YAML."""
    reader = Reader()
    first = reader.read(document())
    with pytest.raises(CatalogFault):
        reader.read(b"{")
    assert reader.read(document(generation=8)).catalog.models["churn"] is first.catalog.models["churn"]
    reader.read(f"apiVersion: {API_VERSION}\ngeneration: 9\nmodels: {{churn: {json.dumps(entry())}}}\n".encode())
    assert reader.read(document()) == first
