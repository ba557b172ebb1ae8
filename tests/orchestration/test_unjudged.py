"""Mentions that could not be judged: asked for again by itself, while their call is complete."""

from collections.abc import Mapping

import dagster as dg
import pytest

from callpipeline.defs.lost import release_lost
from callpipeline.defs.records import erase_records
from callpipeline.defs.unjudged import JOB
from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ClaimLost, EngineUnavailable, UnexpectedError
from tests.builders import a_judgement, a_write
from tests.fakes.engines import ScriptedJudge
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change

SAID = "vodafone is cheaper, virgin media is slow and talktalk is all right"
THREE = {"Vodafone", "Virgin Media", "TalkTalk"}
AWAY = EngineUnavailable("The judge does not answer.")
REFUSED = UnexpectedError("The judge refuses the words.")


def judge(lab: Lab, failures: Mapping[str, Exception] | None = None) -> ScriptedJudge:
    """The judge from now on."""
    lab.judge = ScriptedJudge(failures, thinks={"TalkTalk": Sentiment.POSITIVE})
    return lab.judge


def processed(lab: Lab, name: str = "call", *, error: Exception = AWAY) -> str:
    """A call whose judge failed for one competitor of three."""
    call_id = lab.add_call(name, said=SAID)
    judge(lab, {"TalkTalk": error})
    assert lab.run([call_id]).success
    return call_id


def look(lab: Lab) -> dg.SensorResult:
    sensor = lab.definitions.resolve_sensor_def("unjudged_mentions")
    with dg.build_sensor_context(
        instance=lab.instance, resources={"storage": lab.storage}, definitions=lab.definitions
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def let_wait_pass(lab: Lab) -> None:
    change(lab, "UPDATE unjudged SET not_before = now() WHERE not_before IS NOT NULL")


def asked_for(lab: Lab) -> list[str]:
    """The calls of the run that the sensor asks for; none where it asks for none."""
    requests = look(lab).run_requests or []
    assert len(requests) <= 1
    configs = [request.run_config["ops"]["missing_judgements"]["config"] for request in requests]
    return configs[0]["calls"] if configs else []


def config_of(*call_ids: str) -> dict[str, object]:
    return {"ops": {"missing_judgements": {"config": {"calls": list(call_ids)}}}}


def run(lab: Lab, *call_ids: str) -> dg.ExecuteInProcessResult:
    return lab.definitions.resolve_job_def(JOB).execute_in_process(
        instance=lab.instance, run_config=config_of(*call_ids), raise_on_error=False
    )


def judged(lab: Lab, call_id: str) -> set[str]:
    return {one.competitor for one in lab.storage.results.judgements(call_id)}


def state(lab: Lab, call_id: str) -> CallState:
    return lab.storage.ledger.find(call_id).state


def metadata(lab: Lab) -> dict[str, object]:
    """Of the last materialization of competitor_sentiment."""
    found = lab.instance.get_latest_materialization_event(dg.AssetKey("competitor_sentiment"))
    assert found and found.asset_materialization
    return {name: value.value for name, value in found.asset_materialization.metadata.items()}


def told(lab: Lab) -> list[tuple[str, str]]:
    with lab.storage.database.transaction() as connection:
        rows = connection.execute("SELECT kind, call_id FROM outbox").fetchall()
    return [(row["kind"], row["call_id"]) for row in rows]


def test_the_third_of_three_is_judged_by_itself_later(lab: Lab) -> None:
    call_id = processed(lab)
    assert state(lab, call_id) is CallState.COMPLETED
    assert judged(lab, call_id) == THREE - {"TalkTalk"}
    assert metadata(lab)["not_judged"] == 1
    assert asked_for(lab) == []
    let_wait_pass(lab)
    assert asked_for(lab) == [call_id]
    before = lab.storage.ledger.find(call_id)
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == ["TalkTalk"]
    after = lab.storage.ledger.find(call_id)
    assert (after.state, after.completed_at) == (CallState.COMPLETED, before.completed_at)
    assert after.updated_at > before.updated_at
    assert judged(lab, call_id) == THREE
    assert metadata(lab) == {"TalkTalk": "positive", "judged_now": 1}
    assert asked_for(lab) == []
    assert lab.storage.claims.claiming_runs() == []
    assert told(lab) == []


def test_a_batch_of_calls_is_one_run(lab: Lab) -> None:
    call_ids = {processed(lab, "one"), processed(lab, "two")}
    let_wait_pass(lab)
    assert set(asked_for(lab)) == call_ids
    judge(lab)
    assert run(lab, *call_ids).success
    assert all(judged(lab, call_id) == THREE for call_id in call_ids)


def test_an_outage_that_goes_on_leaves_the_call_complete_and_waits_longer(lab: Lab) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    assert run(lab, call_id).success
    assert state(lab, call_id) is CallState.COMPLETED
    [missing] = lab.storage.unjudged.of_calls([call_id])
    assert (missing.tries, missing.reason) == (2, str(AWAY))
    assert missing.not_before
    wait = missing.not_before - missing.updated_at
    assert 8 < wait.total_seconds() / 60 < 12
    [seen] = lab.instance.fetch_observations(dg.AssetKey("competitor_sentiment"), limit=9).records
    assert seen.partition_key == call_id


def test_what_another_try_cannot_help_is_told_and_left_to_people(lab: Lab) -> None:
    call_id = processed(lab, error=REFUSED)
    assert state(lab, call_id) is CallState.COMPLETED
    let_wait_pass(lab)
    assert asked_for(lab) == []
    assert told(lab) == [("mentions_unjudged", call_id)]
    assert lab.storage.ledger.retry([call_id]) == {call_id}
    assert asked_for(lab) == [call_id]
    judge(lab)
    assert run(lab, call_id).success
    assert judged(lab, call_id) == THREE


def test_after_the_last_try_it_is_left_to_people(lab: Lab) -> None:
    call_id = processed(lab)
    tries = 1
    while lab.storage.unjudged.of_calls([call_id])[0].not_before:
        let_wait_pass(lab)
        assert run(lab, call_id).success
        tries += 1
        assert tries < 20
    assert tries == 12
    assert told(lab) == [("mentions_unjudged", call_id)]
    assert asked_for(lab) == []


def test_a_run_that_is_killed_leaves_the_call_complete_and_another_one_follows(lab: Lab) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    missing = lab.storage.unjudged
    missing.enter_run("killed")
    [mention_id] = missing.take(call_id, "killed")
    found = release_lost(lab.instance, lab.storage.claims)
    assert (found.released, found.dead) == (0, {"killed"})
    assert state(lab, call_id) is CallState.COMPLETED
    [mention] = [m for m in lab.storage.results.mentions(call_id) if m.mention_id == mention_id]
    late = a_write(call_id, Stage.COMPETITOR_SENTIMENT, "killed")
    with pytest.raises(ClaimLost):
        missing.save(late, [a_judgement(mention)])
    assert asked_for(lab) == []
    let_wait_pass(lab)
    assert asked_for(lab) == [call_id]
    judge(lab)
    assert run(lab, call_id).success
    assert judged(lab, call_id) == THREE


def test_what_kills_its_runs_every_time_is_given_up(lab: Lab) -> None:
    call_id = processed(lab)
    for number in range(11):
        let_wait_pass(lab)
        assert lab.storage.unjudged.take(call_id, f"killed-{number}")
    let_wait_pass(lab)
    assert lab.storage.unjudged.take(call_id, "one more") == frozenset()
    assert asked_for(lab) == []
    assert told(lab) == [("mentions_unjudged", call_id)]
    assert state(lab, call_id) is CallState.COMPLETED


def test_what_a_killed_run_stored_and_could_not_tell_is_told(lab: Lab) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    lab.storage.unjudged.enter_run("killed")
    [mention_id] = lab.storage.unjudged.take(call_id, "killed")
    [mention] = [m for m in lab.storage.results.mentions(call_id) if m.mention_id == mention_id]
    write = a_write(call_id, Stage.COMPETITOR_SENTIMENT, "killed")
    lab.storage.unjudged.save(write, [a_judgement(mention)])
    release_lost(lab.instance, lab.storage.claims)
    assert metadata(lab)["stored_by_run"] == "killed"


def test_a_call_that_is_erased_while_it_waits_is_not_asked_for(lab: Lab) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    lab.storage.erasures.begin([call_id], keep_recording=True)
    assert asked_for(lab) == []
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == []
    assert state(lab, call_id) is CallState.ERASED


def test_with_a_call_goes_what_dagster_keeps_of_its_missing_judgements(lab: Lab) -> None:
    call_id, other = processed(lab, "one"), processed(lab, "two")
    let_wait_pass(lab)
    run_id = run(lab, call_id, other).run_id
    assert erase_records(lab.instance, [call_id]).removed > 0
    assert not erase_records(lab.instance, [call_id]).busy
    kept = lab.instance.get_run_by_id(run_id)
    assert kept and kept.run_config == config_of(other)
    assert not [entry for entry in lab.instance.all_logs(run_id) if call_id in str(entry)]


def test_a_person_who_materializes_sentiment_has_all_judged_anew(lab: Lab) -> None:
    call_id = processed(lab)
    again = judge(lab)
    assert lab.run([call_id], assets=["competitor_sentiment"]).success
    assert set(again.asked) == THREE
    assert judged(lab, call_id) == THREE
    let_wait_pass(lab)
    assert asked_for(lab) == []


def test_a_competitor_that_the_list_has_no_more_is_not_asked_for(lab: Lab) -> None:
    call_id = processed(lab)
    lab.settings.catalog_path.write_text("competitors:\n  - name: Vodafone\n")
    judge(lab)
    assert lab.run([call_id], assets=["competitor_mentions"]).success
    let_wait_pass(lab)
    assert asked_for(lab) == []


def test_one_run_at_a_time_is_asked_for_unless_it_hangs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    job = lab.definitions.resolve_job_def(JOB)
    going_on = lab.instance.create_run_for_job(
        job, run_config=config_of(call_id), status=dg.DagsterRunStatus.STARTED
    )
    assert asked_for(lab) == []
    monkeypatch.setattr("callpipeline.defs.lost.LATE_S", -1.0)
    lab.storage.unjudged.enter_run(going_on.run_id)
    assert asked_for(lab) == []
    lab.storage.claims.release([going_on.run_id])
    assert asked_for(lab) == [call_id]
    ended = lab.instance.get_run_by_id(going_on.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_call_that_is_under_way_is_left_to_its_run(lab: Lab) -> None:
    call_id = processed(lab)
    let_wait_pass(lab)
    assert lab.storage.claims.claim([call_id], "another run")
    assert asked_for(lab) == []
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == []
    assert state(lab, call_id) is CallState.PROCESSING
