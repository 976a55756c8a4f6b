"""docs/schemas: the published schemas say what the types take, and the examples hold against them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from fairlead_server.models.catalog import API_VERSION
from fairlead_server.models.parsing import parse
from fairlead_server.models.profile import Profile, Smoke
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.models.states import State
from fairlead_server.models.status import API_VERSION as STATUS_VERSION
from fairlead_server.models.status import ModelStatus, Readings, Status, VersionStatus, WorkerStatus, WorkerVersion

DOCS = Path(__file__).parents[3] / "docs"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((DOCS / "schemas" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def document(**changes: Any) -> dict[str, Any]:
    entry = {"versions": {"1": {"source": "/m", **changes}}, "route": {"weights": {"1": 1}}}
    return {"apiVersion": API_VERSION, "generation": 1, "models": {"m": entry}}


def test_the_documented_catalog_holds() -> None:
    """The example of docs/catalog.md validates as JSON."""
    example = re.search(r"```yaml\n(apiVersion.*?)```", (DOCS / "catalog.md").read_text(), re.DOTALL)
    assert example is not None
    validator("catalog.v1.json").validate(yaml.safe_load(example[1]))


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "sha256:0"},
        {"source": 1},
        {"settings": {"max_batch_size": 0}},
        {"settings": {"providers": ["tpu"]}},
        {"settings": {"warmup": "yes"}},
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(changes: dict[str, Any]) -> None:
    """A wrong value in a version fails both."""
    assert not validator("catalog.v1.json").is_valid(document(**changes))
    assert parse(json.dumps(document(**changes)).encode()).faults


def test_the_schema_lets_a_newer_operator_write_more() -> None:
    """Unknown optional fields are fine for both."""
    newer = document(size=3, settings={"later": 1})
    validator("catalog.v1.json").validate(newer)
    assert parse(json.dumps(newer).encode()).faults == {}


def test_every_setting_is_in_the_schema() -> None:
    """The catalog's schema names the settings one by one."""
    schema = json.loads((DOCS / "schemas" / "catalog.v1.json").read_text())
    assert set(schema["$defs"]["VersionSettings"]["properties"]) == set(VersionSettings.__struct_fields__)


def test_a_full_status_holds() -> None:
    """A status with everything in it, as the server writes it, validates; so does the least one."""
    spec = TensorSpec("x", "FP32", (-1, 4), ("n", ""), ("a",))
    version = VersionStatus(
        state=State.READY,
        since=1.5,
        digest="sha256:" + "0" * 64,
        signature=Signature((spec,), (spec,)),
        profile=Profile(bytes=1, latency_us={1: 10.0, 64: 80.0}, batching=True, smoke=Smoke("example", True)),
        readings=Readings(requests=1, failures={"invalid": 2}),
        workers={"w1": WorkerVersion(State.FAILED, 1.0, "why")},
    )
    status = Status(
        apiVersion=STATUS_VERSION,
        replica="r",
        boot="b",
        generation=2,
        applied=1,
        ready=True,
        draining=False,
        models={"m": ModelStatus(applied=1, versions={"1": version}, route={"1": 1.0})},
        workers=(WorkerStatus("w1", 1, "accepting", 1.0),),
        conditions={"DiskFull": "why"},
    )
    schema = validator("status.v1.json")
    schema.validate(json.loads(msgspec.json.encode(status)))
    least = msgspec.structs.replace(status, models={}, workers=(), conditions={})
    schema.validate(json.loads(msgspec.json.encode(least)))
