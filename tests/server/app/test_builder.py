"""What a Serve config file may say of a pool; what it may not is told with its place."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead_server.app.builder import read

LEAST = {"state_dir": "/s", "catalog_file": "/c"}


def test_args_are_the_fields_of_the_settings() -> None:
    """Those of drain and limits too."""
    found, replicas = read({**LEAST, "replicas": 3, "workers": 2, "drain": {"grace_s": 7}, "limits": {"body_bytes": 5}})
    assert replicas == 3
    assert (found.workers, found.drain.grace_s, found.limits.body_bytes) == (2, 7.0, 5)


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ({**LEAST, "worker": 2}, "args: there is no 'worker'"),
        ({**LEAST, "drain": {"grace": 2}}, r"args\.drain: there is no 'grace'"),
        ({**LEAST, "limits": {"body": 2}}, r"args\.limits: there is no 'body'"),
        ({**LEAST, "workers": "two"}, r"Expected `int`.*\$\.workers"),
        ({**LEAST, "drain": 3}, r"Expected `object`.*\$\.drain"),
        ({"state_dir": "/s"}, "catalog_file or models"),
        ({"catalog_file": "/c"}, "state_dir"),
        ({**LEAST, "host": "0.0.0.0"}, "open to everybody"),
        ({**LEAST, "replicas": 0}, "replicas is 0"),
        ({**LEAST, "replicas": True}, "replicas is True"),
    ],
)
def test_what_cannot_be_meant(args: dict[str, Any], fault: str) -> None:
    """A misspelt key is never passed over."""
    with pytest.raises(ValueError, match=fault):
        read(args)
