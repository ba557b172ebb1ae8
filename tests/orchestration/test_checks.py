"""Asset checks in Dagster over processed calls: results, texts and notifications."""

import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO

import dagster as dg
import numpy as np
import soundfile

from callpipeline.defs.checks import JOB, QUALITY
from callpipeline.domain.calls.call import Stage
from callpipeline.pipeline.quality.checks import CHECKS
from callpipeline.storage.postgres.database import Database, DatabaseLimits
from tests.integration.databases import execute_sql
from tests.orchestration.lab import Lab

MARKER = "zanzibar"
NAMES = {check.name for check in CHECKS}


def long_audio(number: int = 0) -> bytes:
    """Return twelve seconds of noise, different for each number."""
    file = BytesIO()
    noise = np.random.default_rng(number).normal(0, 0.1, (12 * 8000, 2))
    soundfile.write(file, noise, 8000, format="WAV")
    return file.getvalue()


def run_checks(lab: Lab, **resources: object) -> dg.ExecuteInProcessResult:
    return lab.definitions.resolve_job_def(JOB).execute_in_process(
        instance=lab.instance, raise_on_error=False, resources=resources
    )


def results(result: dg.ExecuteInProcessResult) -> Mapping[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def test_all_checks_belong_to_their_assets_and_run_in_one_run(lab: Lab) -> None:
    repository = lab.definitions.get_repository_def()
    [schedule] = [one for one in repository.schedule_defs if one.name == "check_calls"]
    assert schedule.job_name == JOB
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    keys = repository.asset_graph.asset_check_keys
    assert {(key.asset_key.to_user_string(), key.name) for key in keys} == {
        *((check.asset, check.name) for check in CHECKS),
        *((asset.value, name) for name, asset in QUALITY.items()),
    }
    result = run_checks(lab)
    assert result.success
    assert {name for name, each in results(result).items() if each.passed} == NAMES
    assert lab.instance.get_runs_count() == 1


def test_a_batch_of_calls_runs_no_check(lab: Lab) -> None:
    """Each result would be an event, and cover a whole day."""
    result = lab.run([lab.add_call("call")])
    assert result.success
    assert result.get_asset_check_evaluations() == []
    planned = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    assert lab.instance.all_logs(result.run_id, of_type=planned) == []


def test_a_call_without_words_and_a_failed_one_are_found(lab: Lab) -> None:
    empty = lab.add_call("empty", said="", audio=long_audio())
    bad = lab.add_call("bad", audio=b"<html>")
    lab.run([empty, bad])
    found = results(run_checks(lab))
    assert {name for name, each in found.items() if not each.passed} == {
        "speech_has_words",
        "few_calls_fail",
    }
    words, failures = found["speech_has_words"], found["few_calls_fail"]
    assert words.severity is failures.severity is dg.AssetCheckSeverity.WARN
    assert words.metadata["found"].value == 1
    assert f"[{empty}](/assets/transcripts?view=partitions&partition={empty})" in str(
        words.metadata["newest"].value
    )
    assert "| channel_audio | UnsupportedAudio | 1 |" in str(failures.metadata["reasons"].value)
    assert f"/assets/channel_audio?view=partitions&partition={bad}" in str(failures.metadata)


def test_check_results_contain_no_file_name_and_no_speech(lab: Lab) -> None:
    """All checks fail, over calls with a marker in every text that users provide."""
    said = f"my {MARKER} is vodafone"
    lab.settings.catalog_path.parent.mkdir(parents=True, exist_ok=True)
    lab.settings.catalog_path.write_text("competitors: [Vodafone, 'Two | <b>Brothers']")
    call_ids = [lab.add_call(f"{MARKER}-{n}", said=said, audio=long_audio(n)) for n in range(3)]
    call_ids += [lab.add_call(f"{MARKER}-empty", said="", audio=long_audio(9))]
    call_ids += [lab.add_call(f"{MARKER}-bad", audio=MARKER.encode())]
    lab.run(call_ids)
    waiting = lab.add_call(f"{MARKER}-waits")
    url = lab.storage.database.url
    execute_sql(url, "UPDATE transcripts SET reliable = false, unheard_s = 4")
    flag = json.dumps([{"flag": "silent", "detail": MARKER, "channel": "left"}])
    execute_sql(url, f"UPDATE recordings SET flags = '{flag}'")
    execute_sql(
        url,
        f"UPDATE calls SET error_message = '{MARKER}' WHERE state = 'FAILED'; "
        f"""UPDATE calls SET metadata = '{{"agent": "{MARKER}"}}', """
        "created_at = now() - interval '29 hours';"
        "UPDATE catalog_versions SET created_at = now() - interval '40 days';"
        "UPDATE catalog_changes SET made_at = now() - interval '2 hours';"
        "UPDATE call_stages SET rule_version = 0 WHERE stage = 'competitor_mentions'",
    )
    complete = [f"2026-01-01-{number:012x}" for number in range(100)]
    execute_sql(
        url,
        "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, state, "
        f"completed_at) SELECT c, 'b', '{MARKER}' || c, 'e', 1, now(), 'COMPLETED', now() "
        f"FROM unnest(ARRAY{complete}) AS c; UPDATE calls SET created_at = now() - "
        "interval '29 hours'; UPDATE calls SET completed_at = now() - interval '2 days' "
        "WHERE bucket = 'b'",
    )
    result = run_checks(lab)
    assert {name for name, each in results(result).items() if not each.passed} == NAMES
    events = str(lab.instance.all_logs(result.run_id)) + str(results(result))
    assert waiting in events
    names = results(result)["every_competitor_is_named_now_and_then"].metadata
    assert "| Two \\| &lt;b>Brothers |" in str(names["names_by_last_time"].value)
    assert MARKER not in events
    assert MARKER not in str(execute_sql(url, "SELECT title, message, metadata FROM outbox"))
    assert ".wav" not in events


def test_an_error_is_added_to_the_outbox_and_a_warning_is_not(lab: Lab) -> None:
    url = lab.storage.database.url
    kinds = "SELECT group_key, severity FROM outbox WHERE kind = 'check_failed'"
    lab.run([lab.add_call("few", said="", audio=long_audio())])
    run_checks(lab)
    assert execute_sql(url, kinds) == []
    lab.run([lab.add_call(f"{n}", said="", audio=long_audio(n)) for n in range(1, 20)])
    found = results(run_checks(lab))["speech_has_words"]
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert execute_sql(url, kinds) == [("check_failed:speech_has_words", "error")]


def test_without_a_database_a_check_fails_with_our_error(lab: Lab) -> None:
    with Database(
        "postgresql://nobody@127.0.0.1:9/none", limits=DatabaseLimits(0.2)
    ) as unavailable:
        result = run_checks(lab, storage=replace(lab.storage, database=unavailable))
    assert not result.success
    assert result.get_asset_check_evaluations() == []
    failed = [event for event in result.all_events if event.is_step_failure]
    assert len(failed) == len(NAMES)
    for event in failed:
        assert "UserFacingError: Postgres did not respond" in str(event.step_failure_data.error)


def test_a_check_that_fails_does_not_stop_the_others(lab: Lab) -> None:
    execute_sql(lab.storage.database.url, "ALTER TABLE mentions RENAME TO gone")
    result = run_checks(lab)
    assert not result.success
    assert set(results(result)) == NAMES - {"every_competitor_is_named_now_and_then"}


def test_checks_belong_to_assets_that_exist() -> None:
    assert {check.asset for check in CHECKS} <= {"recordings", *(stage.value for stage in Stage)}
