"""From a call that really fails in a Dagster run to what arrives at real receivers."""

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
from callpipeline.defs.told import Told
from callpipeline.wiring import open_storage
from tests.fakes.receivers import SECRETS, Answer, Receivers
from tests.integration.databases import asked
from tests.orchestration.lab import Lab, Listening

SAID = "my zanzibar marker is that i am leaving for vodafone"


def with_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the settings hold them."""
    hidden = (*SECRETS, "notify_webhook_url")
    known: dict[str, Any] = {**values, "email_to": tuple(values["email_to"].split(", "))}
    return {n: SecretStr(v) if n in hidden else v for n, v in known.items()}


@pytest.fixture
def receivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    # As `up` does for the processes it starts: the resource names the variable, not its value.
    monkeypatch.setenv("CALLPIPELINE_SLACK_BOT_TOKEN", SECRETS["slack_bot_token"])
    with ExitStack() as stack:
        yield Receivers(stack, tmp_path)


@pytest.fixture
def told_lab(
    settings: Settings,
    database_url: str,
    receivers: Receivers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lab]:
    """A lab whose settings name the receivers."""
    where = {"database_url": SecretStr(database_url), "settle_s": 0.0}
    chosen = settings.model_copy(update=with_secrets(receivers.settings) | where)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_storage(chosen, database_url) as storage, dg.instance_for_test() as instance:
        yield Lab(chosen, storage, Listening(), instance, tmp_path)


def tick(lab: Lab, name: str, cursor: str | None = None) -> dg.SensorResult:
    """One evaluation of a sensor, with the resources of the definitions."""
    repository = lab.definitions.get_repository_def()
    sensor = repository.get_sensor_def(name)
    known = {**repository.get_top_level_resources(), "storage": lab.storage}
    wanted = {key: known[key] for key in ("storage", "slack", "dispatcher", "watch")}
    with dg.build_sensor_context(
        instance=lab.instance, resources=wanted, definitions=lab.definitions, cursor=cursor
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def fail_a_call(lab: Lab) -> str:
    call_id = lab.add_call("marked", said=SAID, audio=b"no sound at all")
    assert not lab.run([call_id]).success
    return call_id


def test_a_failed_call_reaches_every_channel(told_lab: Lab, receivers: Receivers) -> None:
    call_id = fail_a_call(told_lab)
    result = tick(told_lab, "outbox")
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


def test_the_deliveries_are_observations_in_dagster(told_lab: Lab, receivers: Receivers) -> None:
    fail_a_call(told_lab)
    observed = tick(told_lab, "outbox").asset_events
    assert {event.asset_key.path[-1] for event in observed} == {"notifications"}
    told = [{n: v.value for n, v in event.metadata.items()} for event in observed]
    assert sorted((one["channel"], one["answer"]) for one in told) == [
        ("email", "250"),
        ("slack", "ok"),
        ("webhook", "200"),
    ]
    assert tick(told_lab, "outbox").asset_events == []


def test_neither_words_nor_secrets_are_in_messages_or_logs(
    told_lab: Lab, receivers: Receivers, caplog: pytest.LogCaptureFixture
) -> None:
    """A call with a marker in its transcript fails late, at a stage that has read it."""
    caplog.set_level(logging.DEBUG)
    call_id = told_lab.add_call("marked", said=SAID)

    def stumble() -> None:
        raise RuntimeError(f"about {SAID}")

    told_lab.listening.before_split = stumble
    assert not told_lab.run([call_id]).success
    result = tick(told_lab, "outbox")
    arrived = str(receivers.slack.posts) + str([m.as_string() for m in receivers.mail.mails])
    arrived += str([request.body for request in receivers.webhook.requests])
    assert call_id in arrived
    events = told_lab.instance.all_logs(told_lab.instance.get_runs()[0].run_id)
    noted = asked(told_lab.storage.database.url, "SELECT code, answer FROM deliveries")
    kept = f"{caplog.text} {result.asset_events} {events} {noted} {result.skip_reason}"
    for planted in ("zanzibar", "planted"):
        assert planted not in arrived
        assert planted not in kept, planted


def test_what_is_refused_is_seen_in_dagster_and_tried_again(
    told_lab: Lab, receivers: Receivers
) -> None:
    receivers.slack.answers = [Answer(429, b"{}", {"Retry-After": "1"})]
    receivers.mail.refuse = ["451 come back later"]
    receivers.webhook.answers = [Answer(503, b"down")]
    fail_a_call(told_lab)
    told = [event.metadata for event in tick(told_lab, "outbox").asset_events]
    assert sorted(str(one["answer"].value) for one in told) == ["429", "451", "503"]
    asked(told_lab.storage.database.url, "UPDATE notifications SET not_before = now()")
    told = [event.metadata for event in tick(told_lab, "outbox").asset_events]
    assert [one["delivered"].value for one in told] == [True] * 3
    assert [one["attempt"].value for one in told] == [2] * 3


# Runs


def test_a_run_that_lists_its_calls_is_not_told_besides(told_lab: Lab) -> None:
    fail_a_call(told_lab)
    tick(told_lab, "trouble")
    kinds = asked(told_lab.storage.database.url, "SELECT kind FROM outbox")
    assert kinds == [("call_failed",)]


def killed_run(lab: Lab) -> dg.DagsterRun:
    """A run that Dagster, or our reconciler, has given up."""
    run = lab.instance.create_run_for_job(lab.definitions.resolve_job_def("process_waiting_calls"))
    lab.instance.report_run_failed(run, "The run's process gave no sign of life any more.")
    return run


def test_a_run_that_was_killed_is_told_once_whoever_sees_it_first(
    told_lab: Lab, receivers: Receivers
) -> None:
    from callpipeline.defs.failed_runs import tell

    run = killed_run(told_lab)
    outbox, instance = told_lab.storage.outbox, told_lab.instance
    first = tick(told_lab, "trouble")
    assert "1 failed runs were not told yet" in str(first.skip_reason)
    assert not tell(instance, outbox, run)
    again = tick(told_lab, "trouble", first.cursor)
    assert str(again.skip_reason) == str(dg.SkipReason("Nothing that it looks for is wrong."))
    tick(told_lab, "outbox")
    [hook] = receivers.webhook.requests
    document = hook.json
    assert document["type"] == "system_error"
    assert document["metadata"]["run_url"] == f"https://dagster.example.com/runs/{run.run_id}"
    assert "no sign of life" in document["error_message"]


def test_dagsters_failure_sensor_only_writes_to_the_outbox(
    told_lab: Lab, receivers: Receivers
) -> None:
    sensor = told_lab.definitions.get_repository_def().get_sensor_def("failed_runs")
    run = killed_run(told_lab)
    failure = told_lab.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)[-1]
    context = dg.build_run_status_sensor_context(
        "failed_runs",
        failure.get_dagster_event(),
        told_lab.instance,
        run,
        resources={"storage": told_lab.storage},
    ).for_run_failure()
    sensor(context)
    assert asked(told_lab.storage.database.url, "SELECT kind, run_id FROM outbox") == [
        ("run_failed", run.run_id)
    ]
    assert receivers.webhook.requests == []


def test_a_run_that_an_error_of_ours_ends_is_told_in_its_words(told_lab: Lab) -> None:
    call_id = told_lab.add_call("call")
    told_lab.settings.catalog_path.write_text("competitors: [[[")
    with suppress(Told):  # where nothing could begin, Dagster raises it
        told_lab.run([call_id])
    tick(told_lab, "trouble")
    [(kind, words)] = asked(told_lab.storage.database.url, "SELECT kind, error_message FROM outbox")
    assert kind == "run_failed"
    assert "competitors" in words


# Sensors


def test_a_sensor_that_fails_and_works_again_is_told(told_lab: Lab, receivers: Receivers) -> None:
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        SensorInstigatorData,
        TickData,
        TickStatus,
    )
    from dagster_shared.error import SerializableErrorInfo

    from callpipeline.defs.failing_sensors import look_at_sensors

    now = datetime.now(UTC)
    origin = an_origin("new_recordings_dialler")
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData()
    )
    told_lab.instance.add_instigator_state(state)

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
        told_lab.instance.create_tick(data)

    outbox = told_lab.storage.outbox
    for ago_s in (40, 20):
        ticked(TickStatus.FAILURE, ago_s)
    assert look_at_sensors(told_lab.instance, outbox, now) == []
    ticked(TickStatus.FAILURE, 10)
    assert look_at_sensors(told_lab.instance, outbox, now) == [
        "The sensor new_recordings_dialler fails"
    ]
    tick(told_lab, "outbox")
    ticked(TickStatus.SKIPPED, 5)
    assert look_at_sensors(told_lab.instance, outbox, now) == []
    tick(told_lab, "outbox")
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
