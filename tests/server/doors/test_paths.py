from __future__ import annotations

import pytest

from fairlead_server.doors.paths import Action, Target, find
from fairlead_server.errors import Kind, ServingError


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/v2", Target(Action.SERVER)),
        (b"/v2/health/live", Target(Action.LIVE)),
        (b"/v2/health/ready", Target(Action.READY)),
        (b"/v2/models/churn", Target(Action.MODEL, "churn")),
        (b"/v2/models/churn/ready", Target(Action.MODEL_READY, "churn")),
        (b"/v2/models/churn/infer", Target(Action.INFER, "churn")),
        (b"/v2/models/churn/versions/3/config", Target(Action.MODEL_CONFIGURATION, "churn", "3")),
        (b"/v2/models/churn/versions/3", Target(Action.MODEL, "churn", "3")),
        (b"/v2/models/churn/versions/champion/infer", Target(Action.INFER, "churn", "champion")),
        (b"/v2/models/my%20model.v1/infer", Target(Action.INFER, "my model.v1")),
        (b"/v2/models/a%2Fb/infer", Target(Action.INFER, "a/b")),
        (b"/v2/models/gr%C3%B6%C3%9Fe", Target(Action.MODEL, "größe")),
        (b"/v2/models/infer/infer", Target(Action.INFER, "infer")),
        (b"/v2/models/versions/infer", Target(Action.INFER, "versions")),
    ],
)
def test_a_path_names_its_target(path: bytes, target: Target) -> None:
    """Every path of the protocol is found, with names percent-decoded."""
    assert find(path) == target


@pytest.mark.parametrize("path", [b"/", b"/v2/", b"/v3", b"/v2/models", b"/v2/models//infer", b"/v2/models/a/b", b"*"])
def test_any_other_path_is_not_found(path: bytes) -> None:
    """What is not a path of the protocol says where to look."""
    with pytest.raises(ServingError, match=r"docs/protocol\.md") as caught:
        find(path)
    assert caught.value.kind is Kind.NOT_FOUND


def test_a_path_that_is_not_utf8_is_invalid() -> None:
    """Percent-encoded bytes that are no text are told apart from a path that does not exist."""
    with pytest.raises(ServingError) as caught:
        find(b"/v2/models/%ff/infer")
    assert caught.value.kind is Kind.INVALID
