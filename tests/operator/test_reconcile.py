"""The whole path on fakes: promotions, refusals, losses of memory, crashes."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from operator_site import Site

from fairlead_operator.documents import Smoke, encode, read_catalog
from fairlead_operator.state import Answer, Phase
from fairlead_operator.testing import Artifact, digest_of, signature


@pytest.fixture
def site() -> Site:
    site = Site()
    site.registry.register("m", "/m/1", "/m/2", "/m/3", "/m/4")
    return site


def test_a_first_promotion_is_pinned_before_it_is_routed(site: Site) -> None:
    """The first version is loaded with no route, pinned to what all replicas fetched, and only then routed."""
    site.registry.promote("m", "1")
    seen = []
    site.carrier.on_write = lambda old, new: seen.append((new.models["m"].versions["1"].digest, new.models["m"].routed))
    site.run()
    assert seen[:3] == [(None, ""), (digest_of("1"), ""), (digest_of("1"), "1")]
    assert site.line().phase == Phase.SERVING
    assert site.status_tag("1") == "serving"
    assert site.registry.tag("m", "1", "digest") == digest_of("1")
    assert site.entry().aliases == {"champion": "1"}


def test_a_promotion_keeps_the_old_version_warm_and_then_leaves_it_out(site: Site) -> None:
    """The old version is held for the hold time, which counts from the confirmation, and is then unloaded."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(12)
    assert site.routed() == "2"
    assert site.line().phase == Phase.HOLDING
    assert set(site.entry().versions) == {"1", "2"}
    assert site.status_tag("1") == "held"
    site.run(60)
    assert set(site.entry().versions) == {"2"}
    assert site.line().phase == Phase.SERVING
    assert site.status_tag("1") == "retired"


def test_going_back_to_a_held_version_is_instant(site: Site) -> None:
    """One step after the alias moved back the route points at the old version again."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(12)
    site.registry.promote("m", "1")
    site.look()
    site.step()
    assert site.routed() == "1"
    site.run(3)
    assert (site.status_tag("1"), site.status_tag("2")) == ("serving", "held")


def test_going_back_does_not_wait_for_a_dead_replica(site: Site) -> None:
    """A replica that does not answer delays a promotion, but not the way back to what served a moment ago."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(12)
    site.fleet.replicas["http://r1"].reachable = False
    site.registry.promote("m", "1")
    site.run(2)
    assert site.routed() == "1"


def test_a_version_that_fails_never_gets_a_request(site: Site) -> None:
    """A broken version is refused with its reason, the old one keeps serving, and it is not tried again unasked."""
    site.world["/m/2"].broken = "model.onnx is cut short"
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    routes = []
    site.carrier.on_write = lambda old, new: routes.append(new.models["m"].routed)
    site.run(40)
    assert set(routes) == {"1"}
    assert site.line().phase == Phase.REFUSED
    assert "model.onnx is cut short" in site.line().reason
    assert "version 1 keeps serving" in site.line().reason
    assert site.status_tag("2").startswith("refused: model.onnx is cut short")
    assert site.status_tag("1") == "serving"
    generation = read_catalog(site.carrier.data).generation
    site.run(20)
    assert read_catalog(site.carrier.data).generation == generation


def test_moving_the_alias_away_and_back_is_the_retry(site: Site) -> None:
    """A refused version is tried once more when the alias comes back to it."""
    site.world["/m/2"].broken = "no memory"
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(15)
    assert site.line().phase == Phase.REFUSED
    site.world["/m/2"].broken = ""
    site.registry.promote("m", "1")
    site.run(5)
    assert site.status_tag("2").startswith("retired (refused: no memory")
    site.registry.promote("m", "2")
    site.run(15)
    assert site.routed() == "2"
    # So that a server which condemned it tries it anew.
    assert read_catalog(site.carrier.data).models["m"].versions["2"].attempt > 0


def test_the_same_files_under_another_version_are_refused_at_once(site: Site) -> None:
    """A digest that was condemned is not loaded again under a new number."""
    site.world["/m/2"].broken = "it kills its process"
    site.world["/m/3"] = Artifact("2")
    for version in ("1", "2", "3"):
        site.registry.promote("m", version)
        site.run(15)
    assert "same files were refused before: version 2: it kills its process" in site.line().reason


def test_another_signature_is_refused_unless_it_is_intended(site: Site) -> None:
    """A version that does not take the old inputs needs the tag fairlead.allow_signature_change."""
    site.world["/m/2"].signature = signature("features")
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run()
    assert "input 'input' is gone" in site.status_tag("2")
    site.registry.models["m"].versions["2"].tags["fairlead.allow_signature_change"] = "true"
    site.registry.promote("m", "1")
    site.run(3)
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "2"


def test_a_failed_prediction_of_the_logged_example_is_refused(site: Site) -> None:
    """The smoke prediction with the logged example must pass; made-up inputs may fail."""
    site.world["/m/2"].smoke = Smoke("example", False, "shape mismatch")
    site.world["/m/3"].smoke = Smoke("made-up", False, "needs real text")
    for version in ("1", "2"):
        site.registry.promote("m", version)
        site.run()
    assert "shape mismatch" in site.status_tag("2")
    site.registry.promote("m", "3")
    site.run()
    assert site.routed() == "3"
    assert site.line().conditions["Unprofiled"] == "needs real text"


def test_two_digests_before_the_pin_refuse_the_version(site: Site) -> None:
    """Replicas that fetched different bytes under one version cannot agree: nobody serves it."""
    other = dict(site.world)
    other["/m/1"] = Artifact("other bytes")
    site.fleet.replicas["http://r1"].world = other
    site.registry.promote("m", "1")
    site.run()
    assert site.routed() == ""
    assert "different files" in site.status_tag("1")


def test_the_newest_promotion_wins_in_the_middle_of_one(site: Site) -> None:
    """A candidate that the alias leaves before the switch is left out, and the newest one takes over."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(3)
    assert set(site.entry().versions) == {"1", "2"}
    site.registry.promote("m", "3")
    site.run(2)
    assert set(site.entry().versions) == {"1", "3"}
    site.run(12)
    assert site.routed() == "3"
    assert site.status_tag("2") == "withdrawn"


def test_an_unreachable_replica_is_waited_for_and_then_told(site: Site) -> None:
    """No gate passes without a replica that is listed; after the time limit the version is refused for that."""
    site.registry.promote("m", "1")
    site.run()
    site.fleet.replicas["http://r1"].reachable = False
    site.registry.promote("m", "2")
    site.run(30)
    assert site.routed() == "1"
    assert "http://r1 (nothing listens there)" in site.line().reason
    assert "http://r1" in site.line().conditions["ReplicasMissing"]
    site.run(100)
    assert site.line().phase == Phase.REFUSED
    assert "no progress for 100 s" in site.status_tag("2")


def test_a_pool_that_is_down_as_a_whole_refuses_nothing(site: Site) -> None:
    """While no replica answers, the clock of a candidate stands."""
    site.registry.promote("m", "1")
    for replica in site.fleet.replicas.values():
        replica.reachable = False
    site.run(300)
    assert site.line().phase == Phase.LOADING
    for replica in site.fleet.replicas.values():
        replica.reachable = True
    site.run()
    assert site.routed() == "1"


def test_an_alias_that_is_gone_keeps_the_version_serving(site: Site) -> None:
    """Alias, version or model gone: the last pinned version serves on, with a condition."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.models["m"].aliases.clear()
    site.run(5)
    assert site.routed() == "1"
    assert "AliasGone" in site.line().conditions
    site.registry.promote("m", "9")
    site.run(5)
    assert "VersionGone" in site.line().conditions
    del site.registry.models["m"]
    site.run(5)
    assert site.routed() == "1"
    assert "ModelGone" in site.line().conditions


def test_only_three_complete_answers_without_the_tag_unload(site: Site) -> None:
    """The tag's removal counts after three looks; an error in between is not one of them."""
    site.registry.promote("m", "1")
    site.run()
    del site.registry.models["m"].tags["fairlead.serve"]
    site.run(2)
    site.registry.down = "503"
    site.run(10)
    assert site.routed() == "1"
    site.registry.down = ""
    site.run(3)
    assert site.entry() is None
    assert site.status_tag("1") == "retired"
    site.run(3)
    assert site.operator.lines() == ()
    assert site.records.rollouts == {}


def test_a_rollout_goes_on_while_the_registry_is_away(site: Site) -> None:
    """The registry goes down in the middle of a promotion: it ends as asked, and the tags follow later."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(3)
    site.registry.down = "connection refused"
    site.run(15)
    assert site.routed() == "2"
    site.start()
    site.run(15)
    assert site.routed() == "2"
    site.registry.down = ""
    site.run(3)
    assert site.status_tag("2") == "serving"


def test_a_lost_memory_is_rebuilt_from_the_catalog(site: Site) -> None:
    """Without the rollouts' memory the routed version stays, and a refused one is known from its tag."""
    site.world["/m/2"].broken = "broken"
    for version in ("1", "2"):
        site.registry.promote("m", version)
        site.run()
    site.records.rollouts.clear()
    site.start()
    writes = []
    site.carrier.on_write = lambda old, new: writes.append(new)
    site.run()
    assert writes == []
    assert site.line().phase == Phase.REFUSED
    assert "broken" in site.line().reason


@pytest.mark.parametrize("rounds", range(2, 6))
def test_a_candidate_that_the_operator_forgot_still_has_to_pass(site: Site, rounds: int) -> None:
    """Killed before it remembered a candidate, started again after the alias had left it: the version is kept warm,
    is not told as held, and goes through every gate when the alias comes back."""
    site.world["/m/2"].signature = signature("features")
    site.registry.promote("m", "1")
    site.run()
    before = dict(site.records.rollouts)
    site.registry.promote("m", "2")
    site.run(rounds)
    assert "2" in site.entry().versions
    site.records.rollouts = before
    site.registry.promote("m", "1")
    site.start()
    site.run(4)
    assert site.status_tag("2") in ("loading", "retired")
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "1"
    assert "input 'input' is gone" in site.status_tag("2")


def test_a_held_version_that_the_operator_forgot_is_known_by_its_tag(site: Site) -> None:
    """The memory is lost while an old version is kept warm: going back to it is instant all the same."""
    for version in ("1", "2"):
        site.registry.promote("m", version)
        site.run(12)
    site.records.rollouts.clear()
    site.start()
    site.run(2)
    assert site.status_tag("1") == "held"
    site.registry.promote("m", "1")
    site.look()
    site.step()
    assert site.routed() == "1"
    site.run(60)
    assert site.status_tag("2") == "retired"
    assert set(site.entry().versions) == {"1"}


def test_a_lost_stored_catalog_is_taken_from_a_replica(site: Site) -> None:
    """A newer catalog of ours in a replica is adopted: an empty file unloads nothing."""
    site.registry.promote("m", "1")
    site.run()
    generation = read_catalog(site.carrier.data).generation
    site.carrier.data = None
    site.records.rollouts.clear()
    site.start()
    site.run(3)
    assert site.routed() == "1"
    assert read_catalog(site.carrier.data).generation == generation
    assert site.fleet.replicas["http://r0"].routes["m"][0] == {"1": 1.0}


def test_another_catalog_of_the_same_generation_is_numbered_over(site: Site) -> None:
    """A replica that holds the same generation with other bytes gets the next one."""
    site.registry.promote("m", "1")
    site.run()
    catalog = read_catalog(site.carrier.data)
    site.carrier.data = site.carrier.data.replace(b"/m/1", b"/m/x")
    site.start()
    site.run(4)
    assert read_catalog(site.carrier.data).generation > catalog.generation
    assert site.fleet.replicas["http://r0"].stored == site.carrier.data


def test_a_replica_of_another_installation_is_left_alone(site: Site) -> None:
    """A pool that obeys another owner is not overwritten, and no gate passes with it."""
    foreign = site.fleet.replicas["http://r1"]
    site.registry.promote("m", "1")
    site.run()
    foreign.stored = site.carrier.data.replace(b'"default"', b'"theirs"')
    foreign.catalog = read_catalog(foreign.stored)
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "1"
    assert "obeys the installation 'theirs'" in site.line().reason
    assert foreign.catalog.owner == "theirs"


def test_an_artifact_that_changed_is_not_served_again(site: Site) -> None:
    """A retired version is pinned to what it was: other bytes under its number are refused."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.promote("m", "2")
    site.run(80)
    site.world["/m/1"] = Artifact("other bytes")
    site.registry.promote("m", "1")
    site.run()
    assert site.routed() == "2"
    assert "changed" in site.status_tag("1")


def test_a_routed_version_that_fails_in_a_replica_is_told(site: Site) -> None:
    """A restarted replica that finds other bytes refuses them; the tag of the serving version says so."""
    site.registry.promote("m", "1")
    site.run()
    late = site.fleet.replicas["http://r1"]
    late.world = {**site.world, "/m/1": Artifact("other bytes")}
    late.restart()
    site.run()
    assert site.routed() == "1"
    assert "Degraded" in site.line().conditions
    assert site.status_tag("1").startswith("serving (failed in replica http://r1: the files changed")


def test_a_replica_that_takes_no_catalog_is_told_once(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Its disk is full: every step tries again, one line says so."""
    site.fleet.replicas["http://r1"].put = lambda data: Answer(why="answered 503: no space left")
    site.registry.promote("m", "1")
    site.run(15)
    assert capfd.readouterr().err.count('"catalog not taken"') == 1


def test_tags_are_written_only_when_they_change(site: Site) -> None:
    """A settled rollout writes nothing to the registry."""
    site.registry.promote("m", "1")
    site.run()
    count = len(site.registry.writes)
    site.run(20)
    assert len(site.registry.writes) == count


def test_new_settings_reach_the_routed_version(site: Site) -> None:
    """A changed fairlead.settings tag changes the entry of the version that serves."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.models["m"].tags["fairlead.settings.max_batch_size"] = "8"
    site.run()
    assert site.entry().versions["1"].settings == {"max_batch_size": 8}
    assert site.line().phase == Phase.SERVING


@pytest.mark.parametrize("fault", ["a tag that cannot be read", "the model is gone"])
def test_what_was_asked_last_stays_in_force_for_a_new_operator(site: Site, fault: str) -> None:
    """An operator that starts while the claim cannot be read takes no settings away."""
    model = site.registry.models["m"]
    model.tags["fairlead.settings.max_batch_size"] = "8"
    site.registry.promote("m", "1")
    site.run()
    if fault == "the model is gone":
        site.registry.models.clear()
    else:
        model.tags["fairlead.hold"] = "soon"
    site.start()
    site.run(6)
    assert site.entry().versions["1"].settings == {"max_batch_size": 8}


def test_a_promotion_goes_on_while_a_tag_cannot_be_read(site: Site) -> None:
    """The alias that was asked for last is followed, by a new operator too."""
    site.registry.promote("m", "1")
    site.run()
    site.registry.models["m"].tags["fairlead.hold"] = "soon"
    site.start()
    site.registry.promote("m", "2")
    site.run()
    assert site.routed() == "2"
    assert "'soon' is not a number" in site.line().conditions["SpecInvalid"]


def test_a_moved_registry_is_followed_and_a_recreated_version_is_not() -> None:
    """The same artifact path at another address updates the source; another path keeps what was pinned."""
    site = Site()
    before, after = "mlflow-artifacts+http://a:1/0/m", "mlflow-artifacts+http://b:2/0/m"
    site.world[before] = site.world[after] = Artifact("1")
    site.registry.register("m", before)
    site.registry.promote("m", "1")
    site.run()
    site.registry.models["m"].versions["1"].source = after
    site.run(2)
    assert site.entry().versions["1"].source == after
    site.registry.models["m"].versions["1"].source = "mlflow-artifacts+http://b:2/0/other"
    site.run(2)
    assert site.entry().versions["1"].source == after
    assert "SourceChanged" in site.line().conditions


def test_two_claims_to_one_name() -> None:
    """The holder, or else the older claim, has the name; the other says Conflict, in the report and its tag."""
    site = Site()
    site.registry.register("old", "/m/1")
    site.registry.register("young", "/m/2")
    for model in ("old", "young"):
        site.registry.models[model].tags["fairlead.name"] = "shared"
        site.registry.promote(model, "1")
    site.run()
    assert site.entry("shared").versions["1"].source == "/m/1"
    lines = {line.model: line.phase for line in site.operator.lines()}
    assert lines == {"old": "Serving", "young": "Conflict"}
    assert "conflict: the name 'shared' belongs to model 'old'" in site.status_tag("1", "young")


def test_an_older_claim_does_not_take_a_name_that_is_served() -> None:
    """Who serves keeps the name, and the reason does not say that the younger one is older."""
    site = Site()
    site.registry.register("old", "/m/1", serve=False)
    site.registry.register("young", "/m/2")
    for model in ("old", "young"):
        site.registry.models[model].tags["fairlead.name"] = "shared"
        site.registry.promote(model, "1")
    site.run()
    site.registry.models["old"].tags["fairlead.serve"] = "true"
    site.run()
    assert site.entry("shared").versions["1"].source == "/m/2"
    told = site.status_tag("1", "old")
    assert told.startswith("conflict: the name 'shared' belongs to model 'young': who serves under a name keeps it")


@pytest.mark.parametrize("told", [True, False])
def test_a_name_that_passes_to_another_model_begins_anew(told: bool) -> None:
    """Version 1 of one model is not version 1 of the other: what served is unloaded, and no tag goes to the wrong one,
    also where the registry takes none."""
    site = Site()
    site.registry.register("old", "/m/1")
    site.registry.register("young", "/m/2")
    for model in ("old", "young"):
        site.registry.models[model].tags["fairlead.name"] = "shared"
        site.registry.promote(model, "1")
    site.run()
    del site.registry.models["old"].tags["fairlead.serve"]
    if not told:
        site.tell = lambda: None
    site.run(90)
    entry = site.entry("shared")
    assert entry is not None
    assert entry.versions["1"].source == "/m/2"
    assert entry.versions["1"].digest == digest_of("2")
    assert site.line("shared").phase == Phase.SERVING
    if told:
        assert (site.status_tag("1", "old"), site.status_tag("1", "young")) == ("retired", "serving")
        assert site.registry.tag("old", "1", "digest") == digest_of("1")


def passed_on_unseen(named: bool = True) -> Site:
    """The name has gone to another model while no operator was active, whose version has the same number; the memory
    went with the object. `named`: the stored catalog knows whose model it holds."""
    site = Site()
    site.registry.register("old", "/m/1")
    site.registry.register("young", "/m/2", serve=False)
    for model in ("old", "young"):
        site.registry.models[model].tags["fairlead.name"] = "shared"
        site.registry.promote(model, "1")
    site.run()
    if not named:
        catalog = read_catalog(site.carrier.data)
        models = {"shared": msgspec.structs.replace(catalog.models["shared"], model="")}
        site.carrier.data = encode(msgspec.structs.replace(catalog, generation=9, models=models))
    del site.registry.models["old"].tags["fairlead.serve"]
    site.registry.models["young"].tags["fairlead.serve"] = "true"
    site.records.rollouts.clear()
    site.start()
    return site


def test_a_name_that_passes_to_another_model_while_nobody_looks_begins_anew() -> None:
    """The stored catalog knows whose model it holds: no version of the one is taken for one of the other's."""
    site = passed_on_unseen()
    site.run(30)
    entry = site.entry("shared")
    assert entry is not None
    assert entry.model == "young"
    assert {v: version.digest for v, version in entry.versions.items()} == {"1": digest_of("2")}
    assert site.line("shared").phase == Phase.SERVING
    assert (site.status_tag("1", "old"), site.status_tag("1", "young")) == ("retired", "serving")
    assert site.registry.tag("old", "1", "digest") == digest_of("1")
    assert site.registry.tag("young", "1", "digest") == digest_of("2")


def test_a_catalog_without_models_names_unloads_nothing() -> None:
    """It was stored by the release before, or by hand: what it holds may well be what is asked for."""
    site = passed_on_unseen(named=False)
    site.carrier.on_write = lambda old, new: pytest.fail("written")
    site.run(10)
    assert site.routed("shared") == "1"


def test_who_serves_keeps_the_name_when_the_memory_is_lost() -> None:
    """The catalog says which of two claims serves, once it has been read; age does not."""
    site = passed_on_unseen()
    site.registry.models["old"].tags["fairlead.serve"] = "true"
    site.registry.models["old"].created = 99
    asyncio.run(site.operator.begin())
    site.run(10)
    entry = site.entry("shared")
    assert entry is not None
    assert (entry.model, entry.versions["1"].source) == ("old", "/m/1")


@pytest.mark.parametrize("digest", [True, False])
def test_a_removal_is_told_by_whoever_comes_after(site: Site, digest: bool) -> None:
    """The object and its memory are gone, and the operator dies before the registry answers: the catalog remembers what
    is still to be told, with the same write that leaves the model out, and forgets it when it is told."""
    site.registry.promote("m", "1")
    if not digest:
        site.run(1)
        site.registry.down = "503"
    site.run()
    site.registry.down = ""
    del site.registry.models["m"].tags["fairlead.serve"]
    for _ in range(3):
        site.look()
    site.registry.down = "503"
    site.step()
    assert site.entry() is None
    site.records.rollouts.clear()
    site.start()
    site.run(10)
    assert site.status_tag("1") == ("serving" if digest else "")
    site.registry.down = ""
    site.run(3)
    assert site.status_tag("1") == "retired"
    assert site.registry.tag("m", "1", "digest") == digest_of("1")
    assert read_catalog(site.carrier.data).retired == {}
    assert site.operator.lines() == ()
    count = len(site.registry.writes)
    site.start()
    site.run(5)
    assert len(site.registry.writes) == count


def test_what_is_told_to_nobody_yet_waits_for_the_end_of_a_freeze(site: Site) -> None:
    """The registry is told all the same; what is stored stays stored."""
    site.registry.promote("m", "1")
    site.run()
    del site.registry.models["m"].tags["fairlead.serve"]
    for _ in range(3):
        site.look()
    site.step()
    site.operator.freeze("an incident")
    before = site.carrier.data
    site.run(5)
    assert site.status_tag("1") == "retired"
    assert site.carrier.data == before
    site.operator.freeze("")
    site.run(2)
    assert read_catalog(site.carrier.data).retired == {}


def test_a_model_that_comes_back_is_told_of_its_old_versions(site: Site) -> None:
    """Removed, and asked for again with another version; the registry takes no tags, and two operators die."""
    site.registry.promote("m", "1")
    site.run()
    tell, site.tell = site.tell, lambda: None
    for serve, version in (("false", "1"), ("true", "2")):
        site.registry.models["m"].tags["fairlead.serve"] = serve
        site.registry.promote("m", version)
        site.run(6)
        site.records.rollouts.clear()
        site.start()
    assert site.entry().versions.keys() == {"2"}
    site.tell = tell
    site.run()
    assert (site.status_tag("1"), site.status_tag("2")) == ("retired", "serving")


def test_a_pool_without_models_has_a_catalog() -> None:
    """An empty one, once somebody has answered who asks: replicas that have none are not ready. Only one."""
    site = Site()
    site.step()
    assert site.carrier.data is None
    site.run(5)
    assert site.carrier.data is not None
    assert (read_catalog(site.carrier.data).generation, read_catalog(site.carrier.data).models) == (1, {})
    assert all(replica.stored == site.carrier.data for replica in site.fleet.replicas.values())
