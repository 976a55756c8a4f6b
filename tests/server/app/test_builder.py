"""What a Serve config file may say of a pool; what it may not is told with its place."""

from __future__ import annotations

from typing import Any

import pytest
from ray import cloudpickle

from fairlead_server.app import scaling
from fairlead_server.app.builder import read
from fairlead_server.app.scaling import Span, Targets

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
        ({**LEAST, "drain": 3}, r"args\.drain is 3, and should be a mapping"),
        ({**LEAST, "replicas": 2, "autoscaling": {"least": 1, "most": 2}}, "replicas, or autoscaling"),
        ({**LEAST, "autoscaling": 4}, r"args\.autoscaling is 4"),
        ({**LEAST, "autoscaling": {"min": 1}}, r"args\.autoscaling: there is no 'min'"),
        ({**LEAST, "autoscaling": {"least": 1}}, r"args\.autoscaling: .*most"),
        ({**LEAST, "autoscaling": {"least": "one", "most": 2}}, "least is 'one'"),
        ({**LEAST, "autoscaling": {"least": 3, "most": 2}}, "from 3 to 2 replicas"),
        ({**LEAST, "autoscaling": {"least": 1, "most": 2, "first": 3}}, "first is 3"),
        ({**LEAST, "autoscaling": {"least": 1, "most": 2, "targets": {"cpu": 1}}}, "there is no 'cpu'"),
        ({**LEAST, "autoscaling": {"least": 1, "most": 2, "targets": {"busy": 2}}}, "busy is 2"),
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


def test_replicas_by_what_they_measure() -> None:
    """What is not said of the targets has its default."""
    _, span = read({**LEAST, "autoscaling": {"least": 1, "most": 8, "targets": {"busy": 0.5}}})
    assert span == Span(1, 8, targets=Targets(busy=0.5))
    _, span = read({**LEAST, "autoscaling": {"least": 1, "most": 8, "first": 4}})
    assert span == Span(1, 8, first=4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray's own modules
@pytest.mark.parametrize(("first", "told"), [(4, 4), (None, None)])
def test_serve_is_told_with_how_many_to_begin(first: int | None, told: int | None) -> None:
    """Where nothing is said it begins with the least, and leaves a pool that runs as it is."""
    from fairlead_server.app.ray_pool import _number

    config = _number(Span(1, 8, first=first))["autoscaling_config"]
    assert (config.min_replicas, config.initial_replicas, config.max_replicas) == (1, told, 8)


def test_serve_can_send_the_policy_to_its_controller() -> None:
    """It is pickled by value, for the head node may not have this package: after the settings were read, too."""
    read({**LEAST, "autoscaling": {"least": 1, "most": 8, "targets": {"busy": 0.5}}})
    cloudpickle.register_pickle_by_value(scaling)
    try:
        policy = cloudpickle.loads(cloudpickle.dumps(scaling.Scaling))(busy=0.5)
    finally:
        cloudpickle.unregister_pickle_by_value(scaling)
    assert policy._targets.busy == 0.5
