"""ServedModel YAML and tags: what is asked for, and faults at their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead_operator.spec import Served, SpecFault, Tags, from_folder, from_tags, from_yaml

HEAD = "apiVersion: fairlead.dev/v1alpha1\nkind: ServedModel\n"


def test_a_whole_served_model() -> None:
    """Every field of the YAML arrives."""
    text = HEAD + (
        "metadata: {name: churn}\n"
        "spec: {model: Churn v2, version: 3, servedName: churn-live, strategy: blue-green, holdSeconds: 5,\n"
        "  allowSignatureChange: true, settings: {max_batch_size: 8, providers: [cuda, cpu]}}\n"
    )
    assert from_yaml(text, "f", 7) == [
        Served(
            "churn-live",
            "Churn v2",
            "",
            "3",
            "default",
            "blue-green",
            {"max_batch_size": 8, "providers": ["cuda", "cpu"]},
            5.0,
            True,
            7,
        )
    ]


def test_the_least_served_model() -> None:
    """The name alone serves the model of that name at the default alias; several documents are several models."""
    text = HEAD + "metadata: {name: a}\nspec: {}\n---\n" + HEAD + "metadata: {name: b}\nspec: {alias: blue}\n"
    first, second = from_yaml(text, "f")
    assert (first.served, first.model, first.alias) == ("a", "a", "champion")
    assert (second.served, second.alias) == ("b", "blue")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("spec: [", "f: not YAML"),
        ("5", "f[0]: Expected `object`"),
        (HEAD + "metadata: {}\nspec: {}", "f[0]$.metadata: Object missing required field `name`"),
        (HEAD + "metadata: {name: a}\nspec: {modle: x}", "f[0]$.spec: Object contains unknown field `modle`"),
        (HEAD + "metadata: {name: a}\nspec: {holdSeconds: soon}", "f[0]$.spec.holdSeconds: Expected"),
        (HEAD + "metadata: {name: a}\nspec: {holdSeconds: -1}", "give 0 or more"),
        (HEAD + "metadata: {name: a}\nspec: {alias: a, version: 1}", "f[0]$.spec: names an alias and a version"),
        (HEAD + "metadata: {name: a}\nspec: {strategy: canary}", "strategy 'canary' is not known"),
        (HEAD.replace("v1alpha1", "v9") + "metadata: {name: a}\nspec: {}", "f[0]$.kind: wants apiVersion"),
    ],
)
def test_faults_name_their_place(text: str, place: str) -> None:
    """A fault says where it is and what is wrong there."""
    with pytest.raises(SpecFault) as fault:
        from_yaml(text, "f")
    assert place in str(fault.value)


def test_a_broken_file_is_a_fault_and_spares_the_others(tmp_path: Path) -> None:
    """A folder gives what can be read, and the faults by file."""
    (tmp_path / "a.yaml").write_text(HEAD + "metadata: {name: a}\nspec: {}\n")
    (tmp_path / "b.yml").write_text("spec: [")
    (tmp_path / "c.txt").write_text("not ours")
    claims, faults = from_folder(tmp_path)
    assert [claim.served for claim in claims] == ["a"]
    assert list(faults) == ["b.yml"]


def test_tags_of_a_registered_model() -> None:
    """Settings are JSON where they are JSON; the rest is text."""
    tags = {
        "fairlead.serve": "true",
        "fairlead.alias": "live",
        "fairlead.name": "shop",
        "fairlead.hold": "30",
        "fairlead.settings.max_batch_size": "16",
        "fairlead.settings.graph_optimization": "basic",
        "fairlead.settings.tolerance": "NaN",
    }
    claim = from_tags("m", tags, 3, Tags())
    assert (claim.served, claim.alias, claim.hold_s, claim.created) == ("shop", "live", 30.0, 3)
    assert claim.settings == {"max_batch_size": 16, "graph_optimization": "basic", "tolerance": "NaN"}


def test_an_installation_has_tags_of_its_own() -> None:
    """Its own tag wins over the common one, also to say no; what it writes carries its name."""
    keys = Tags("staging")
    tags = {"fairlead.serve": "true", "fairlead.alias": "champion", "fairlead.staging.alias": "challenger"}
    assert from_tags("m", tags, 0, keys).alias == "challenger"
    assert keys.asks(tags)
    assert not keys.asks({**tags, "fairlead.staging.serve": "false"})
    assert Tags().asks({**tags, "fairlead.staging.serve": "false"})
    assert (keys.key("status"), Tags().key("status")) == ("fairlead.staging.status", "fairlead.status")


@pytest.mark.parametrize("name", ["settings", "Prod", "", "a.b", "-a"])
def test_names_that_no_installation_can_have(name: str) -> None:
    """A name that could be taken for a tag, or would not fit into one."""
    with pytest.raises(SpecFault):
        Tags(name)


def test_a_tag_that_is_no_number() -> None:
    """The fault names the tag and the model."""
    with pytest.raises(SpecFault, match=r"tag fairlead\.hold of m: 'soon'"):
        from_tags("m", {"fairlead.hold": "soon"}, 0, Tags())
