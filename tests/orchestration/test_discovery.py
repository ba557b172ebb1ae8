"""Discovery sensors: the calls they register, their cursors and their summaries."""

import json
import re
import time
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.defs.errors import UserFacingError
from callpipeline.defs.sensors.ingest import (
    discovery_sensors,
    late_metadata_sensors,
    summarize,
)
from callpipeline.domain.calls.call import CallState, RegisteredCall
from callpipeline.domain.calls.sources import Source
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor, Sweep
from callpipeline.pipeline.ingest.discovery import Discovery, ScanResult
from callpipeline.storage.sources.patterns import compile_pattern
from callpipeline.storage.sources.recordings import DiscoveryPositions
from callpipeline.wiring import HOME_SOURCE, load_sources
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change


def tick(
    lab: Lab, source: Source, cursor: str | None = None, options: Settings | None = None
) -> dg.SensorResult:
    """Evaluate a source's sensor once."""
    [sensor] = discovery_sensors([source], options or lab.settings)
    resources = {"storage": lab.storage}
    with dg.build_sensor_context(lab.instance, cursor, resources=resources) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def summary(result: dg.SensorResult) -> str:
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


@pytest.fixture
def home(lab: Lab) -> Source:
    return Source(HOME_SOURCE, lab.settings.recordings_url)


def drop(source: Source, *names: str) -> None:
    for name in names:
        path = Path(source.url) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")


def test_a_file_is_registered_once_and_no_run_is_requested(lab: Lab, home: Source):
    drop(home, "dropped.wav", "notes.txt")
    first = tick(lab, home)
    again = tick(lab, home, cursor="lost")
    assert not first.run_requests
    assert progress(lab, home).full_sweep.listed == 2
    assert summary(first) == "1 new, all 2 objects scanned, 1 skipped by name."
    assert summary(again) == "0 new, all 2 objects scanned, 1 skipped by name."
    assert [call.key for call in lab.storage.ledger.calls()] == ["dropped.wav"]


def progress(lab: Lab, source: Source) -> DiscoveryCursor:
    """Return the position of a source, from our own schema."""
    [row] = _rows(lab, "SELECT position FROM discovery")
    return DiscoveryCursor.from_json(row["position"], source)


def test_neither_the_cursor_nor_the_summary_contains_part_of_a_key(lab: Lab, home: Source):
    names = [f"deep/mrs-smith/555-{number:04}.wav" for number in range(1010)]
    drop(home, *names, "deep/mrs-smith/odd")
    (Path(home.url) / "deep" / "mrs-smith" / "link").symlink_to("odd/b")
    result = tick(lab, home)
    position = progress(lab, home)
    assert position.newest_after and "mrs-smith" in position.newest_after
    assert re.fullmatch("[0-9a-f]{16}", result.cursor or "")
    shown = f"{result.cursor} {summary(result)}"
    assert not [part for part in ("mrs", "smith", "555", "deep", ".wav") if part in shown]
    assert "1 × cannot be imported: A link cannot be read: not a directory" in shown


def rest(lab: Lab, source: Source, cursor: str | None) -> None:
    """Postpone the next full sweep."""
    rested = DiscoveryCursor(full_sweep=Sweep(ended=time.time(), rest_s=3600.0, listed=7))
    DiscoveryPositions(lab.storage.database).save(source.name, cursor or "", rested.to_json(source))


def test_a_scan_continues_where_the_last_one_ended(lab: Lab, home: Source):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    next_one = tick(lab, home, cursor=first.cursor)
    assert next_one.cursor == first.cursor
    assert summary(next_one) == "0 new."
    assert progress(lab, home).full_sweep.listed == 7


@pytest.mark.parametrize("cursor", [None, "", "lost", "0123456789abcdef", "\0", '{"version": 1}'])
def test_a_cleared_cursor_starts_a_new_scan(lab: Lab, home: Source, cursor: str | None):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    new = tick(lab, home, cursor=cursor)
    assert new.cursor not in (first.cursor, cursor)
    assert summary(new) == "0 new, all 0 objects scanned."
    rest(lab, home, new.cursor)
    assert summary(tick(lab, home, cursor=new.cursor)) == "0 new."


def test_a_lost_position_or_one_of_another_folder_starts_a_new_scan(
    lab: Lab, home: Source, tmp_path: Path
):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    (tmp_path / "moved").mkdir()
    moved = Source(home.name, str(tmp_path / "moved"))
    assert summary(tick(lab, moved, cursor=first.cursor)).endswith("all 0 objects scanned.")
    with lab.storage.database.transaction() as connection:
        connection.execute("DELETE FROM discovery")
    assert summary(tick(lab, home, cursor=first.cursor)).endswith("all 0 objects scanned.")


def test_each_source_has_its_own_position(lab: Lab, home: Source, tmp_path: Path):
    branches = Source("branches", str(tmp_path / "branches"))
    drop(branches, "a.wav")
    here, there = tick(lab, home), tick(lab, branches)
    for source, result in ((home, here), (branches, there)):
        rest(lab, source, result.cursor)
        assert summary(tick(lab, source, cursor=result.cursor)) == "0 new."


def test_an_unmounted_share_fails_only_its_own_sensor(lab: Lab, home: Source, tmp_path: Path):
    share = Source("branches", str(tmp_path / "share"))
    with pytest.raises(UserFacingError, match="branches does not exist: is its disk mounted"):
        tick(lab, share)
    assert not (tmp_path / "share").exists()
    assert summary(tick(lab, home)).startswith("0 new")


def test_another_source_has_its_own_sensor_and_bucket(lab: Lab, tmp_path: Path):
    branches = Source(
        "branches",
        str(tmp_path / "b" / "recordings"),
        compile_pattern("(?P<agent>[^.]+)", "filename"),
    )
    drop(branches, "Bo.wav")
    tick(lab, branches)
    [call] = lab.storage.ledger.calls()
    assert call.metadata == {"agent": "Bo"}
    [(bucket,)] = [tuple(row.values()) for row in _rows(lab, "SELECT bucket FROM calls")]
    assert bucket == "branches"


def _rows(lab: Lab, statement: str) -> list[dict[str, str]]:
    with lab.storage.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


def test_files_with_any_name_are_registered_and_fail_with_a_reason(lab: Lab, home: Source):
    names = ["call #13.wav", "line\nbreak.wav", "tab\t.wav", "not-utf8-\udcff.wav", "%00.wav"]
    drop(home, *names)
    assert summary(tick(lab, home)).startswith(f"{len(names)} new")
    calls = [call.call_id for call in lab.storage.ledger.calls()]
    lab.run(calls)
    states = {call.key: call.error_class for call in lab.storage.ledger.calls()}
    assert len(states) == len(names)
    assert set(states.values()) <= {"UnsupportedAudio", None}  # None: the same bytes as another


def test_sensors_are_named_after_their_sources_and_run(lab: Lab, home: Source):
    branches = Source("branches", "/branches")
    sensors = discovery_sensors([home, branches], lab.settings)
    assert [sensor.name for sensor in sensors] == ["new_recordings", "new_recordings_branches"]
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_a_bucket_that_cannot_be_listed_fails_the_tick(lab: Lab):
    access = {"s3_endpoint": "http://127.0.0.1:9", "s3_access_key_id": SecretStr("x")}
    options = lab.settings.model_copy(update=access | {"s3_secret_access_key": SecretStr("y")})
    with pytest.raises(UserFacingError, match="could not connect"):
        tick(lab, Source("branches", "s3://nowhere"), options=options)


def test_a_scan_is_summarized_in_a_sentence():
    found = ScanResult(
        listed=9, registered=[RegisteredCall("a", True), RegisteredCall("b", False)], unsettled=1,
        unreadable={"A folder cannot be read: permission denied.": 2},
    )  # fmt: skip
    under_way = DiscoveryCursor(full_sweep=Sweep(began=1.0, listed=40_000))
    assert summarize(Discovery(under_way, found, False, "calls did not answer.")) == (
        "1 new, 1 still being written, sweep at 40,000 objects, 2 × cannot be imported: A folder "
        "cannot be read: permission denied, the listing was interrupted: calls did not answer."
    )


def test_metadata_that_arrives_late_is_read_without_processing(lab: Lab, tmp_path: Path):
    sources = tmp_path / "sources.yaml"
    about = {"name": HOME_SOURCE, "url": lab.settings.recordings_url}
    about |= {"metadata": {"fields": {"agent": "Agent"}}}
    sources.write_text(json.dumps({"sources": [about]}))
    options = lab.settings.model_copy(update={"sources": sources})
    [sensor] = late_metadata_sensors(load_sources(options), options)
    assert late_metadata_sensors([Source("other", "/other")], options) == []

    def looked() -> str:
        change(lab, "UPDATE calls SET metadata_due_at = now()")
        with dg.build_sensor_context(lab.instance, resources={"storage": lab.storage}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return summary(result)

    call_id = lab.add_call("call")
    assert lab.run([call_id]).success
    lab.engines.used.clear()
    assert looked() == "0 of 1 calls that were due got metadata."
    recording = Path(lab.settings.recordings_url) / lab.storage.ledger.find(call_id).key
    recording.with_suffix(".xml").write_text("<call><Agent>Ann</Agent></call>")
    assert looked() == "1 of 1 calls that were due got metadata."
    found = lab.storage.ledger.find(call_id)
    assert (found.agent, found.state, lab.engines.used) == ("Ann", CallState.COMPLETED, [])
