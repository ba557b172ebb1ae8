"""Compute logs: in the bucket of the results or on this machine, without personal data."""

import logging
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import obstore
import pytest
import yaml
from dagster._core.storage.compute_log_manager import CapturedLogData
from obstore.store import S3Store
from pydantic import SecretStr

from callpipeline import config, wiring
from callpipeline.config import CHECKOUT, Settings
from callpipeline.defs.dagster_internals.compute_logs import REDACTED_ERRORS_LOGGER
from callpipeline.errors import StoreUnavailable

SPOKEN = "my name is jane doe and my card number is 4929"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An empty data folder; no setting but its folder."""
    for name in os.environ:
        if name.startswith(("CALLPIPELINE_", "AWS_", "DAGSTER_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLPIPELINE_HOME", str(tmp_path))
    logger = logging.getLogger(REDACTED_ERRORS_LOGGER)
    before = logger.handlers, logger.propagate
    yield monkeypatch
    logger.handlers, logger.propagate = before


@pytest.fixture
def bucket(environment: pytest.MonkeyPatch, s3_server: str) -> str:
    """A bucket that the environment sets for results, below `kept/here`."""
    name = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{s3_server}/{name}", timeout=60).raise_for_status()
    environment.setenv("CALLPIPELINE_STORAGE", f"s3://{name}/kept/here/")
    environment.setenv("CALLPIPELINE_S3_ENDPOINT", s3_server)
    environment.setenv("CALLPIPELINE_S3_ACCESS_KEY_ID", "id")
    environment.setenv("CALLPIPELINE_S3_SECRET_ACCESS_KEY", "secret")
    return name


@pytest.fixture
def instance(environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster with the `compute_logs` of the project's dagster.yaml."""
    for name, value in wiring.dagster_environment(config.settings(), "postgresql://none").items():
        environment.setenv(name, value)
    environment.setenv("DAGSTER_HOME", str(tmp_path))
    project = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    tested = {part: project[part] for part in ("compute_logs", "telemetry")}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(tested))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def run_that_prints(instance: dg.DagsterInstance) -> tuple[str, CapturedLogData]:
    """Execute a run that prints and fails; returns its events and captured output."""

    @dg.op
    def fail() -> None:
        print("printed by the run")
        try:
            raise LookupError(SPOKEN)
        except LookupError as error:
            raise StoreUnavailable("s3://recordings did not answer.") from error

    @dg.job(executor_def=dg.in_process_executor)
    def failing() -> None:
        fail()

    run_id = failing.execute_in_process(instance=instance, raise_on_error=False).run_id
    events = instance.all_logs(run_id)
    keys = [
        entry.get_dagster_event().logs_captured_data.file_key
        for entry in events
        if entry.dagster_event_type is dg.DagsterEventType.LOGS_CAPTURED
    ]
    log_key = instance.compute_log_manager.build_log_key_for_run(run_id, keys[0])
    return repr(events), instance.compute_log_manager.get_log_data(log_key)


def in_bucket(server: str, name: str) -> dict[str, str]:
    store = S3Store(
        name,
        config={
            "endpoint": server,
            "region": "us-east-1",
            "access_key_id": "id",
            "secret_access_key": "secret",
        },
        client_options={"allow_http": True},
    )
    keys = [found["path"] for page in obstore.list(store) for found in page]
    return {key: bytes(obstore.get(store, key).bytes()).decode() for key in keys}


def test_logs_are_beside_the_results_in_the_bucket(
    bucket: str, s3_server: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    _, captured = run_that_prints(instance)
    assert captured.stdout == b"printed by the run\n"
    found = in_bucket(s3_server, bucket)
    assert {key.rsplit(".")[-1] for key in found} == {"out", "err"}
    assert all(key.startswith("kept/here/dagster/storage/") for key in found)
    assert "printed by the run\n" in found.values()


def test_logs_are_on_this_machine_if_the_results_are(instance: dg.DagsterInstance) -> None:
    _, captured = run_that_prints(instance)
    assert captured.stdout == b"printed by the run\n"
    folder = config.settings().home / "dagster"
    assert [path.read_text() for path in folder.rglob("*.out")] == ["printed by the run\n"]


def test_messages_of_unexpected_errors_are_neither_logged_nor_printed(
    instance: dg.DagsterInstance,
) -> None:
    events, captured = run_that_prints(instance)
    printed = (captured.stderr or b"").decode()
    assert SPOKEN not in events
    assert SPOKEN not in printed
    assert "LookupError: (message redacted)" in printed
    assert "StoreUnavailable: s3://recordings did not answer." in printed
    assert re.search(r"test_compute_logs\.py:\d+ in fail", printed)
    error_id = re.search(r"error ID ([0-9a-f-]{36})", printed)
    assert error_id and error_id[1] in events


def test_the_text_of_a_failure_stays_without_its_cause(
    environment: pytest.MonkeyPatch,
) -> None:
    @dg.op
    def fail() -> None:
        listed = dg.Failure("1 of 2 calls failed.\n2026-01-02-a: silent", {"calls": 2})
        raise listed from LookupError(SPOKEN)

    @dg.job(executor_def=dg.in_process_executor)
    def failing() -> None:
        fail()

    environment.setenv("DAGSTER_REDACT_USER_CODE_ERRORS", "1")
    with dg.DagsterInstance.ephemeral() as instance:
        result = failing.execute_in_process(instance=instance, raise_on_error=False)
        assert SPOKEN not in repr(instance.all_logs(result.run_id))
    failure = result.failure_data_for_node("fail")
    assert failure and failure.error and failure.user_failure_data
    assert failure.user_failure_data.description == "1 of 2 calls failed.\n2026-01-02-a: silent"
    assert failure.user_failure_data.metadata["calls"] == dg.MetadataValue.int(2)
    assert "1 of 2 calls failed.\n2026-01-02-a: silent" in failure.error.message
    assert failure.error.cause is None


def test_boto3_gets_the_credentials_of_the_settings(tmp_path: Path) -> None:
    plain = Settings(home=tmp_path, _env_file=None)  # pyright: ignore[reportCallIssue]
    s3 = {"s3_access_key_id": SecretStr("id"), "s3_secret_access_key": SecretStr("secret")}
    with_keys = wiring.dagster_environment(plain.model_copy(update=s3), "postgresql://none")
    assert with_keys["AWS_ACCESS_KEY_ID"] == "id"
    assert with_keys["AWS_SECRET_ACCESS_KEY"] == "secret"
    without = wiring.dagster_environment(plain, "postgresql://none")
    assert not [name for name in without if name.startswith("AWS_")]
