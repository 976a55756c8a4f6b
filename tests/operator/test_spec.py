"""ServedModel YAML and tags: what is asked for, and faults at their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_operator.spec import Served, SpecFault, Tags, from_folder, from_object, from_tags, from_yaml

DIGEST = "sha256:" + "0a" * 32
HEAD = "apiVersion: fairlead.dev/v1alpha1\nkind: ServedModel\n"


def test_a_whole_served_model() -> None:
    """Every field of the YAML arrives."""
    text = HEAD + (
        f'metadata: {{name: churn, namespace: shop, annotations: {{fairlead.dev/pause: "{DIGEST}"}}}}\n'
        "spec: {model: Churn v2, version: 3, servedName: churn-live, strategy: blue-green, holdSeconds: 5, pool: gpu,\n"
        "  allowSignatureChange: true, requireApproval: true, settings: {max_batch_size: 8, providers: [cuda, cpu]}}\n"
    )
    assert from_yaml(text, "f", 7) == [
        Served(
            "churn-live",
            "Churn v2",
            version="3",
            pool="gpu",
            strategy="blue-green",
            settings={"max_batch_size": 8, "providers": ["cuda", "cpu"]},
            hold_s=5.0,
            allow_signature_change=True,
            require_approval=True,
            created=7,
            verbs={"pause": DIGEST},
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
        (HEAD + "metadata: {name: a}\nspec: {holdSeconds: -1}", "f[0]$.spec.holdSeconds: Expected `float` >= 0"),
        (HEAD + "metadata: {name: a}\nspec: {alias: a, version: 1}", "f[0]$.spec: names an alias and a version"),
        (HEAD + "metadata: {name: a}\nspec: {pool: A}", "f[0]$.spec.pool: a pool's name is lower-case"),
        (HEAD + "metadata: {name: a, annotations: {fairlead.dev/abort: v4}}\nspec: {}", "'v4' names no digest"),
        (HEAD + "metadata: {name: a}\nspec: {strategy: canary}", "strategy 'canary' is not known"),
        (HEAD.replace("v1alpha1", "v9") + "metadata: {name: a}\nspec: {}", "f[0]$.kind: wants apiVersion"),
    ],
)
def test_faults_name_their_place(text: str, place: str) -> None:
    """A fault says where it is and what is wrong there."""
    with pytest.raises(SpecFault) as fault:
        from_yaml(text, "f")
    assert place in str(fault.value)


OBJECT: dict[str, Any] = {
    "apiVersion": "fairlead.dev/v1alpha1",
    "kind": "ServedModel",
    "metadata": {
        "name": "churn",
        "namespace": "shop",
        "uid": "1-2-3",
        "creationTimestamp": "2026-01-01T00:00:01Z",
        "annotations": {"fairlead.dev/approve": DIGEST, "fairlead.dev/rollback": DIGEST, "other.dev/x": "y"},
        "managedFields": [],
    },
    "spec": {"model": "Churn", "pool": "default", "strategy": "blue-green"},
    "status": {"phase": "Serving"},
}


def test_an_object_of_a_cluster() -> None:
    """Who asks, since when, and the verbs come from its metadata."""
    claim = from_object(OBJECT, "live")
    assert claim == Served(
        "churn",
        "Churn",
        alias="live",
        created=1767225601000,
        ref="shop/churn",
        verbs={"approve": DIGEST, "rollback": DIGEST},
    )


def test_an_objects_fault_names_its_place() -> None:
    """In a cluster there is one object, so the place is a field's path."""
    for spec, message in [
        ({"version": 0}, "spec.version: a version is a positive whole number, such as 3"),
        ({"alias": "a", "version": 1}, "spec: names an alias and a version: use one of them"),
        ({"settings": 5}, "spec.settings: Expected `object`, got `int`"),
    ]:
        with pytest.raises(SpecFault) as fault:
            from_object({**OBJECT, "spec": spec})
        assert str(fault.value) == message
    with pytest.raises(SpecFault, match="ServedModel: Expected `object`"):
        from_object([])


@pytest.mark.parametrize("digest", ["", "true", "3", "sha256:12", DIGEST.upper(), DIGEST + "\n"])
def test_a_verb_names_a_whole_digest(digest: str) -> None:
    """A verb about nothing in particular could be about the wrong version: it says what to write."""
    bad = {**OBJECT, "metadata": {**OBJECT["metadata"], "annotations": {"fairlead.dev/approve": digest}}}
    with pytest.raises(SpecFault) as fault:
        from_object(bad)
    assert str(fault.value).startswith("metadata.annotations[fairlead.dev/approve]: ")
    assert "write sha256: and 64 hexadecimal digits" in str(fault.value)


def test_what_kubectl_prints_is_a_file() -> None:
    """An object that was taken out of a cluster works standalone, with its age; one never applied has none."""
    assert from_yaml(yaml.safe_dump(OBJECT), "f", 7)[0].created == 1767225601000
    text = HEAD + "metadata: {name: a, creationTimestamp: null, annotations: null}\nspec: {}"
    assert from_yaml(text, "f", 7)[0].created == 7


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
