"""Notifications from a call that fails in a Dagster run to real receivers."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from callpipeline.config import Settings
from callpipeline.defs.errors import UserFacingError
from callpipeline.wiring import open_storage
from tests.fakes.receivers import SECRETS, Answer, Receivers
from tests.integration.databases import execute_sql
from tests.orchestration.lab import CountingEngines, Lab

SAID = "my zanzibar marker is that i am leaving for vodafone"


def with_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as settings have them, with secrets wrapped."""
    hidden = (*SECRETS, "notify_webhook_url")
    known: dict[str, Any] = {**values, "email_to": tuple(values["email_to"].split(", "))}
    return {n: SecretStr(v) if n in hidden else v for n, v in known.items()}


@pytest.fixture
def receivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    # As `up` does for its processes: the resource has the name of the variable, not its value.
    monkeypatch.setenv("CALLPIPELINE_SLACK_BOT_TOKEN", SECRETS["slack_bot_token"])
    with ExitStack() as stack:
        yield Receivers(stack, tmp_path)


@pytest.fixture
def notified_lab(
    settings: Settings,
    database_url: str,
    receivers: Receivers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lab]:
    """A lab whose settings have the receivers."""
    where = {"database_url": SecretStr(database_url), "settle_s": 0.0}
    chosen = settings.model_copy(update=with_secrets(receivers.settings) | where)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_storage(chosen, database_url) as storage, dg.instance_for_test() as instance:
        yield Lab(chosen, storage, CountingEngines(), instance, tmp_path)


def tick(lab: Lab, name: str, cursor: str | None = None) -> dg.SensorResult:
    """Evaluate a sensor once, with the resources of the definitions."""
    repository = lab.definitions.get_repository_def()
    sensor = repository.get_sensor_def(name)
    available = {**repository.get_top_level_resources(), "storage": lab.storage}
    needed = ("storage", "slack", "dispatcher", "monitor")
    with dg.build_sensor_context(
        instance=lab.instance,
        resources={key: available[key] for key in needed},
        definitions=lab.definitions,
        cursor=cursor,
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def fail_a_call(lab: Lab) -> str:
    call_id = lab.add_call("marked", said=SAID, audio=b"no sound at all")
    assert not lab.run([call_id]).success
    return call_id


def test_a_failed_call_reaches_every_channel(notified_lab: Lab, receivers: Receivers) -> None:
    call_id = fail_a_call(notified_lab)
    result = tick(notified_lab, "outbox")
    assert "email: delivered (250)" in str(result.skip_reason)
    [slack], [mail], [hook] = (
        receivers.slack.posts,
        receivers.mail.mails,
        receivers.webhook.requests,
    )
    link = f"https://calls.example.com/calls/{call_id}"
    assert slack["channel"] == "#calls"
    assert link in str(slack["attachments"])
    assert mail["Subject"] == "[ERROR] A call failed at channel_audio (UnsupportedAudio)"
    assert receivers.mail.recipients == [["ops@example.com", "ci@example.com"]]
    assert link in mail.get_body(("html",)).get_content().replace("&amp;", "&")  # pyright: ignore
    verified = Webhook(SECRETS["notify_webhook_secret"]).verify(hook.body, dict(hook.headers))
    assert (verified["type"], verified["job_id"]) == ("job_failed", call_id)
    assert verified["job_filename"].endswith("marked.wav")
    assert verified["error_message"]


def test_the_deliveries_are_observations_in_dagster(
    notified_lab: Lab, receivers: Receivers
) -> None:
    fail_a_call(notified_lab)
    observed = tick(notified_lab, "outbox").asset_events
    assert {event.asset_key.path[-1] for event in observed} == {"notifications"}
    attempts = [{n: v.value for n, v in event.metadata.items()} for event in observed]
    assert sorted((one["channel"], one["answer"]) for one in attempts) == [
        ("email", "250"),
        ("slack", "ok"),
        ("webhook", "200"),
    ]
    assert tick(notified_lab, "outbox").asset_events == []


def test_neither_speech_nor_secrets_are_in_messages_or_logs(
    notified_lab: Lab, receivers: Receivers, caplog: pytest.LogCaptureFixture
) -> None:
    """A call with a marker in its transcript fails at a stage that has read it."""
    caplog.set_level(logging.DEBUG)
    call_id = notified_lab.add_call("marked", said=SAID)

    def fail() -> None:
        raise RuntimeError(f"about {SAID}")

    notified_lab.engines.before_split = fail
    assert not notified_lab.run([call_id]).success
    result = tick(notified_lab, "outbox")
    arrived = str(receivers.slack.posts) + str([m.as_string() for m in receivers.mail.mails])
    arrived += str([request.body for request in receivers.webhook.requests])
    assert call_id in arrived
    events = notified_lab.instance.all_logs(notified_lab.instance.get_runs()[0].run_id)
    stored = execute_sql(notified_lab.storage.database.url, "SELECT code, answer FROM deliveries")
    records = f"{caplog.text} {result.asset_events} {events} {stored} {result.skip_reason}"
    for planted in ("zanzibar", "planted"):
        assert planted not in arrived
        assert planted not in records, planted


def test_rejected_deliveries_are_shown_in_dagster_and_retried(
    notified_lab: Lab, receivers: Receivers
) -> None:
    receivers.slack.answers = [Answer(429, b"{}", {"Retry-After": "1"})]
    receivers.mail.refuse = ["451 come back later"]
    receivers.webhook.answers = [Answer(503, b"down")]
    fail_a_call(notified_lab)
    attempts = [event.metadata for event in tick(notified_lab, "outbox").asset_events]
    assert sorted(str(one["answer"].value) for one in attempts) == ["429", "451", "503"]
    execute_sql(
        notified_lab.storage.database.url, "UPDATE notifications SET next_attempt_at = now()"
    )
    attempts = [event.metadata for event in tick(notified_lab, "outbox").asset_events]
    assert [one["delivered"].value for one in attempts] == [True] * 3
    assert [one["attempt"].value for one in attempts] == [2] * 3


# Runs


def test_a_run_that_lists_its_failed_calls_is_not_reported_as_well(notified_lab: Lab) -> None:
    fail_a_call(notified_lab)
    tick(notified_lab, "trouble")
    kinds = execute_sql(notified_lab.storage.database.url, "SELECT kind FROM outbox")
    assert kinds == [("call_failed",)]


def killed_run(lab: Lab) -> dg.DagsterRun:
    """Return a run that Dagster or the reconciler marked as failed."""
    run = lab.instance.create_run_for_job(lab.definitions.resolve_job_def("process_waiting_calls"))
    lab.instance.report_run_failed(run, "The run's process stopped sending heartbeats.")
    return run


def test_a_killed_run_is_reported_once_by_whichever_sensor_sees_it_first(
    notified_lab: Lab, receivers: Receivers
) -> None:
    from callpipeline.defs.dagster_internals.runs import record_failure

    run = killed_run(notified_lab)
    outbox, instance = notified_lab.storage.outbox, notified_lab.instance
    first = tick(notified_lab, "trouble")
    assert "1 failed runs had not been reported" in str(first.skip_reason)
    assert not record_failure(instance, outbox, run)
    again = tick(notified_lab, "trouble", first.cursor)
    assert str(again.skip_reason) == str(dg.SkipReason("No problems found."))
    tick(notified_lab, "outbox")
    [hook] = receivers.webhook.requests
    document = hook.json
    assert document["type"] == "system_error"
    assert document["metadata"]["run_url"] == f"https://dagster.example.com/runs/{run.run_id}"
    assert "stopped sending heartbeats" in document["error_message"]


def test_dagsters_failure_sensor_only_writes_to_the_outbox(
    notified_lab: Lab, receivers: Receivers
) -> None:
    sensor = notified_lab.definitions.get_repository_def().get_sensor_def("failed_runs")
    run = killed_run(notified_lab)
    failure = notified_lab.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)[
        -1
    ]
    context = dg.build_run_status_sensor_context(
        "failed_runs",
        failure.get_dagster_event(),
        notified_lab.instance,
        run,
        resources={"storage": notified_lab.storage},
    ).for_run_failure()
    sensor(context)
    assert execute_sql(notified_lab.storage.database.url, "SELECT kind, run_id FROM outbox") == [
        ("run_failed", run.run_id)
    ]
    assert receivers.webhook.requests == []


def test_a_run_that_fails_with_our_error_is_reported_with_its_message(notified_lab: Lab) -> None:
    call_id = notified_lab.add_call("call")
    notified_lab.settings.catalog_path.write_text("competitors: [[[")
    with suppress(UserFacingError):  # Dagster raises it if no resource could be opened
        notified_lab.run([call_id])
    tick(notified_lab, "trouble")
    [(kind, message)] = execute_sql(
        notified_lab.storage.database.url, "SELECT kind, error_message FROM outbox"
    )
    assert kind == "run_failed"
    assert "competitors" in message


# Sensors


def test_a_failing_sensor_and_its_recovery_are_reported(
    notified_lab: Lab, receivers: Receivers
) -> None:
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        SensorInstigatorData,
        TickData,
        TickStatus,
    )
    from dagster_shared.error import SerializableErrorInfo

    from callpipeline.defs.dagster_internals.health import report_failing_sensors

    now = datetime.now(UTC)
    origin = an_origin("new_recordings_dialler")
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData()
    )
    notified_lab.instance.add_instigator_state(state)

    def ticked(status: TickStatus, ago_s: float) -> None:
        error = SerializableErrorInfo("no such bucket", [], "StoreUnavailable")
        data = TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.instigator_name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=now.timestamp() - ago_s,
            selector_id=state.selector_id,
            error=error if status is TickStatus.FAILURE else None,
        )
        notified_lab.instance.create_tick(data)

    outbox = notified_lab.storage.outbox
    for ago_s in (40, 20):
        ticked(TickStatus.FAILURE, ago_s)
    assert report_failing_sensors(notified_lab.instance, outbox, now) == []
    ticked(TickStatus.FAILURE, 10)
    assert report_failing_sensors(notified_lab.instance, outbox, now) == [
        "The sensor new_recordings_dialler fails"
    ]
    tick(notified_lab, "outbox")
    ticked(TickStatus.SKIPPED, 5)
    assert report_failing_sensors(notified_lab.instance, outbox, now) == []
    tick(notified_lab, "outbox")
    titles = [request.json["title"] for request in receivers.webhook.requests]
    assert titles == [
        "The sensor new_recordings_dialler fails",
        "The sensor new_recordings_dialler works again",
    ]
    assert receivers.webhook.requests[0].json["error_message"] == "no such bucket"
    [opening, recovery] = receivers.slack.posts
    assert recovery["thread_ts"] == "1700000000.000001"
    assert "thread_ts" not in opening


def an_origin(name: str) -> Any:
    from dagster._core.remote_origin import (
        GrpcServerCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )

    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name="callpipeline")
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
