"""A call with a secret in it, under `up`: nothing of it is in Dagster; erased, nothing is anywhere.

RELIABILITY, row 16. The secret is a phrase and a phone number, in the file's name and in what is
said; the call fails once, where errors might quote it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from callpipeline.storage.embedded import EmbeddedPostgres
from tests.e2e.installation import Up, command, recording, start_up, transcript
from tests.e2e.test_dagster_ui import page, see  # noqa: F401 - the fixture
from tests.integration.databases import asked
from tests.integration.dumps import in_database, in_files
from tests.processes import until

pytestmark = pytest.mark.slow

PHRASE, PHONE = "my zanzibar password", "+447700900123"
NAME = f"mrs zanzibar {PHONE}"
SECRETS = ["zanzibar", "7700900123"]
SAID = f"{PHRASE} is at {PHONE} and i am switching to vodafone because it is cheaper"
OTHER = "never again with virgin media they were terrible"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation that has processed another call, and this one at its second try."""
    up = start_up(tmp_path_factory.mktemp("personal") / "data")
    inbox = up.home / "recordings" / f"from {NAME}"
    try:
        inbox.mkdir(parents=True)
        (inbox / f"{NAME}.transcript.json").write_text(f'{{"segments": ["{SAID}"]}}')
        shutil.move(_apart(inbox, NAME), inbox / f"{NAME}.wav")
        recording(up.home / "recordings", "another", OTHER)
        until(lambda: up.state_of(f"{NAME}.wav") == "FAILED", "it fails", 90, every_s=0.5)
        transcript(inbox, NAME, SAID)
        assert command(up.home, "retry", _id(up)).returncode == 0
        for name in (f"{NAME}.wav", "another.wav"):
            until(lambda n=name: up.state_of(n) == "COMPLETED", name, 90, every_s=0.5)
        yield up
    finally:
        up.stop()


def _apart(folder: Path, name: str) -> Path:
    """Sound that lies elsewhere until all beside it is there."""
    elsewhere = folder.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return recording(elsewhere, name, OTHER)


def _id(up: Up) -> str:
    return up.call(f"{NAME}.wav")["call_id"]


def _url(up: Up) -> str:
    with EmbeddedPostgres(up.home / "postgres").running() as url:
        return url


def test_the_secret_is_where_it_belongs(up: Up) -> None:
    """Else all that follows would prove nothing."""
    places = set(in_database(_url(up), SECRETS))
    assert {"callpipeline.calls", "callpipeline.segments"} <= places
    assert in_files(up.home / "storage", SECRETS)
    shown = json.loads(command(up.home, "show", _id(up), "--json").stdout)
    assert PHRASE in str(shown["segments"])


def test_dagsters_tables_do_not_have_it(up: Up) -> None:
    assert in_database(_url(up), [_id(up)], "public")
    assert in_database(_url(up), SECRETS, "public") == []


def test_logs_do_not_have_it(up: Up) -> None:
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
    shown = {
        f"/assets/transcripts?view=partitions&partition={call_id}": (call_id,),
        "/assets/competitor_mentions?view=events": ("Materialized",),
        "/assets/recordings": ("recordings",),
        "/automation": ("new_recordings",),
        **{f"/runs/{run_id}": ("ENGINE_EVENT",) for run_id in run_ids},
    }
    for path, there in shown.items():
        page.goto(f"{up.ui}{path}")
        see(page, *there)
        content = page.content()
        assert not [secret for secret in SECRETS if secret in content], path


def test_erased_it_is_nowhere_and_does_not_come_back(up: Up, tmp_path: Path) -> None:
    call_id, url = _id(up), _url(up)
    kept = tmp_path / "copy.wav"
    [source] = (up.home / "recordings").rglob(f"{NAME}.wav")
    shutil.copyfile(source, kept)
    done = command(up.home, "erase", call_id, "--because", "ticket 7", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    # Of the call's id the tombstone knows, as lists read it too, and the record of what was done.
    tables = ("calls", "reading_calls", "erasures", "deletions")
    known = {f"callpipeline.{table}" for table in tables}
    assert in_database(url, SECRETS) == []
    assert set(in_database(url, [call_id])) <= known | {"callpipeline.contents"}
    assert in_files(up.home / "storage", [call_id, *SECRETS]) == []
    assert in_files(up.home / "logs", [call_id, *SECRETS]) == []
    assert in_files(up.home / "dagster", [call_id, *SECRETS]) == []
    assert in_files(up.home / "recordings", SECRETS) == []
    assert in_files(up.home / "tmp", [call_id, *SECRETS]) == []
    _other_call_is_whole(up)

    shutil.copyfile(kept, up.home / "recordings" / "back again.wav")
    erased = "SELECT count(*) FROM calls WHERE state = 'ERASED'"
    until(lambda: asked(url, erased) == [(2,)], f"it is erased: {up.status()}", 120, every_s=1)
    # The tombstone stands first; the object goes in the same look of the sensor.
    came_back = up.home / "recordings" / "back again.wav"
    until(lambda: not came_back.exists(), "the recording is gone too", 60, every_s=0.5)
    counts = json.loads(command(up.home, "status", "--json").stdout)["counts"]
    assert (counts["COMPLETED"], counts["ERASED"]) == (1, 2)


def _other_call_is_whole(up: Up) -> None:
    """The run that both were in still tells of the other one."""
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
