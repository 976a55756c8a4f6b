"""A model that the operator's user may not read any more: nothing is lost, and the reason is told."""

from __future__ import annotations

import pytest
from operator_site import Site

from fairlead_operator.report import RegistrySight
from fairlead_operator.state import Phase
from fairlead_operator.status import status


@pytest.fixture
def site() -> Site:
    site = Site()
    site.registry.register("m", "/m/1", "/m/2")
    site.registry.promote("m", "1")
    return site


def ready(site: Site) -> tuple[str, str]:
    (outlook,) = site.operator.outlooks()
    conditions = status(outlook, RegistrySight(0.0, 0.0, ""), 1, site.now, None).conditions
    (found,) = [condition for condition in conditions if condition.type == "Ready"]
    return found.status, found.reason


def test_what_serves_goes_on_and_a_promotion_ends_as_asked(site: Site) -> None:
    """The permission is lost in the middle of a promotion, also over a restart of the operator."""
    site.run()
    site.registry.promote("m", "2")
    site.run(3)
    site.registry.denied = {"m"}
    site.run(15)
    assert site.routed() == "2"
    assert "does not let the operator's user read the model 'm'" in site.line().conditions["ModelDenied"]
    assert ready(site) == ("False", "ModelDenied")
    site.start()
    site.run(60)
    assert (site.routed(), site.line().phase) == ("2", Phase.SERVING)
    site.registry.denied = set()
    site.run(3)
    assert site.line().conditions == {}
    assert ready(site)[0] == "True"


def test_a_refused_version_is_not_tried_again_when_the_permission_returns(site: Site) -> None:
    """The alias has not moved away: what may not be read is no such move."""
    site.world["/m/2"].broken = "it is not ONNX"
    site.run()
    site.registry.promote("m", "2")
    site.run()
    assert site.line().phase == Phase.REFUSED
    site.registry.denied = {"m"}
    site.run(5)
    assert site.line().phase == Phase.REFUSED
    site.registry.denied = set()
    site.world["/m/2"].broken = ""
    site.run()
    assert (site.routed(), site.line().phase) == ("1", Phase.REFUSED)


def test_one_that_was_never_read_says_why_it_waits(site: Site) -> None:
    """Not that the registry has not been heard: it has."""
    site.run(3)
    site.registry.denied = {"m"}
    site.records.rollouts.clear()
    site.start()
    site.run(5)
    assert "does not let the operator's user read the model 'm'" in site.line().reason
    assert ready(site) == ("False", "ModelDenied")
