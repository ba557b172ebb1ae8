"""The multi-asset: batches, failures, subsets and re-execution, as Dagster shows them."""

import json

import dagster as dg

from callpipeline.defs.partitions import calls
from callpipeline.domain.calls.call import CallState, Lane, Stage
from tests.orchestration.lab import SAID, Lab

ALL = [stage.value for stage in Stage]


def test_definitions_load_and_are_consistent(lab: Lab) -> None:
    dg.Definitions.validate_loadable(lab.definitions)


def test_a_batch_materializes_every_asset_of_every_call(lab: Lab) -> None:
    call_ids = [lab.add_call(f"call-{number}") for number in range(3)]
    assert lab.run(call_ids).success
    for asset in ALL:
        assert lab.materialized(asset) == set(call_ids)
    assert lab.storage.ledger.count() == {CallState.COMPLETED: 3}
    judged = lab.storage.results.judgements(call_ids[0])
    assert [(j.competitor, j.sentiment) for j in judged] == [("Vodafone", "positive")]


def test_one_call_fails_and_the_others_are_materialized(lab: Lab) -> None:
    good = [lab.add_call("good-1"), lab.add_call("good-2")]
    bad = lab.add_call("bad", audio=b"<!DOCTYPE html><html>not found</html>")
    call_ids = [good[0], bad, good[1]]
    result = lab.run(call_ids)
    assert not result.success
    assert lab.materialized("competitor_sentiment") == set(good)
    assert lab.materialized("channel_audio") == set(good)
    failed = lab.storage.ledger.find(bad)
    assert failed.state is CallState.FAILED
    assert failed.error_message and "HTML" in failed.error_message
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert bad in str(failure.step_failure_data.error)
    assert good[0] not in str(failure.step_failure_data.error)


def test_a_failed_call_is_observed_with_its_reason(lab: Lab) -> None:
    bad = lab.add_call("bad", audio=b"just some text, as a note to myself")
    lab.run([bad])
    [record] = lab.instance.fetch_observations(dg.AssetKey("channel_audio"), limit=10).records
    assert record.partition_key == bad
    observed = record.asset_observation
    assert observed and "text" in str(observed.metadata["failed"].value)


def test_the_failed_partition_is_red_and_the_others_green(lab: Lab) -> None:
    good, bad = lab.add_call("good"), lab.add_call("bad", audio=b"")
    lab.run([good, bad])
    status = lab.instance.get_status_by_partition(dg.AssetKey("transcripts"), [good, bad], calls)
    assert status
    assert {key: state.value for key, state in status.items() if state} == {
        good: "MATERIALIZED",
        bad: "FAILED",
    }


def test_a_scattered_list_of_calls_is_one_run(lab: Lab) -> None:
    call_ids = [lab.add_call(f"call-{number}") for number in range(4)]
    lab.instance.add_dynamic_partitions("calls", call_ids)
    chosen = [call_ids[3], call_ids[0]]
    assert lab.run(chosen, listed=True).success
    assert lab.materialized("competitor_mentions") == set(chosen)
    assert lab.storage.ledger.count() == {CallState.COMPLETED: 2, CallState.PENDING: 2}


def test_a_reversed_range_fails_instead_of_doing_nothing(lab: Lab) -> None:
    first, second = lab.add_call("first"), lab.add_call("second")
    lab.instance.add_dynamic_partitions("calls", [first, second])
    result = lab.run([second, first])
    assert not result.success
    assert lab.storage.ledger.count() == {CallState.PENDING: 2}


def test_mentions_and_sentiment_alone_use_no_decoder_and_no_recogniser(lab: Lab) -> None:
    call_id = lab.add_call("call")
    assert lab.run([call_id]).success
    assert "splitter" in lab.engines.used
    lab.engines.used.clear()
    assert lab.run([call_id], assets=["competitor_mentions", "competitor_sentiment"]).success
    assert lab.engines.used == []
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED
    assert len(lab.storage.results.mentions(call_id)) == 1


def test_a_new_competitor_reaches_a_past_call_without_transcribing_it_again(lab: Lab) -> None:
    call_id = lab.add_call("call", said=f"{SAID} and acme telecom is terrible")
    lab.run([call_id])
    assert {m.competitor for m in lab.storage.results.mentions(call_id)} == {"Vodafone"}
    lab.settings.catalog_path.write_text("competitors:\n  - Vodafone\n  - Acme Telecom\n")
    lab.engines.used.clear()
    assert lab.run([call_id], assets=["competitor_mentions", "competitor_sentiment"]).success
    judged = {j.competitor: j.sentiment for j in lab.storage.results.judgements(call_id)}
    assert judged == {"Vodafone": "positive", "Acme Telecom": "negative"}
    assert lab.engines.used == []


def test_a_subset_of_a_call_that_was_never_split_reports_what_is_missing(lab: Lab) -> None:
    """The call is unchanged: it waits for a run of the earlier stages."""
    call_id = lab.add_call("call")
    before = lab.storage.ledger.find(call_id)
    result = lab.run([call_id], assets=["competitor_mentions", "competitor_sentiment"])
    [failure] = [e for e in result.all_events if e.is_step_failure]
    reason = f"{call_id}: not processed: it has no transcripts: not computed yet, or deleted"
    assert reason in str(failure.step_failure_data.error)
    assert lab.storage.ledger.find(call_id) == before


def test_a_subset_over_calls_of_which_some_failed_early_processes_the_others(lab: Lab) -> None:
    good, bad = lab.add_call("good"), lab.add_call("bad", audio=b"<html>")
    lab.run([good, bad])
    before = lab.storage.ledger.find(bad)
    lab.settings.catalog_path.write_text("competitors:\n  - Acme Telecom\n")
    assert not lab.run([good, bad], assets=["competitor_mentions"]).success
    assert lab.storage.results.mentions(good) == ()
    assert lab.storage.ledger.find(bad) == before


def test_a_batch_continues_where_an_earlier_run_ended(lab: Lab) -> None:
    call_id = lab.add_call("call")
    assert lab.run([call_id], assets=["channel_audio", "call_metrics", "transcripts"]).success
    assert lab.storage.ledger.find(call_id).state is CallState.PENDING
    lab.engines.used.clear()
    assert lab.run([call_id], tags={"callpipeline/batch": "again"}).success
    assert lab.storage.ledger.find(call_id).state is CallState.COMPLETED
    assert lab.engines.used == []
    [latest] = lab.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("transcripts")), limit=1
    ).records
    assert latest.asset_materialization
    assert latest.asset_materialization.metadata["kept_from_earlier_run"].value is True


def test_a_manual_run_computes_everything_again(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    lab.engines.used.clear()
    assert lab.run([call_id]).success
    assert lab.engines.used.count("splitter") == 1


def test_a_call_claimed_by_another_run_is_left_to_it(lab: Lab) -> None:
    held, free = lab.add_call("held"), lab.add_call("free")
    lab.storage.claims.claim([held], "another-run")
    result = lab.run([held, free])
    assert not result.success
    assert lab.materialized("transcripts") == {free}
    assert lab.storage.ledger.find(held).claimed_by == "another-run"


def test_a_run_that_lost_its_claim_writes_nothing_more(lab: Lab) -> None:
    call_id = lab.add_call("call")

    def lose_claim() -> None:
        with lab.storage.database.transaction() as connection:
            connection.execute("UPDATE calls SET claimed_by = 'another-run'")

    lab.engines.before_split = lose_claim
    assert not lab.run([call_id]).success
    record = lab.storage.ledger.find(call_id)
    assert (record.state, record.claimed_by, record.stages) == (
        CallState.PROCESSING,
        "another-run",
        (),
    )


def test_no_speech_of_a_call_reaches_dagster(lab: Lab) -> None:
    secret = "marzipan helicopter"
    lab.add_call("447700900123", said=f"{SAID} {secret}")
    lab.add_call("447700900124", said=secret, audio=b"not audio at all")
    call_ids = [record.call_id for record in lab.storage.ledger.calls()]
    result = lab.run(call_ids)
    logged = [str(e) for e in lab.instance.all_logs(result.run_id)]
    assert logged
    assert not [entry for entry in logged if "marzipan" in entry or "4477009001" in entry]


def test_an_overwritten_recording_fails_its_call(lab: Lab) -> None:
    call_id = lab.add_call("call")
    key = lab.storage.ledger.find(call_id).key
    lab.storage.inbox.put(key, b"RIFF, but another call")
    assert not lab.run([call_id]).success
    message = lab.storage.ledger.find(call_id).error_message
    assert message and "replaced" in message


def test_sentiment_of_mentions_in_an_older_transcript_is_rejected(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    key = lab.storage.ledger.find(call_id).key
    silent = json.dumps({"segments": []}).encode()
    lab.storage.inbox.put(key.replace(".wav", ".transcript.json"), silent)
    assert lab.run([call_id], assets=["transcripts"]).success
    assert not lab.run([call_id], assets=["competitor_sentiment"]).success
    message = lab.storage.ledger.find(call_id).error_message
    assert message and "competitor_mentions first" in message


def test_the_lane_of_a_run_reaches_its_engines(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id], tags={"callpipeline/batch": "1", "callpipeline/lane": "bulk"})
    lab.run([call_id])
    assert lab.lanes == [Lane.BULK, Lane.LIVE]


def test_calls_in_progress_when_a_run_ends_wait_for_another(lab: Lab) -> None:
    """As when Dagster cancels the run: the interrupt is raised in the generator."""
    call_ids = [lab.add_call("one"), lab.add_call("two")]

    def interrupt() -> None:
        raise dg.DagsterExecutionInterruptedError

    lab.engines.before_split = interrupt
    assert not lab.run(call_ids).success
    records = lab.storage.ledger.calls()
    assert {(record.state, record.claimed_by) for record in records} == {(CallState.PENDING, None)}
