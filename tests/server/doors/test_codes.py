from __future__ import annotations

import grpc
import pytest

from fairlead_server.doors.codes import GRPC, HTTP
from fairlead_server.errors import Kind


@pytest.mark.parametrize("table", [HTTP, GRPC])
def test_every_table_covers_every_kind(table: dict[Kind, object]) -> None:
    """No error can reach a door that has no code for it."""
    assert set(table) == set(Kind)


def test_the_grpc_table_holds_names_that_grpc_knows() -> None:
    """The names in the table are gRPC's own."""
    assert all(hasattr(grpc.StatusCode, name) for name in GRPC.values())


def test_only_faults_of_ours_are_500() -> None:
    """A status of 500 and INTERNAL mean that the server failed, and nothing else does."""
    assert [kind for kind, status in HTTP.items() if status == 500] == [Kind.INTERNAL]
    assert [kind for kind, name in GRPC.items() if name in ("INTERNAL", "UNKNOWN")] == [Kind.INTERNAL]


def test_what_may_be_tried_again_reads_the_same_on_both_protocols() -> None:
    """503 over HTTP is UNAVAILABLE over gRPC, for the same kinds."""
    assert {kind for kind, status in HTTP.items() if status == 503} == {
        kind for kind, name in GRPC.items() if name == "UNAVAILABLE"
    }
