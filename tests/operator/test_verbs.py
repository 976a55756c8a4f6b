"""What a person tells a rollout: each verb names a digest, counts once, and does no harm when it is left standing."""

from __future__ import annotations

import pytest
from operator_site import Site

from fairlead_operator.documents import read_catalog
from fairlead_operator.state import Phase
from fairlead_operator.testing import Crash, FakeReplica, digest_of, signature

D1, D2, D3 = digest_of("1"), digest_of("2"), digest_of("3")


@pytest.fixture
def site() -> Site:
    """Version 1 serves."""
    site = Site(hold_s=500.0)
    site.registry.register("m", "/m/1", "/m/2", "/m/3", "/m/4")
    site.registry.promote("m", "1")
    site.run()
    return site


def forget(site: Site) -> None:
    """The status was wiped, and the operator with its memory is gone."""
    site.records.rollouts.clear()
    site.start()
    site.run(3)


# --- approve


def test_a_proven_version_waits_for_approval(site: Site) -> None:
    """It is loaded and proven, gets no request, and the reason and the tag say what is waited for."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run(300)
    assert site.routed() == "1"
    assert site.line().phase == Phase.APPROVAL
    assert f"fairlead.dev/approve={D2}" in site.line().reason
    assert site.status_tag("2") == "waiting for approval"
    site.verbs["m"] = {"approve": D2}
    site.run(3)
    assert site.routed() == "2"
    assert site.status_tag("2") == "serving"


def test_a_rollout_that_waits_for_a_person_is_written_once(site: Site) -> None:
    """Waiting may last for days: neither the memory nor the catalog changes meanwhile."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run()
    before, generation = site.records.rollouts["m"], read_catalog(site.carrier.data).generation
    site.run(1000, seconds=3600.0)
    assert site.records.rollouts["m"] == before
    assert read_catalog(site.carrier.data).generation == generation


def test_an_approval_that_came_early_counts_when_the_version_is_ready(site: Site) -> None:
    """Whoever knows the digest need not wait."""
    site.approval.add("m")
    site.verbs["m"] = {"approve": D2}
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "2"


def test_an_approval_opens_no_other_gate(site: Site) -> None:
    """What fails a gate is refused, approved and promoted or not."""
    site.world["/m/2"].signature = signature("other")
    site.approval.add("m")
    site.verbs["m"] = {"approve": D2, "promote": D2}
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "1"
    assert site.line().phase == Phase.REFUSED


def test_a_copy_of_an_approved_version_is_approved_anew(site: Site) -> None:
    """MLflow copies all tags: `serving` and the digest are the other version's."""
    copied = site.registry.models["m"].versions
    site.world["/m/3"].content = "1"
    copied["3"].tags |= copied["1"].tags
    assert site.status_tag("3") == "serving"
    site.approval.add("m")
    site.registry.promote("m", "3")
    site.run()
    assert (site.routed(), site.line().phase) == ("1", Phase.APPROVAL)


def test_a_copy_of_what_a_person_rolled_back_is_refused(site: Site) -> None:
    """Its tags say that it served, and its digest is the refused one."""
    site.registry.promote("m", "2")
    site.run(15)
    site.verbs["m"] = {"rollback": D2}
    site.run(5)
    copied = site.registry.models["m"].versions
    site.world["/m/3"].content = "2"
    copied["3"].tags |= copied["2"].tags
    site.registry.promote("m", "3")
    site.run()
    assert (site.routed(), site.line().phase) == ("1", Phase.REFUSED)
    assert "the same files were refused before: version 2" in site.line().reason


def test_an_approval_counts_once(site: Site) -> None:
    """Left in Git it lets the same version through no second time, also where the operator forgot."""
    site.approval.add("m")
    site.verbs["m"] = {"approve": D2}
    for version in ("2", "3"):
        site.registry.promote("m", version)
        site.run()
    assert site.line().phase == Phase.APPROVAL
    site.verbs["m"] = {"approve": D3}
    site.run(600)
    assert set(site.entry().versions) == {"3"}
    site.registry.promote("m", "2")
    site.verbs["m"] = {"approve": D2}
    site.run()
    assert site.routed() == "2", "another digest in between makes it a new word"
    site.registry.promote("m", "3")
    site.run()
    assert site.line().phase == Phase.SERVING or site.routed() == "3"
    assert site.routed() == "3", "a version that is kept warm was approved when it came"
    site.run(600)
    site.registry.promote("m", "2")
    site.run()
    assert site.line().phase == Phase.APPROVAL
    forget(site)
    assert site.routed() == "3"
    assert "before the operator's memory began" in site.line().conditions["VerbUnheeded"]


# --- promote and pause


def test_a_paused_version_is_loaded_and_not_routed(site: Site) -> None:
    """As long as the annotation stands there, however often the operator starts anew."""
    site.verbs["m"] = {"pause": D2}
    site.registry.promote("m", "2")
    site.run(300)
    forget(site)
    assert (site.routed(), site.line().phase) == ("1", Phase.PAUSED)
    assert site.status_tag("2") == "paused"
    assert site.fleet.replicas["http://r0"].ready("m", "2")
    site.verbs.clear()
    site.run(3)
    assert site.routed() == "2"


def test_a_replica_that_restarts_after_a_long_pause_is_waited_for(site: Site) -> None:
    """The clock of a version begins anew after a person was waited for."""
    site.verbs["m"] = {"pause": D2}
    site.registry.promote("m", "2")
    site.run(300)
    site.fleet.replicas["http://r0"].restart()
    site.run(10)
    assert site.line().phase == Phase.PAUSED
    site.verbs.clear()
    site.fleet.replicas["http://r0"].restart()
    site.run(15)
    assert site.routed() == "2"


def test_promote_passes_approval_and_pause(site: Site) -> None:
    """As soon as the version is ready."""
    site.approval.add("m")
    site.verbs["m"] = {"pause": D2, "promote": D2}
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "2"
    assert site.status_tag("2") == "serving"


# --- abort


def test_abort_refuses_the_candidate(site: Site) -> None:
    """As a gate would: told in the tag, not tried again, until the alias moves away and back."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run()
    site.verbs["m"] = {"abort": D2}
    site.run(3)
    assert site.line().phase == Phase.REFUSED
    assert set(site.entry().versions) == {"1"}
    assert site.status_tag("2") == "refused: a person aborted it (annotation fairlead.dev/abort)"
    forget(site)
    site.run(20)
    assert site.line().phase == Phase.REFUSED
    site.registry.promote("m", "1")
    site.run(3)
    site.registry.promote("m", "2")
    site.run()
    assert site.line().phase == Phase.APPROVAL, "the annotation has counted, and the retry is a new word"


@pytest.mark.parametrize("verb", ["approve", "promote"])
def test_an_approval_from_before_an_abort_does_not_count_after_it(site: Site, verb: str) -> None:
    """The later word stands: the retry is approved anew, and what was left standing says so."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run(4)
    site.verbs["m"] = {verb: D2, "abort": D2}
    site.run()
    assert site.line().phase == Phase.REFUSED
    assert f"fairlead.dev/{verb}: a person refused version 2" in site.line().conditions["VerbUnheeded"]
    site.registry.promote("m", "1")
    site.run(3)
    site.registry.promote("m", "2")
    site.run()
    assert (site.routed(), site.line().phase) == ("1", Phase.APPROVAL)
    site.verbs.clear()
    site.run(2)
    site.verbs["m"] = {verb: D2}
    site.run(3)
    assert site.routed() == "2"


def test_an_approval_that_was_set_after_an_aborted_version_was_left_counts(site: Site) -> None:
    """It is meant for the retry."""
    site.approval.add("m")
    site.registry.promote("m", "2")
    site.run()
    site.verbs["m"] = {"abort": D2}
    site.run(3)
    site.registry.promote("m", "1")
    site.run(3)
    site.verbs["m"] = {"abort": D2, "approve": D2}
    site.run(3)
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "2"


def test_an_abort_of_what_serves_comes_too_late(site: Site) -> None:
    """It says what would help, and does nothing later either."""
    site.verbs["m"] = {"abort": D1}
    site.run(3)
    assert site.routed() == "1"
    assert "fairlead.dev/rollback goes back" in site.line().conditions["VerbUnheeded"]
    site.registry.promote("m", "2")
    site.run(20)
    site.registry.promote("m", "1")
    site.run()
    assert site.routed() == "1"


# --- rollback


def test_rollback_goes_back_to_what_is_kept_warm(site: Site) -> None:
    """One step later the old version has the traffic; the other is refused, and stays until nobody sends it any."""
    site.registry.promote("m", "2")
    site.run(15)
    assert site.line().phase == Phase.HOLDING
    site.verbs["m"] = {"rollback": D2}
    site.look()
    site.step()
    assert site.routed() == "1"
    assert set(site.entry().versions) == {"1", "2"}
    site.run(5)
    assert site.line().phase == Phase.REFUSED
    assert set(site.entry().versions) == {"1"}
    assert site.status_tag("1") == "serving"
    assert site.status_tag("2") == "refused: a person rolled it back (annotation fairlead.dev/rollback)"
    site.run(30)
    assert site.routed() == "1"


@pytest.mark.parametrize("wiped", [False, True])
def test_a_rollback_counts_once(site: Site, wiped: bool) -> None:
    """The alias away and back tries the version again, and the annotation that is left standing does nothing."""
    site.registry.promote("m", "2")
    site.run(15)
    site.verbs["m"] = {"rollback": D2}
    site.run(5)
    site.registry.promote("m", "1")
    site.run(5)
    site.registry.promote("m", "2")
    site.run(15)
    assert (site.routed(), site.line().phase) == ("2", Phase.HOLDING)
    if wiped:
        forget(site)
    site.run(20)
    assert site.routed() == "2"


def test_a_rollback_with_nothing_to_go_back_to(site: Site) -> None:
    """It says so, and has counted."""
    site.verbs["m"] = {"rollback": D1}
    site.run(3)
    assert "no old version is kept warm" in site.line().conditions["VerbUnheeded"]
    assert site.line().phase == Phase.SERVING


def test_a_rollback_to_a_version_that_cannot_serve(site: Site) -> None:
    """The routed version keeps serving, with the reason."""
    site.registry.promote("m", "2")
    site.run(15)
    site.world["/m/1"].content = "other bytes"
    site.fleet.replicas["http://r0"].restart()
    site.run(8)
    site.verbs["m"] = {"rollback": D2}
    site.run(5)
    assert site.routed() == "2"
    assert "version 1 cannot serve" in site.line().conditions["VerbUnheeded"]


def test_a_rollback_works_while_the_alias_is_gone(site: Site) -> None:
    """It asks nothing of the registry, and counts when the alias comes back."""
    site.registry.promote("m", "2")
    site.run(15)
    site.registry.models["m"].aliases.clear()
    site.run(4)
    site.verbs["m"] = {"rollback": D2}
    site.run(2)
    assert site.routed() == "1"


# --- killed at any line

STORIES = {
    # verb: (rounds after the promotion of version 2, whether approval is required, what serves in the end, its tag)
    "approve": (15, True, "2", "serving"),
    "promote": (15, True, "2", "serving"),
    "abort": (15, True, "1", "refused: a person aborted it"),
    "rollback": (15, False, "1", "refused: a person rolled it back"),
}


@pytest.mark.parametrize("verb", STORIES)
def test_an_operator_that_is_killed_at_any_line_does_what_a_person_said(verb: str) -> None:
    """The next one goes on where it stopped: what was asked for comes about, once, whatever was written before."""
    rounds, approval, serves, tag = STORIES[verb]
    crashed, points = True, 0
    while crashed:
        site = Site(hold_s=500.0)
        site.registry.register("m", "/m/1", "/m/2")
        site.registry.promote("m", "1")
        site.run(10)
        site.approval |= {"m"} if approval else set()
        site.registry.promote("m", "2")
        site.run(rounds)
        site.verbs["m"] = {verb: D2}
        site.faults.crash_after(points)
        crashed = False
        try:
            site.run(4)
        except Crash:
            crashed = True
        site.faults.calm()
        site.start()
        site.run(8)
        assert site.routed() == serves, f"killed at point {points}"
        assert site.status_tag("2").startswith(tag), f"killed at point {points}"
        points += 1
    assert points > 20


# --- digests that name nothing


@pytest.mark.parametrize("verb", ["approve", "promote", "abort", "rollback", "pause"])
def test_a_digest_that_names_nothing_known(site: Site, verb: str) -> None:
    """Nothing happens but a sentence."""
    site.verbs["m"] = {verb: D3}
    site.run(3)
    assert site.line().conditions["VerbUnheeded"] == f"fairlead.dev/{verb}: {D3} is no version that is loaded now"
    assert site.line().phase == Phase.SERVING
    site.verbs.clear()
    site.run(2)
    assert "VerbUnheeded" not in site.line().conditions


def test_who_asked_stands_in_the_audit_log(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """A switch that was approved, an abort and a rollback name the annotation."""
    site.approval.add("m")
    site.verbs["m"] = {"approve": D2}
    site.registry.promote("m", "2")
    site.run(15)
    site.verbs["m"] = {"rollback": D2}
    site.run(5)
    site.registry.promote("m", "3")
    site.run()
    site.verbs["m"] = {"abort": D3}
    site.run(3)
    lines = [line for line in capfd.readouterr().err.splitlines() if '"who":"annotation"' in line]
    assert [what for line in lines for what in ("switched", "rolled back", "refused") if f'"{what}"' in line] == [
        "switched",
        "rolled back",
        "refused",
    ]


# --- freeze


def test_nothing_moves_while_all_rollouts_are_frozen(site: Site) -> None:
    """No start, no switch, no end of a hold, no unloading; replicas are still told what is stored."""
    site.registry.promote("m", "2")
    site.run(12)
    assert site.line().phase == Phase.HOLDING
    site.operator.freeze("incident 7, by ops")
    generation = read_catalog(site.carrier.data).generation
    late = site.fleet.replicas["http://r1"] = FakeReplica(site.world, "r2")
    site.registry.promote("m", "3")
    site.run(700)
    assert "frozen: incident 7, by ops; version 2 serves; version 3 waits" in site.line().reason
    assert (site.line().phase, site.line().conditions["Frozen"]) == (Phase.PAUSED, "incident 7, by ops")
    del site.registry.models["m"].tags["fairlead.serve"]
    site.run(10)
    assert read_catalog(site.carrier.data).generation == generation
    assert late.routes["m"][0] == {"2": 1.0}
    site.registry.models["m"].tags["fairlead.serve"] = "true"
    site.operator.freeze("")
    site.run()
    assert site.routed() == "3"


def test_a_freeze_in_the_middle_does_not_count_as_standing_still(site: Site) -> None:
    """What was loading goes on loading in the replicas, and is not refused when the freeze is over."""
    site.registry.promote("m", "2")
    site.run(2)
    site.operator.freeze("a release")
    site.run(300)
    assert site.routed() == "1"
    site.fleet.replicas["http://r0"].restart()
    site.operator.freeze("")
    site.run(15)
    assert site.routed() == "2"


@pytest.mark.parametrize("restarted", [False, True])
def test_what_nobody_asks_for_is_unloaded_after_the_freeze(site: Site, restarted: bool) -> None:
    """The removed tag is not forgotten; an operator that starts meanwhile hears three times that it is gone."""
    site.operator.freeze("a release")
    del site.registry.models["m"].tags["fairlead.serve"]
    site.run(10)
    assert site.routed() == "1"
    if restarted:
        site.start()
        site.step()
        assert site.routed() == "1"
    site.operator.freeze("")
    site.run(5)
    assert site.entry() is None
