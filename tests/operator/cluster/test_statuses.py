"""What an object is told: nothing of a change that no step has seen."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead_operator.cluster.objects import known
from fairlead_operator.cluster.statuses import observed
from fairlead_operator.state import Outlook, Phase, Rollout


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
