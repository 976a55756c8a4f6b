"""What the API server refuses of a ServedModel, and how it says so; the operator refuses the same in a file."""

from __future__ import annotations

from typing import Any

import pytest
from kube.api_server import ApiServer, Refused
from kube.served_models import create, model, patch, place

from fairlead_operator.spec import SpecFault, from_object

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"version": 1},
    {"version": "2147483647"},
    {"model": "Kreditprüfung 2025", "servedName": "größe/β"},
    {"model": "main.shop.churn", "alias": "a_b-C9"},
    {"model": "m" * 256, "alias": "a" * 255, "servedName": "s" * 256, "pool": "p" * 63},
    {"holdSeconds": 0},
    {"holdSeconds": 0.5},
    {"settings": {"tolerance": 0, "providers": ["cuda", "cpu"], "preferred_batch_sizes": [8, 16]}},
]


@pytest.mark.parametrize("spec", ACCEPTED, ids=lambda spec: " ".join(map(str, spec))[:60] or "nothing")
def test_what_the_operator_can_do_is_accepted(served_models: ApiServer, namespace: str, spec: dict[str, Any]) -> None:
    """By the API server, and by the operator."""
    from_object(create(served_models, namespace, model(**spec)))


BOTH = "names an alias and a version: use one of them"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"alias": "champion", "version": 3}, BOTH),
    ({"version": 0}, "a version is a positive whole number, such as 3"),
    ({"version": -1}, "a version is a positive whole number, such as 3"),
    ({"version": "v3"}, "a version is a positive whole number, such as 3"),
    ({"version": "03"}, "a version is a positive whole number, such as 3"),
    ({"version": ""}, "a version is a positive whole number, such as 3"),
    ({"version": 1.5}, "spec.version"),
    ({"alias": ""}, "spec.alias"),
    (
        {"alias": "models:/churn@champion"},
        "an alias is letters, digits, _ and -; give a name such as champion, without @",
    ),
    ({"alias": "a" * 256}, "spec.alias: Too long: may not be more than 255 bytes"),
    ({"model": "models:/churn/3"}, "a registered model's name holds no / and no :"),
    ({"model": ""}, "spec.model"),
    ({"servedName": "two\nlines"}, "a served name holds no control characters, such as a line's end"),
    ({"servedName": "ends\n"}, "a served name holds no control characters, such as a line's end"),
    ({"servedName": "s" * 257}, "spec.servedName: Too long: may not be more than 256 bytes"),
    ({"pool": "GPU"}, "a pool's name is lower-case letters, digits and -"),
    ({"pool": "gpu-"}, "a pool's name is lower-case letters, digits and -"),
    ({"strategy": "canary"}, 'spec.strategy: Unsupported value: "canary": supported values: "blue-green"'),
    ({"holdSeconds": -1}, "spec.holdSeconds in body should be greater than or equal to 0"),
    ({"holdSeconds": 1e9}, "spec.holdSeconds in body should be less than or equal to"),
    ({"holdSeconds": "600s"}, "spec.holdSeconds in body must be of type number"),
    ({"requireApproval": "yes"}, "spec.requireApproval in body must be of type boolean"),
    ({"settings": []}, "spec.settings in body must be of type object"),
    ({"modle": "churn"}, 'unknown field "spec.modle"'),
]


@pytest.mark.parametrize(
    ("spec", "text"), REFUSED, ids=lambda value: str(value)[:50] if isinstance(value, dict) else ""
)
def test_what_the_operator_could_not_do_is_refused(
    served_models: ApiServer, namespace: str, spec: dict[str, Any], text: str
) -> None:
    """With a sentence that helps; and the operator, which may meet it in a file, refuses it too."""
    with pytest.raises(Refused) as refused:
        create(served_models, namespace, model(**spec))
    assert text in str(refused.value)
    with pytest.raises(SpecFault):
        from_object(model(**spec))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_batchsize": 8}, 'unknown field "spec.settings.max_batchsize"'),
        ({"max_batch_size": 0}, "spec.settings.max_batch_size in body should be greater than or equal to 1"),
        ({"providers": ["gpu"]}, 'supported values: "cpu", "cuda"'),
        ({"providers": []}, "spec.settings.providers in body should have at least 1 items"),
        ({"padding": {"ids": {"axes": 1}}}, 'unknown field "spec.settings.padding.ids.axes"'),
        ({"warmup": "false"}, "spec.settings.warmup in body must be of type boolean"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_are_judged_as_the_server_would(
    served_models: ApiServer, namespace: str, settings: dict[str, Any], text: str
) -> None:
    """The operator leaves that to the server; here it is told before."""
    with pytest.raises(Refused) as refused:
        create(served_models, namespace, model(settings=settings))
    assert text in str(refused.value)


def test_its_names_stay_and_the_rest_may_change(served_models: ApiServer, namespace: str) -> None:
    """Also from or to what is meant where the field is left out."""
    create(served_models, namespace, model(pool="gpu", alias="champion"))
    path = place(namespace, "churn")
    for pool in ("default", None):
        with pytest.raises(Refused, match="cannot be changed: make another ServedModel for the other pool"):
            patch(served_models, path, {"spec": {"pool": pool}})
    for field in ("model", "servedName"):
        with pytest.raises(Refused, match=rf"spec\.{field}: .*cannot be changed: make another ServedModel with"):
            patch(served_models, path, {"spec": {field: "Other"}})
    change = {"model": "churn", "servedName": "churn", "alias": None, "version": 3, "holdSeconds": 1, "pool": "gpu"}
    changed = patch(served_models, path, {"spec": change})
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["version"] == 3
    patch(served_models, path, {"spec": {"model": None, "servedName": None}})
