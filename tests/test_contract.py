"""The contract between operator and server: two programs, two documents, no shared code.

The only place that imports both. What one writes the other reads with the same meaning, and both agree with
the published schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from operator_site import Site

from fairlead_operator import documents as operator
from fairlead_operator.strategies.gates import RANKS
from fairlead_server.models import catalog as server_catalog
from fairlead_server.models import profile as server_profile
from fairlead_server.models import signature as server_signature
from fairlead_server.models import states as server_states
from fairlead_server.models import status as server_status
from fairlead_server.models.parsing import parse

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "schemas"
DIGEST = "sha256:" + "0" * 64

PAIRS = [
    (operator.Catalog, server_catalog.Catalog),
    (operator.ModelEntry, server_catalog.ModelEntry),
    (operator.VersionEntry, server_catalog.VersionEntry),
    (operator.Route, server_catalog.Route),
    (operator.ReplicaStatus, server_status.Status),
    (operator.ModelStatus, server_status.ModelStatus),
    (operator.VersionStatus, server_status.VersionStatus),
    (operator.WorkerStatus, server_status.WorkerStatus),
    (operator.WorkerVersion, server_status.WorkerVersion),
    (operator.Readings, server_status.Readings),
    (operator.Profile, server_profile.Profile),
    (operator.Smoke, server_profile.Smoke),
    (operator.Signature, server_signature.Signature),
    (operator.TensorSpec, server_signature.TensorSpec),
]

# The operator's notes for the next one: the server passes them over.
OWN = {operator.Catalog: {"retired"}, operator.ModelEntry: {"model"}}

ENTRIES = {
    "first": operator.ModelEntry({"1": operator.VersionEntry("/m/1")}, operator.Route({"1": 0.0})),
    "churn": operator.ModelEntry(
        {
            "3": operator.VersionEntry("file:///m/3", DIGEST, {"max_batch_size": 8, "providers": ["cuda", "cpu"]}),
            "4": operator.VersionEntry("mlflow-artifacts+http://h:5000/0/m/artifacts"),
        },
        operator.Route({"3": 1.0}, {"header": "x-user"}, ({"version": "4", "value": "canary", "header": "x-stage"},)),
        {"champion": "3"},
    ),
}

STATUS = server_status.Status(
    apiVersion=server_status.API_VERSION,
    replica="host-0",
    boot="b1",
    generation=42,
    applied=41,
    ready=True,
    draining=False,
    owner="staging",
    models={
        "churn": server_status.ModelStatus(
            applied=41,
            route={"3": 1.0},
            reason="version 4 is loading",
            versions={
                "3": server_status.VersionStatus(
                    server_states.State.READY,
                    12.5,
                    digest=DIGEST,
                    signature=server_signature.Signature(
                        (server_signature.TensorSpec("x", "FP32", (-1, 4), ("n", "")),),
                        (server_signature.TensorSpec("y", "INT64", (-1,), labels=("a", "b"), optional=True),),
                    ),
                    profile=server_profile.Profile(
                        10, {1: 2.5}, True, "", server_profile.Smoke("example", True, "two rows")
                    ),
                    readings=server_status.Readings(requests=7, failures={"invalid": 1}),
                    workers={"w1": server_status.WorkerVersion(server_states.State.READY, 1.0)},
                ),
                "4": server_status.VersionStatus(server_states.State.FAILED, 13.0, "cut short", True),
            },
        )
    },
    workers=(server_status.WorkerStatus("w1", 4711, "accepting", 1.0, 41, 2**20),),
    conditions={"DiskFull": "no space left"},
)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return found


def default(field: Any) -> Any:
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return msgspec.to_builtins(value)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_field_that_the_operator_knows_is_the_servers(ours: Any, theirs: Any) -> None:
    """The same names, and what one may leave out the other may, with the same meaning."""
    known = {field.encode_name: field for field in msgspec.structs.fields(theirs)}
    for field in msgspec.structs.fields(ours):
        if field.encode_name in OWN.get(ours, ()):
            continue
        assert field.encode_name in known, field.name
        other = known[field.encode_name]
        assert field.required == other.required, field.name
        if not field.required:
            assert default(field) == default(other), field.name


def test_the_server_reads_what_the_operator_writes() -> None:
    """A catalog goes through the server's own parser and back, and says the same."""
    written = operator.Catalog(operator.CATALOG_VERSION, 42, ENTRIES, "staging", ("weights",))
    data = operator.encode(written)
    jsonschema.validate(json.loads(data), schema("catalog.v1.json"))
    parsed = parse(data, yaml=False)
    assert parsed.faults == {}
    assert operator.read_catalog(msgspec.json.encode(parsed.catalog)) == written


def test_the_server_reads_every_catalog_of_a_rollout() -> None:
    """From the first version that is routed nowhere to the old one that is left out: all of them are valid."""
    site = Site()
    site.registry.register("m", "/m/1", "/m/2")
    written: list[operator.Catalog] = []
    site.carrier.on_write = lambda old, new: written.append(new)
    for version in ("1", "2"):
        site.registry.promote("m", version)
        site.run(70)
    assert len(written) == 7  # add, pin and switch of both versions, and the first one left out
    del site.registry.models["m"].tags["fairlead.serve"]
    site.run(5)
    assert [bool(catalog.retired) for catalog in written[7:]] == [True, False]  # untold, and told
    for catalog in written:
        data = operator.encode(catalog)
        jsonschema.validate(json.loads(data), schema("catalog.v1.json"))
        assert parse(data, yaml=False).faults == {}


def test_the_operator_reads_what_the_server_writes() -> None:
    """A status goes through the operator's own types and back, and says the same."""
    data = msgspec.json.encode(STATUS)
    jsonschema.validate(json.loads(data), schema("status.v1.json"))
    read = operator.read_status(data)
    again = msgspec.json.encode(read)
    jsonschema.validate(json.loads(again), schema("status.v1.json"))
    assert msgspec.json.decode(again, type=server_status.Status) == STATUS


def test_the_operator_knows_the_servers_states() -> None:
    """Every state on the way to ready has a rank, in the server's order."""
    forward = [state for state in server_states.State if state.value in RANKS]
    assert [state.value for state in forward] == sorted(RANKS, key=lambda state: RANKS[state])
    ends = {server_states.State.DRAINING, server_states.State.CLOSED, server_states.State.FAILED}
    assert set(server_states.State) - set(forward) == ends


def test_both_name_the_same_documents() -> None:
    """One apiVersion for each document."""
    assert operator.CATALOG_VERSION == server_catalog.API_VERSION
    assert operator.STATUS_VERSION == server_status.API_VERSION
