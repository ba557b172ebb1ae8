"""Mentions that could not be judged: retried automatically while their call is complete."""

from collections.abc import Mapping

import dagster as dg
import pytest

from callpipeline.defs.dagster_internals.records import erase_records
from callpipeline.defs.jobs.missing_judgements import JOB
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ClaimLost, EngineUnavailable, UnexpectedError
from tests.builders import a_judgement, a_write
from tests.fakes.engines import ScriptedJudge
from tests.orchestration.lab import Lab
from tests.orchestration.test_lost import reclaim_dead
from tests.orchestration.test_sensors import change

SAID = "vodafone is cheaper, virgin media is slow and talktalk is all right"
THREE = {"Vodafone", "Virgin Media", "TalkTalk"}
UNAVAILABLE = EngineUnavailable("The judge does not answer.")
REFUSED = UnexpectedError("The judge refuses the words.")


def judge(lab: Lab, failures: Mapping[str, Exception] | None = None) -> ScriptedJudge:
    """Replace the judge."""
    lab.judge = ScriptedJudge(failures, thinks={"TalkTalk": Sentiment.POSITIVE})
    return lab.judge


def processed(lab: Lab, name: str = "call", *, error: Exception = UNAVAILABLE) -> str:
    """Return a call whose judge failed for one of three competitors."""
    call_id = lab.add_call(name, said=SAID)
    judge(lab, {"TalkTalk": error})
    assert lab.run([call_id]).success
    return call_id


def tick(lab: Lab) -> dg.SensorResult:
    sensor = lab.definitions.resolve_sensor_def("unjudged_mentions")
    with dg.build_sensor_context(
        instance=lab.instance, resources={"storage": lab.storage}, definitions=lab.definitions
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def skip_waits(lab: Lab) -> None:
    change(lab, "UPDATE unjudged SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")


def requested(lab: Lab) -> list[str]:
    """Return the calls of the requested run, if any."""
    requests = tick(lab).run_requests or []
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
    """Return the metadata of the last materialization of competitor_sentiment."""
    found = lab.instance.get_latest_materialization_event(dg.AssetKey("competitor_sentiment"))
    assert found and found.asset_materialization
    return {name: value.value for name, value in found.asset_materialization.metadata.items()}


def outbox_events(lab: Lab) -> list[tuple[str, str]]:
    with lab.storage.database.transaction() as connection:
        rows = connection.execute("SELECT kind, call_id FROM outbox").fetchall()
    return [(row["kind"], row["call_id"]) for row in rows]


def test_a_missing_judgement_is_computed_later(lab: Lab) -> None:
    call_id = processed(lab)
    assert state(lab, call_id) is CallState.COMPLETED
    assert judged(lab, call_id) == THREE - {"TalkTalk"}
    assert metadata(lab)["not_judged"] == 1
    assert requested(lab) == []
    skip_waits(lab)
    assert requested(lab) == [call_id]
    before = lab.storage.ledger.find(call_id)
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == ["TalkTalk"]
    after = lab.storage.ledger.find(call_id)
    assert (after.state, after.completed_at) == (CallState.COMPLETED, before.completed_at)
    assert after.updated_at > before.updated_at
    assert judged(lab, call_id) == THREE
    assert metadata(lab) == {"TalkTalk": "positive", "judged_now": 1}
    assert requested(lab) == []
    assert lab.storage.claims.claiming_runs() == []
    assert outbox_events(lab) == []


def test_a_batch_of_calls_is_one_run(lab: Lab) -> None:
    call_ids = {processed(lab, "one"), processed(lab, "two")}
    skip_waits(lab)
    assert set(requested(lab)) == call_ids
    judge(lab)
    assert run(lab, *call_ids).success
    assert all(judged(lab, call_id) == THREE for call_id in call_ids)


def test_during_a_long_outage_the_call_stays_complete_and_waits_longer(lab: Lab) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    assert run(lab, call_id).success
    assert state(lab, call_id) is CallState.COMPLETED
    [missing] = lab.storage.unjudged.of_calls([call_id])
    assert (missing.tries, missing.reason) == (2, str(UNAVAILABLE))
    assert missing.next_attempt_at
    wait = missing.next_attempt_at - missing.updated_at
    assert 8 < wait.total_seconds() / 60 < 12
    [seen] = lab.instance.fetch_observations(dg.AssetKey("competitor_sentiment"), limit=9).records
    assert seen.partition_key == call_id


def test_a_permanent_error_is_reported_and_left_to_users(lab: Lab) -> None:
    call_id = processed(lab, error=REFUSED)
    assert state(lab, call_id) is CallState.COMPLETED
    skip_waits(lab)
    assert requested(lab) == []
    assert outbox_events(lab) == [("mentions_unjudged", call_id)]
    assert lab.storage.ledger.retry([call_id]) == {call_id}
    assert requested(lab) == [call_id]
    judge(lab)
    assert run(lab, call_id).success
    assert judged(lab, call_id) == THREE


def test_after_the_last_attempt_it_is_left_to_users(lab: Lab) -> None:
    call_id = processed(lab)
    tries = 1
    while lab.storage.unjudged.of_calls([call_id])[0].next_attempt_at:
        skip_waits(lab)
        assert run(lab, call_id).success
        tries += 1
        assert tries < 20
    assert tries == 12
    assert outbox_events(lab) == [("mentions_unjudged", call_id)]
    assert requested(lab) == []


def test_a_killed_run_leaves_the_call_complete_and_another_one_follows(lab: Lab) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    missing = lab.storage.unjudged
    missing.register_run("killed")
    [mention_id] = missing.claim(call_id, "killed")
    found = reclaim_dead(lab)
    assert (found.released, found.dead) == (0, {"killed"})
    assert state(lab, call_id) is CallState.COMPLETED
    [mention] = [m for m in lab.storage.results.mentions(call_id) if m.mention_id == mention_id]
    late = a_write(call_id, Stage.COMPETITOR_SENTIMENT, "killed")
    with pytest.raises(ClaimLost):
        missing.save(late, [a_judgement(mention)])
    assert requested(lab) == []
    skip_waits(lab)
    assert requested(lab) == [call_id]
    judge(lab)
    assert run(lab, call_id).success
    assert judged(lab, call_id) == THREE


def test_a_call_that_kills_its_runs_is_given_up(lab: Lab) -> None:
    call_id = processed(lab)
    for number in range(11):
        skip_waits(lab)
        assert lab.storage.unjudged.claim(call_id, f"killed-{number}")
    skip_waits(lab)
    assert lab.storage.unjudged.claim(call_id, "one more") == frozenset()
    assert requested(lab) == []
    assert outbox_events(lab) == [("mentions_unjudged", call_id)]
    assert state(lab, call_id) is CallState.COMPLETED


def test_unreported_judgements_of_a_killed_run_are_reported(lab: Lab) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    lab.storage.unjudged.register_run("killed")
    [mention_id] = lab.storage.unjudged.claim(call_id, "killed")
    [mention] = [m for m in lab.storage.results.mentions(call_id) if m.mention_id == mention_id]
    write = a_write(call_id, Stage.COMPETITOR_SENTIMENT, "killed")
    lab.storage.unjudged.save(write, [a_judgement(mention)])
    reclaim_dead(lab)
    assert metadata(lab)["stored_by_run"] == "killed"


def test_a_call_erased_while_it_waits_is_not_requested(lab: Lab) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    lab.storage.erasures.begin([call_id], keep_recording=True)
    assert requested(lab) == []
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == []
    assert state(lab, call_id) is CallState.ERASED


def test_erasing_a_call_removes_it_from_runs_for_missing_judgements(lab: Lab) -> None:
    call_id, other = processed(lab, "one"), processed(lab, "two")
    skip_waits(lab)
    run_id = run(lab, call_id, other).run_id
    assert erase_records(lab.instance, [call_id]).removed > 0
    assert not erase_records(lab.instance, [call_id]).busy
    kept = lab.instance.get_run_by_id(run_id)
    assert kept and kept.run_config == config_of(other)
    assert not [entry for entry in lab.instance.all_logs(run_id) if call_id in str(entry)]


def test_materializing_sentiment_judges_all_mentions_again(lab: Lab) -> None:
    call_id = processed(lab)
    again = judge(lab)
    assert lab.run([call_id], assets=["competitor_sentiment"]).success
    assert set(again.asked) == THREE
    assert judged(lab, call_id) == THREE
    skip_waits(lab)
    assert requested(lab) == []


def test_a_competitor_removed_from_the_catalog_is_not_requested(lab: Lab) -> None:
    call_id = processed(lab)
    lab.settings.catalog_path.write_text("competitors:\n  - name: Vodafone\n")
    judge(lab)
    assert lab.run([call_id], assets=["competitor_mentions"]).success
    skip_waits(lab)
    assert requested(lab) == []


def test_one_run_at_a_time_is_requested_unless_it_hangs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    job = lab.definitions.resolve_job_def(JOB)
    active = lab.instance.create_run_for_job(
        job, run_config=config_of(call_id), status=dg.DagsterRunStatus.STARTED
    )
    assert requested(lab) == []
    monkeypatch.setattr("callpipeline.defs.sensors.maintenance.START_TIMEOUT_S", -1.0)
    lab.storage.unjudged.register_run(active.run_id)
    assert requested(lab) == []
    lab.storage.claims.reclaim([active.run_id])
    assert requested(lab) == [call_id]
    ended = lab.instance.get_run_by_id(active.run_id)
    assert ended and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_call_in_progress_is_left_to_its_run(lab: Lab) -> None:
    call_id = processed(lab)
    skip_waits(lab)
    assert lab.storage.claims.claim([call_id], "another run")
    assert requested(lab) == []
    again = judge(lab)
    assert run(lab, call_id).success
    assert again.asked == []
    assert state(lab, call_id) is CallState.PROCESSING
