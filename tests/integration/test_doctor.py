"""Each examination of `callpipeline doctor`, tried by breaking what it looks at."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from pydantic import SecretStr

from callpipeline import wiring
from callpipeline.cli.doctor import examination as checkup
from callpipeline.cli.doctor import operations, stores
from callpipeline.cli.doctor import settings as checkup_settings
from callpipeline.cli.doctor.findings import DoctorFinding, FindingLevel, run_examination
from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.health import DagsterStatus, examine
from callpipeline.domain.calls.call import Lane, Registration
from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import DeliveryRefused, EngineUnavailable
from callpipeline.storage.calls.queue import LaneBacklog
from callpipeline.storage.notifications import ChannelBacklog
from callpipeline.storage.postgres.database import Database
from callpipeline.wiring import Storage
from tests.builders import a_recording
from tests.fakes.tiny_whisper import a_tiny_whisper
from tests.integration.databases import execute_sql
from tests.integration.notifying import NotificationDesk


def settings_with(home: Path, **changed: object) -> Settings:
    return Settings(home=home, _env_file=None, **changed)  # pyright: ignore


def level_of(findings: Iterable[DoctorFinding], name: str) -> FindingLevel:
    return next(finding.level for finding in findings if finding.name == name)


# Settings


def test_a_misspelt_setting_is_reported_with_the_one_that_was_meant(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CALLPIPELINE_BATCHSIZE", "5")
    monkeypatch.setenv("CALLPIPELINE_XYZ", "5")
    details = {each.detail for each in checkup_settings.examine(settings)}
    assert (
        "CALLPIPELINE_BATCHSIZE is not a setting: did you mean CALLPIPELINE_BATCH_SIZE?" in details
    )
    assert "CALLPIPELINE_XYZ is not a setting; all are in .env.example" in details


def test_a_misspelt_setting_in_the_env_file_is_reported_too(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("callpipeline_hoem=/x\nOTHER=1\n")
    (warning,) = (f for f in checkup_settings.examine(settings) if f.level is FindingLevel.WARN)
    assert warning.detail == "callpipeline_hoem is not a setting: did you mean CALLPIPELINE_HOME?"


@pytest.mark.parametrize(
    "variable",
    ["CALLPIPELINE_HOME", "DATABASE_URL", "callpipeline_port", "CALLPIPELINE_DAGSTER_URL"],
)  # fmt: skip
def test_what_is_ours_is_known(settings: Settings, variable: str):
    known = checkup_settings.known_variables(settings)
    assert list(checkup_settings.unknown([variable], known)) == []


@pytest.mark.parametrize(
    ("endpoint", "levels"),
    [
        ("http://minio:9000", ["warn"]),
        ("http://127.0.0.1:9000", ["ok"]),
        ("http://[::1]:9000", ["ok"]),
        ("https://minio.example:9000", ["ok"]),
    ],
)
def test_an_endpoint_without_encryption_is_reported(
    tmp_path: Path, endpoint: str, levels: list[str]
):
    findings = checkup_settings.examine(settings_with(tmp_path, s3_endpoint=endpoint))
    assert [finding.level for finding in findings] == levels


@pytest.mark.parametrize(
    ("address", "levels"),
    [
        ("me:an-unusual-one@db.example/x", ["warn"]),
        ("me:an-unusual-one@db.example/x?sslmode=prefer", ["warn"]),
        ("me:an-unusual-one@db.example/x?sslmode=require", ["ok"]),
        ("postgres:postgres@db.example/x?sslmode=verify-full", ["bad"]),
        ("postgres:postgres@10.0.0.7/x", ["warn", "bad"]),
        ("caller-id:caller-id@db.example/x?sslmode=require", ["bad"]),
        ("me:short@db.example/x?sslmode=require", ["bad"]),
        ("postgres:postgres@127.0.0.1/x", ["ok"]),
        ("postgres:postgres@[::1]/x", ["ok"]),
        ("postgres:postgres@localhost/x", ["ok"]),
        ("postgres:postgres@/x?host=/run/postgresql", ["ok"]),
        ("me@db.example/x?sslmode=require", ["ok"]),
        ("postgres:postgres@127.0.0.1,db.example/x?sslmode=require", ["bad"]),
    ],
)
def test_a_database_that_is_not_safe_is_reported(tmp_path: Path, address: str, levels: list[str]):
    options = settings_with(tmp_path, DATABASE_URL=f"postgresql://{address}")
    findings = checkup_settings.examine(options)
    assert [finding.level for finding in findings] == levels
    assert not any("unusual" in finding.detail for finding in findings)


# Places


def test_a_full_disk_is_bad(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stores, "LEAST_FREE_BYTES", 1024**6)
    (finding,) = run_examination("disk", lambda: stores.disk(settings))
    assert (finding.level, "make room" in finding.detail) == (FindingLevel.BAD, True)


def test_files_that_others_can_read_are_a_warning(settings: Settings):
    def found() -> DoctorFinding:
        (finding,) = run_examination("files", lambda: stores.private_files(settings))
        return finding

    settings.home.mkdir()
    settings.home.chmod(0o755)  # whatever the umask
    (settings.home / "storage").mkdir(mode=0o700)
    assert found().level is FindingLevel.OK
    (settings.home / "storage").chmod(0o755)
    assert found().level is FindingLevel.WARN
    assert "chmod -R go=" in found().detail
    settings.home.chmod(0o700)
    assert found().level is FindingLevel.OK


def test_recordings_are_tried(settings: Settings):
    (finding,) = stores.recordings(settings)
    assert (finding.name, finding.level) == ("recordings", FindingLevel.OK)
    assert finding.detail.endswith("can be read and written, and is empty")
    assert list((settings.home / "recordings").iterdir()) == []


def test_a_folder_of_recordings_that_cannot_be_written_is_bad(tmp_path: Path):
    options = settings_with(tmp_path, recordings="/proc/self/net")
    (finding,) = stores.recordings(options)
    assert finding.level is FindingLevel.BAD
    assert "/proc/self/net is not writable" in finding.detail


@pytest.mark.parametrize(
    ("url", "level", "expected"),
    [
        ("/nowhere/calls", FindingLevel.BAD, "there is no folder /nowhere/calls"),
        ("/proc/self/net", FindingLevel.OK, "can be read, but not written"),
        ("s3://calls", FindingLevel.BAD, "did not respond"),
    ],
)
def test_every_source_is_tried(tmp_path: Path, url: str, level: FindingLevel, expected: str):
    sources = tmp_path / "sources.yaml"
    sources.write_text(f"sources:\n  - name: centre\n    url: {url}\n")
    access = {"s3_access_key_id": "x", "s3_secret_access_key": "y"}
    options = settings_with(tmp_path, sources=sources, s3_endpoint="http://127.0.0.1:9", **access)
    home, source = stores.recordings(options)
    assert (home.name, home.level) == ("recordings", FindingLevel.OK)
    assert (source.name, source.level) == ("source centre", level)
    assert expected in source.detail


def test_a_store_that_cannot_be_written_is_bad(tmp_path: Path):
    options = settings_with(tmp_path, storage="/proc/self/net")
    (finding,) = run_examination("storage", lambda: stores.results_store(options))
    assert finding.level is FindingLevel.BAD


@pytest.mark.parametrize(
    ("major", "off_s", "expected"),
    [
        (13, 0.0, "PostgreSQL 13 is too old: version 14 or newer is needed"),
        (14, 7.0, "differs .* by 7 s"),
    ],
)
def test_a_database_that_is_too_old_or_tells_another_time_is_bad(
    major: int, off_s: float, expected: str
):
    with pytest.raises(Exception, match=expected):
        stores.fit(major, off_s=off_s)
    assert stores.fit(14, off_s=1.0) == "PostgreSQL 14"


def test_the_doctor_says_which_recogniser_hears_the_calls_and_why(settings: Settings):
    (finding,) = (f for f in checkup.examine(settings) if f.name == "recogniser")
    assert finding.level is FindingLevel.WARN
    expected = "pocketsphinx, word errors over 90 % on phone calls (there is no"
    assert finding.detail.startswith(expected)


def test_a_model_of_whisper_is_named_with_its_worth(settings: Settings, tmp_path: Path):
    model = a_tiny_whisper(tmp_path / "tiny")
    wiring.model_shelf(settings).copy("fake", model, allow_unverified=True)
    (finding,) = (f for f in checkup.examine(settings) if f.name == "recogniser")
    assert finding.level is FindingLevel.OK
    assert finding.detail == (
        "faster-whisper fake (not verified), word errors not measured (the model pulled last)"
    )


def test_a_model_that_is_damaged_is_bad(settings: Settings, tmp_path: Path):
    model = a_tiny_whisper(tmp_path / "tiny")
    folder = wiring.model_shelf(settings).copy("fake", model, allow_unverified=True)
    findings = list(checkup.examine(settings))
    assert level_of(findings, "engines") is FindingLevel.OK
    (folder / "model.bin").write_bytes(b"")
    (finding,) = (f for f in checkup.examine(settings) if f.name == "engines")
    assert (finding.level, "is damaged" in finding.detail) == (FindingLevel.BAD, True)


def test_what_is_missing_of_the_engines_is_bad(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkup, "ENGINE_PACKAGES", ("soundfile", "telepathy"))
    findings = list(checkup.examine(settings_with(settings.home, DATABASE_URL=NOWHERE)))
    assert level_of(findings, "engines") is FindingLevel.BAD
    assert level_of(findings, "database") is FindingLevel.BAD


NOWHERE = "postgresql://x@127.0.0.1:9/gone"


# Calls


@pytest.mark.parametrize(
    ("lane", "changed", "level", "expected"),
    [
        (Lane.LIVE, {}, FindingLevel.OK, "5; the oldest for 60 s"),
        (Lane.LIVE, {"oldest_s": 1000.0}, FindingLevel.BAD, "5; the oldest for 17 minutes: is"),
        (Lane.BULK, {"oldest_s": 1000.0}, FindingLevel.WARN, "a backlog in progress"),
        (
            Lane.LIVE,
            {"oldest_s": None, "delayed": 5},
            FindingLevel.OK,
            "5, 5 of them for the next attempt",
        ),
        (Lane.LIVE, {"idle_runs": 3}, FindingLevel.BAD, "3 consecutive runs ended before"),
        (Lane.LIVE, {"idle_runs": 2}, FindingLevel.OK, "5; the oldest"),
    ],
)
def test_calls_that_wait_too_long_are_bad(
    lane: Lane, changed: dict[str, object], level: FindingLevel, expected: str
):
    usual: dict[str, object] = {"calls": 5, "delayed": 0, "idle_runs": 0, "oldest_s": 60.0}
    finding = operations.of_lane(LaneBacklog(lane, **(usual | changed)), at_work=True)  # pyright: ignore
    assert finding.name == f"waiting calls, {lane}"
    assert finding.level is level
    assert finding.detail.startswith(expected) or expected in finding.detail


def test_a_backlog_on_which_nobody_works_is_bad():
    finding = operations.of_lane(LaneBacklog(Lane.BULK, 5, 0, 0, 1000.0), at_work=False)
    assert finding.level is FindingLevel.BAD


def test_calls_in_the_database_are_looked_at(storage: Storage, database: Database):
    assert operations.waiting(database) == "none"
    storage.ledger.register([Registration(a_recording())])
    age(database, "calls", "created_at", minutes=20)
    (finding,) = operations.waiting(database)
    assert isinstance(finding, DoctorFinding)
    assert (finding.name, finding.level) == ("waiting calls, live", FindingLevel.BAD)


def test_a_run_that_holds_calls_in_silence_is_bad(storage: Storage, database: Database):
    storage.ledger.register([Registration(a_recording())])
    storage.claims.claim([a_recording().call_id], "12345678-and-more")
    assert operations.silent_runs(database) == "1 running"
    age(database, "runs", "heartbeat_at", minutes=3)
    (finding,) = operations.silent_runs(database)
    assert isinstance(finding, DoctorFinding)
    assert (finding.name, finding.level) == ("run 12345678", FindingLevel.BAD)
    assert "3 minutes ago" in finding.detail


def age(database: Database, table: str, column: str, *, minutes: int) -> None:
    with database.transaction() as connection:
        older = f"UPDATE {table} SET {column} = {column} - interval '{minutes} minutes'"
        connection.execute(older.encode())


# Dagster

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


REPOSITORY = RemoteRepositoryOrigin(
    InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="callpipeline.definitions")),
    "__repository__",
)


@pytest.fixture(scope="module")
def some_instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def instance(some_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance that knows nothing; making one takes longer than emptying it."""
    assert some_instance.schedule_storage
    some_instance.schedule_storage.wipe()
    some_instance.run_storage.wipe()
    some_instance.wipe_daemon_heartbeats()
    return some_instance


def beat(
    instance: dg.DagsterInstance, *, ago_s: float = 10, error: Exception | None = None
) -> None:
    """A sign of life of each of the daemon's duties."""
    errors = [an_error(error)] if error else []
    for duty in instance.get_required_daemon_types():
        at = NOW.timestamp() - ago_s
        instance.add_daemon_heartbeat(DaemonHeartbeat(at, duty, "some-id", errors))


def an_error(error: Exception) -> SerializableErrorInfo:
    """An error as Dagster keeps it: wrapped in its own."""
    cause = SerializableErrorInfo(f"{error}\n", [], type(error).__name__)
    return SerializableErrorInfo("Error in sensor\n", [], "SensorExecutionError", cause=cause)


def a_sensor(
    instance: dg.DagsterInstance,
    name: str = "waiting_calls",
    *,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
    interval_s: int = 5,
) -> InstigatorState:
    state = InstigatorState(
        RemoteInstigatorOrigin(REPOSITORY, name),
        InstigatorType.SENSOR,
        status,
        SensorInstigatorData(min_interval=interval_s),
    )
    instance.add_instigator_state(state)
    return state


def record_tick(
    instance: dg.DagsterInstance,
    state: InstigatorState,
    *,
    ago: timedelta = timedelta(seconds=4),
    status: TickStatus = TickStatus.SKIPPED,
    error: Exception | None = None,
) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.instigator_name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=(NOW - ago).timestamp(),
            skip_reason="No calls are waiting." if status is TickStatus.SKIPPED else None,
            error=an_error(error) if error else None,
            selector_id=state.selector_id,
        )
    )


def health(instance: dg.DagsterInstance, name: str) -> DagsterStatus:
    return next(each for each in examine(instance, NOW) if each.name == name)


def test_a_daemon_that_lives_is_well(instance: dg.DagsterInstance):
    beat(instance)
    assert health(instance, "daemon") == ("daemon", "ok", "last heartbeat 10 s ago")


def test_a_daemon_that_was_never_started_is_not_bad(instance: dg.DagsterInstance):
    assert health(instance, "daemon").level == "ok"
    assert "not started yet" in health(instance, "daemon").detail


def test_a_daemon_that_died_is_bad(instance: dg.DagsterInstance):
    beat(instance, ago_s=300)
    assert health(instance, "daemon").level == "bad"
    assert "5 minutes ago: is `callpipeline up` running?" in health(instance, "daemon").detail


def test_a_daemon_that_meets_errors_is_bad(instance: dg.DagsterInstance):
    beat(instance, error=ValueError("no such\ncode server"))
    run_examination = health(instance, "daemon")
    assert run_examination.level == "bad"
    assert run_examination.detail.endswith("reports an error: no such code server")


def test_a_sensor_that_looks_is_well_and_says_what_it_saw(instance: dg.DagsterInstance):
    beat(instance)
    record_tick(instance, a_sensor(instance))
    assert health(instance, "sensor waiting_calls") == (
        "sensor waiting_calls", "ok", "running; last tick 4 s ago: No calls are waiting.",
    )  # fmt: skip


def test_a_sensor_that_fails_again_is_bad_and_tells_our_own_sentence(instance: dg.DagsterInstance):
    beat(instance)
    state, failed = a_sensor(instance), EngineUnavailable("The bucket did not answer.")
    record_tick(instance, state, ago=timedelta(seconds=9), status=TickStatus.FAILURE, error=failed)
    once = health(instance, "sensor waiting_calls")
    assert once.level == "warn"
    assert once.detail == "running; last tick 9 s ago failed: The bucket did not answer."
    record_tick(instance, state, status=TickStatus.FAILURE, error=failed)
    twice = health(instance, "sensor waiting_calls")
    assert twice.level == "bad"
    assert twice.detail.startswith("running; last tick 4 s ago failed again: ")


def test_a_code_server_that_is_away_is_reported_in_words(instance: dg.DagsterInstance):
    beat(instance)
    away = RuntimeError("<_InactiveRpcError of RPC that terminated with: StatusCode.UNAVAILABLE")
    record_tick(instance, a_sensor(instance), status=TickStatus.FAILURE, error=away)
    detail = health(instance, "sensor waiting_calls").detail
    assert detail.endswith("failed: the code server did not respond")


@pytest.mark.parametrize(
    ("minutes", "interval_s", "daemon_s", "level"),
    [
        (6, 5, 10, "bad"),
        (6, 3600, 10, "ok"),
        (6, 5, 1000, "ok"),  # without a daemon, which is reported itself
        (2000, 5, 10, "warn"),  # one that the definitions do not have any more
    ],
)
def test_a_sensor_that_does_not_look_any_more_is_bad(
    instance: dg.DagsterInstance, minutes: int, interval_s: int, daemon_s: float, level: str
):
    beat(instance, ago_s=daemon_s)
    state = a_sensor(instance, interval_s=interval_s)
    record_tick(instance, state, ago=timedelta(minutes=minutes))
    assert health(instance, "sensor waiting_calls").level == level


def test_a_sensor_that_somebody_stopped_is_reported_and_not_bad(instance: dg.DagsterInstance):
    beat(instance)
    record_tick(
        instance, a_sensor(instance, status=InstigatorStatus.STOPPED), ago=timedelta(hours=3)
    )
    assert health(instance, "sensor waiting_calls")[1:] == ("ok", "stopped in Dagster's UI")


def test_runs_that_nobody_starts_are_bad(instance: dg.DagsterInstance):
    @dg.job
    def some_job() -> None: ...

    origin = RemoteJobOrigin(REPOSITORY, "some_job")
    queued = dg.DagsterRunStatus.QUEUED
    instance.create_run_for_job(some_job, status=queued, remote_job_origin=origin)
    now = datetime.now(UTC)
    assert examine(instance, now)[-1] == ("queue", "ok", "1 runs queued")
    late = examine(instance, now + timedelta(minutes=16))[-1]
    assert (late.level, late.detail) == (
        "bad", "1 runs queued for more than 15 minutes: check the running runs",
    )  # fmt: skip


def test_the_doctor_does_not_make_dagsters_tables(settings: Settings, database_url: str):
    options = settings_with(settings.home, DATABASE_URL=database_url)
    assert level_of(checkup.examine(options), "dagster") is FindingLevel.OK
    assert not stores.has_dagster_tables(database_url)


# Telling people


def backlog(channel: NotificationChannel | None = None, **counts: Any) -> DoctorFinding | None:
    known: dict[str, Any] = {"waiting": 0, "given_up": 0, "tries": 0, "oldest_s": None}
    return operations.of_backlog(ChannelBacklog(channel, **known | counts))


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (backlog(), None),
        (backlog(waiting=3, oldest_s=20.0), FindingLevel.OK),
        (backlog(waiting=3, oldest_s=700.0), FindingLevel.BAD),
        (backlog(NotificationChannel.SLACK), None),
        (backlog(NotificationChannel.SLACK, waiting=1, oldest_s=60.0), FindingLevel.OK),
        (
            backlog(NotificationChannel.SLACK, waiting=1, oldest_s=4000.0, tries=9),
            FindingLevel.WARN,
        ),
        (backlog(NotificationChannel.SLACK, given_up=2), FindingLevel.WARN),
    ],
)
def test_the_age_of_the_outbox_is_reported(
    finding: DoctorFinding | None, level: FindingLevel | None
):
    assert (finding and finding.level) == level


def test_what_waits_in_the_outbox_is_found(storage: Storage, settings: Settings):
    desk = NotificationDesk(storage)
    assert operations.outbox(settings, storage.database) == "no pending notifications"
    desk.fail("a.wav")
    execute_sql(storage.database.url, "UPDATE outbox SET occurred_at = now() - interval '1 hour'")
    [finding] = operations.outbox(settings, storage.database)
    assert isinstance(finding, DoctorFinding)
    assert finding.level is FindingLevel.BAD
    assert "is the sensor `outbox` running?" in finding.detail
    desk.webhook.refusal = DeliveryRefused("503", "503")
    desk.deliver()
    [finding] = operations.outbox(settings, storage.database)
    assert isinstance(finding, DoctorFinding)
    assert finding.name == "outbox, webhook"


def test_calls_made_for_show_do_not_wait_to_be_reported(storage: Storage, settings: Settings):
    """Else the doctor would take an installation for sick that has only seen the demo."""
    storage.outbox.suppress(NotificationDesk(storage).fail("show.wav"))
    assert operations.outbox(settings, storage.database) == "no pending notifications"


def test_a_receiver_that_wants_nothing_any_more_is_reported(storage: Storage, settings: Settings):
    url = SecretStr("http://127.0.0.1:9/hook")
    chosen = settings.model_copy(update={"notify_webhook_url": url})
    [notifier] = wiring.open_notifiers(chosen)
    gone = NotificationChannel.WEBHOOK
    storage.outbox.unsubscribe(gone, notifier.destination_hash, "410 gone", datetime.now(UTC))
    [finding] = operations.outbox(chosen, storage.database)
    assert isinstance(finding, DoctorFinding)
    assert finding.level is FindingLevel.WARN
    assert "410 gone" in finding.detail
    elsewhere = chosen.model_copy(update={"notify_webhook_url": SecretStr("http://other/hook")})
    assert operations.outbox(elsewhere, storage.database) == "no pending notifications"


WEB_USERS = {"web_users": {"ann": SecretStr("a password of mine")}}


@pytest.mark.parametrize("changed", [{"web_host": "0.0.0.0"}, {"web_proxy_header": "X-User"}])
def test_a_web_app_that_would_not_start_is_bad(settings: Settings, changed: dict[str, Any]):
    run_examination = checkup_settings.examine(settings.model_copy(update=changed))
    assert FindingLevel.BAD in {finding.level for finding in run_examination}


def test_a_web_app_behind_tls_is_well(settings: Settings):
    safe = {"web_host": "0.0.0.0", "web_url": "https://calls.example.com"} | WEB_USERS
    run_examination = checkup_settings.examine(settings.model_copy(update=safe))
    assert {finding.level for finding in run_examination} == {FindingLevel.OK}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"notify_webhook_url": SecretStr("http://hooks.example.com/x")}, "NOTIFY_WEBHOOK_URL is"),
        ({"notify_webhook_url": SecretStr("https://hooks.example.com/x")}, "WEBHOOK_SECRET is not"),
        ({"smtp_host": "mail.example.com", "smtp_security": "none"}, "SMTP_SECURITY is none"),
        ({"dagster_ui_url": "http://dagster.example.com"}, "DAGSTER_UI_URL is http://"),
        ({"split_url": "http://split.example.com"}, "SPLIT_URL is http://: recordings cross"),
        ({"auth_url": "http://auth.example.com"}, "AUTH_URL is http://: a password crosses"),
        ({"openai_url": "http://llm.example.com"}, "OPENAI_URL is http://: calls cross"),
        ({"web_host": "0.0.0.0"} | WEB_USERS, "CALLPIPELINE_WEB_URL is not https://"),
        ({"web_url": "http://calls.example.com"} | WEB_USERS, "CALLPIPELINE_WEB_URL is not https"),
    ],
)
def test_what_crosses_the_network_unprotected_is_reported(
    settings: Settings, changed: dict[str, Any], expected: str
):
    run_examination = checkup_settings.examine(settings.model_copy(update=changed))
    assert any(f.level is FindingLevel.WARN and expected in f.detail for f in run_examination)


def test_a_server_that_nothing_asks_is_reported(settings: Settings):
    changed = {"openai_url": "https://llm.example.com"}
    [run_examination] = checkup_settings.examine(settings.model_copy(update=changed))
    assert (
        run_examination.level is FindingLevel.WARN
        and "a server that isn't used" in run_examination.detail
    )
    execute_sql = settings.model_copy(update=changed | {"sentiment": "openai"})
    assert [f.level for f in checkup_settings.examine(execute_sql)] == [FindingLevel.OK]
