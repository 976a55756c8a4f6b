"""What an object is told: nothing of a change that no step has seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead_operator import config
from fairlead_operator.cluster.events import Recorder
from fairlead_operator.cluster.objects import Objects, known
from fairlead_operator.cluster.statuses import Statuses, observed
from fairlead_operator.cluster.testing import FakeApi
from fairlead_operator.cluster.writer import StatusWriter
from fairlead_operator.report import RegistrySight
from fairlead_operator.state import Outlook, Phase, Rollout

CONFIG = config.parse(
    {
        "registry": {"uri": "http://mlflow"},
        "pools": {"default": {"namespace": "n", "service": "s", "catalog": "c"}},
        "lease": {"namespace": "n", "name": "l"},
    }
)


def servedmodel(alias: str, generation: int, observed: int) -> dict[str, Any]:
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ServedModel",
        "metadata": {"name": "m", "namespace": "a", "uid": "u", "resourceVersion": "9", "generation": generation},
        "spec": {"alias": alias},
        "status": {"observedGeneration": observed},
    }


def test_a_change_that_no_step_has_seen_is_notobserved() -> None:
    """Ready for the generation before must not be read as Ready for the new one."""
    before = known(servedmodel("champion", 1, 1), "champion")
    after = known(servedmodel("next", 2, 1), "champion")
    assert before.claim is not None
    outlook = Outlook(Rollout("m", "m", before.claim, Phase.SERVING), None, 1, 1, "", "a/m")
    assert (observed(before, outlook), observed(after, outlook)) == (1, 1)
    seen = msgspec.structs.replace(outlook, rollout=msgspec.structs.replace(outlook.rollout, spec=after.claim))
    assert observed(after, seen) == 2


def test_an_object_that_cannot_be_read_is_observed_once_its_fault_is_told() -> None:
    """What it asked for before stays in force, and says so for the new generation."""
    good, broken = known(servedmodel("champion", 1, 1), "champion"), known(servedmodel("a/b", 2, 1), "champion")
    assert broken.claim is None
    outlook = Outlook(Rollout("m", "m", good.claim, Phase.SERVING), None, 1, 1, "", "a/m")
    assert observed(broken, outlook) == 1
    assert observed(broken, msgspec.structs.replace(outlook, fault=broken.fault)) == 2


def test_what_cannot_be_made_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    """While the same is wrong; again after it was well, and where something else is wrong."""
    objects = Objects("champion", lambda: None)
    objects.put(servedmodel("champion", 1, 1))
    server = FakeApi()
    statuses = Statuses(CONFIG, objects, StatusWriter(server, objects, bool), Recorder(server, "me", bool))
    one, good = objects.known["a/m"], Outlook(Rollout("m", "m", None), None, 0, 0, "", "a/m")
    wrong: Any = msgspec.structs.replace(good, rollout=None)
    other: Any = msgspec.structs.replace(good, rollout="none")

    def told(*outlooks: Outlook) -> int:
        for outlook in outlooks:
            statuses._tell(one, outlook, RegistrySight(1.0, 0.0, ""), 2.0)
        return capfd.readouterr().err.count("status not made")

    assert told(wrong, wrong, wrong) == 1
    assert told(wrong, other, other) == 1
    assert told(good, good) == 0
    assert told(wrong, wrong) == 1
    objects.filled([], 10**9)
    statuses.publish_others(RegistrySight(1.0, 0.0, ""), 3.0)
    assert statuses._failed == {}
