"""A call with personal data: none of it is in Dagster, and none anywhere after erasure.

The personal data is a phrase and a phone number, in the file name and in the transcript. The call
fails once, because errors might quote it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import Up, command, recording, start_up, transcript
from tests.e2e.test_dagster_ui import expect_visible, page  # noqa: F401 - the fixture
from tests.integration.databases import execute_sql
from tests.integration.dumps import in_database, in_files
from tests.processes import until

pytestmark = pytest.mark.slow

PHRASE, PHONE = "my zanzibar password", "+447700900123"
NAME = f"mrs zanzibar {PHONE}"
SECRETS = ["zanzibar", "7700900123"]
TEXT = f"{PHRASE} is at {PHONE} and i am switching to vodafone because it is cheaper"
OTHER = "never again with virgin media they were terrible"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run an installation that processes another call, and this one at the second attempt."""
    up = start_up(tmp_path_factory.mktemp("personal") / "data")
    inbox = up.home / "recordings" / f"from {NAME}"
    try:
        inbox.mkdir(parents=True)
        (inbox / f"{NAME}.transcript.json").write_text(f'{{"segments": ["{TEXT}"]}}')
        shutil.move(_recording_elsewhere(inbox, NAME), inbox / f"{NAME}.wav")
        recording(up.home / "recordings", "another", OTHER)
        until(lambda: up.state_of(f"{NAME}.wav") == "FAILED", "it fails", 90, every_s=0.5)
        transcript(inbox, NAME, TEXT)
        assert command(up.home, "retry", _id(up)).returncode == 0
        for name in (f"{NAME}.wav", "another.wav"):
            until(lambda n=name: up.state_of(n) == "COMPLETED", name, 90, every_s=0.5)
        yield up
    finally:
        up.stop()


def _recording_elsewhere(folder: Path, name: str) -> Path:
    """Write the recording to another folder, to be moved once its transcript exists."""
    elsewhere = folder.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return recording(elsewhere, name, OTHER)


def _id(up: Up) -> str:
    return up.call(f"{NAME}.wav")["call_id"]


def _url(up: Up) -> str:
    with EmbeddedPostgres(up.home / "postgres").running() as url:
        return url


def test_the_secret_is_stored_with_the_call(up: Up) -> None:
    """Otherwise the other tests would prove nothing."""
    tables = set(in_database(_url(up), SECRETS))
    assert {"callpipeline.calls", "callpipeline.segments"} <= tables
    assert in_files(up.home / "storage", SECRETS)
    shown = json.loads(command(up.home, "show", _id(up), "--json").stdout)
    assert PHRASE in str(shown["segments"])


def test_dagsters_tables_do_not_contain_it(up: Up) -> None:
    assert in_database(_url(up), [_id(up)], "public")
    assert in_database(_url(up), SECRETS, "public") == []


def test_logs_do_not_contain_it(up: Up) -> None:
    assert in_files(up.home / "logs", [_id(up)]) or in_files(up.home / "dagster", [_id(up)])
    assert in_files(up.home / "logs", SECRETS) == []
    assert in_files(up.home / "dagster", SECRETS) == []
    postgres = (up.home / "postgres" / "postgres.log").read_text(errors="replace")
    assert not [secret for secret in SECRETS if secret in postgres]


@pytest.mark.browser
def test_dagsters_pages_do_not_show_it(up: Up, page: Page) -> None:  # noqa: F811
    call_id = _id(up)
    runs = "{ runsOrError { ... on Runs { results { runId } } } }"
    run_ids = [run["runId"] for run in up.graphql(runs)["runsOrError"]["results"]]
    pages = {
        f"/assets/transcripts?view=partitions&partition={call_id}": (call_id,),
        "/assets/competitor_mentions?view=events": ("Materialized",),
        "/assets/recordings": ("recordings",),
        "/automation": ("new_recordings",),
        **{f"/runs/{run_id}": ("ENGINE_EVENT",) for run_id in run_ids},
    }
    for path, texts in pages.items():
        page.goto(f"{up.ui}{path}")
        expect_visible(page, *texts)
        content = page.content()
        assert not [secret for secret in SECRETS if secret in content], path


def test_an_erased_call_is_nowhere_and_does_not_come_back(up: Up, tmp_path: Path) -> None:
    call_id, url = _id(up), _url(up)
    copy = tmp_path / "copy.wav"
    [source] = (up.home / "recordings").rglob(f"{NAME}.wav")
    shutil.copyfile(source, copy)
    done = command(up.home, "erase", call_id, "--because", "ticket 7", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    # Only the tombstone, its copy for lists, the record of the erasure and the audit log have the
    # call's ID.
    tables = ("calls", "reading_calls", "erasures", "deletions", "audit_log")
    allowed = {f"callpipeline.{table}" for table in tables}
    assert in_database(url, SECRETS) == []
    assert set(in_database(url, [call_id])) <= allowed | {"callpipeline.contents"}
    assert in_files(up.home / "storage", [call_id, *SECRETS]) == []
    assert in_files(up.home / "logs", [call_id, *SECRETS]) == []
    assert in_files(up.home / "dagster", [call_id, *SECRETS]) == []
    assert in_files(up.home / "recordings", SECRETS) == []
    assert in_files(up.home / "tmp", [call_id, *SECRETS]) == []
    _check_other_call(up)

    shutil.copyfile(copy, up.home / "recordings" / "back again.wav")
    erased = "SELECT count(*) FROM calls WHERE state = 'ERASED'"
    until(
        lambda: execute_sql(url, erased) == [(2,)], f"it is erased: {up.status()}", 120, every_s=1
    )
    # The tombstone is written first; the same sensor tick deletes the object.
    came_back = up.home / "recordings" / "back again.wav"
    until(lambda: not came_back.exists(), "the recording is gone too", 60, every_s=0.5)
    counts = json.loads(command(up.home, "status", "--json").stdout)["counts"]
    assert (counts["COMPLETED"], counts["ERASED"]) == (1, 2)


def _check_other_call(up: Up) -> None:
    """Check the other call, which was in the same run."""
    other = up.call("another.wav")["call_id"]
    shown = json.loads(command(up.home, "show", other, "--json").stdout)
    assert {mention["competitor"] for mention in shown["mentions"]} == {"Virgin Media"}
    partitions = """
        query P($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            partitionKeys partitionStats { numMaterialized numFailed } } } }
    """
    found = up.graphql(partitions, {"key": {"path": ["transcripts"]}})["assetNodeOrError"]
    assert found["partitionKeys"] == [other]
    assert found["partitionStats"] == {"numMaterialized": 1, "numFailed": 0}
