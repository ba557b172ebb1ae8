"""The sensors that look for recordings: what they enter, keep as cursor and tell."""

import re
import time
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.defs.discovery import discovery_sensors, in_words
from callpipeline.defs.told import Told
from callpipeline.domain.call import Registered
from callpipeline.domain.source import Source
from callpipeline.pipeline.discovery import Discovery, Found
from callpipeline.pipeline.progress import Progress, Sweep
from callpipeline.storage.positions import Positions
from callpipeline.wiring import HOME_SOURCE
from tests.orchestration.lab import Lab


def tick(
    lab: Lab, source: Source, cursor: str | None = None, options: Settings | None = None
) -> dg.SensorResult:
    """One evaluation of a source's sensor."""
    [sensor] = discovery_sensors([source], options or lab.settings)
    resources = {"storage": lab.storage}
    with dg.build_sensor_context(lab.instance, cursor, resources=resources) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def said(result: dg.SensorResult) -> str:
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


def test_a_dropped_file_is_entered_once_and_no_run_is_asked_for(lab: Lab, home: Source):
    drop(home, "dropped.wav", "notes.txt")
    first = tick(lab, home)
    again = tick(lab, home, cursor="lost")
    assert not first.run_requests
    assert progress(lab, home).everything.listed == 2
    assert said(first) == "1 new, all 2 objects looked at."
    assert said(again) == "0 new, all 2 objects looked at."
    assert [call.key for call in lab.storage.ledger.calls()] == ["dropped.wav"]


def progress(lab: Lab, source: Source) -> Progress:
    """Where looking in a source stands, by our own schema."""
    [row] = _rows(lab, "SELECT position FROM discovery")
    return Progress.from_cursor(row["position"], source)


def test_neither_the_cursor_nor_what_is_said_has_any_part_of_a_key(lab: Lab, home: Source):
    names = [f"deep/mrs-smith/555-{number:04}.wav" for number in range(1010)]
    drop(home, *names, "deep/mrs-smith/odd")
    (Path(home.url) / "deep" / "mrs-smith" / "link").symlink_to("odd/b")
    result = tick(lab, home)
    kept = progress(lab, home)
    assert kept.newest_after and "mrs-smith" in kept.newest_after
    assert re.fullmatch("[0-9a-f]{16}", result.cursor or "")
    told = f"{result.cursor} {said(result)}"
    assert not [part for part in ("mrs", "smith", "555", "deep", ".wav") if part in told]
    assert "1 × cannot be taken: A link cannot be read: not a directory" in told


def rest(lab: Lab, source: Source, cursor: str | None) -> None:
    """Let the next look through everything be far off."""
    rested = Progress(everything=Sweep(ended=time.time(), rest_s=3600.0, listed=7))
    Positions(lab.storage.database).keep(source.name, cursor or "", rested.to_cursor(source))


def test_a_look_goes_on_where_the_last_one_ended(lab: Lab, home: Source):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    next_one = tick(lab, home, cursor=first.cursor)
    assert next_one.cursor == first.cursor
    assert said(next_one) == "0 new."
    assert progress(lab, home).everything.listed == 7


@pytest.mark.parametrize("cursor", [None, "", "lost", "0123456789abcdef", "\0", '{"version": 1}'])
def test_a_cursor_that_somebody_cleared_begins_a_new_look(
    lab: Lab, home: Source, cursor: str | None
):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    anew = tick(lab, home, cursor=cursor)
    assert anew.cursor not in (first.cursor, cursor)
    assert said(anew) == "0 new, all 0 objects looked at."
    rest(lab, home, anew.cursor)
    assert said(tick(lab, home, cursor=anew.cursor)) == "0 new."


def test_a_position_that_is_lost_or_of_another_place_begins_a_new_look(
    lab: Lab, home: Source, tmp_path: Path
):
    first = tick(lab, home)
    rest(lab, home, first.cursor)
    (tmp_path / "moved").mkdir()
    moved = Source(home.name, str(tmp_path / "moved"))
    assert said(tick(lab, moved, cursor=first.cursor)).endswith("all 0 objects looked at.")
    with lab.storage.database.transaction() as connection:
        connection.execute("DELETE FROM discovery")
    assert said(tick(lab, home, cursor=first.cursor)).endswith("all 0 objects looked at.")


def test_each_source_has_a_position_of_its_own(lab: Lab, home: Source, tmp_path: Path):
    branches = Source("branches", str(tmp_path / "branches"))
    drop(branches, "a.wav")
    here, there = tick(lab, home), tick(lab, branches)
    for source, result in ((home, here), (branches, there)):
        rest(lab, source, result.cursor)
        assert said(tick(lab, source, cursor=result.cursor)) == "0 new."


def test_a_share_that_is_not_mounted_fails_its_own_sensor_alone(
    lab: Lab, home: Source, tmp_path: Path
):
    share = Source("branches", str(tmp_path / "share"))
    with pytest.raises(Told, match="branches is not there: is a disk not mounted"):
        tick(lab, share)
    assert not (tmp_path / "share").exists()
    assert said(tick(lab, home)).startswith("0 new")


def test_another_source_has_a_sensor_and_a_bucket_of_its_own(lab: Lab, tmp_path: Path):
    branches = Source("branches", str(tmp_path / "b" / "recordings"), "(?P<agent>[^.]+)")
    drop(branches, "Bo.wav")
    tick(lab, branches)
    [call] = lab.storage.ledger.calls()
    assert call.metadata == {"agent": "Bo"}
    [(bucket,)] = [tuple(row.values()) for row in _rows(lab, "SELECT bucket FROM calls")]
    assert bucket == "branches"


def _rows(lab: Lab, statement: str) -> list[dict[str, str]]:
    with lab.storage.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


def test_files_of_any_name_are_entered_and_one_ends_with_a_reason(lab: Lab, home: Source):
    names = ["call #13.wav", "line\nbreak.wav", "tab\t.wav", "not-utf8-\udcff.wav", "%00.wav"]
    drop(home, *names)
    assert said(tick(lab, home)).startswith(f"{len(names)} new")
    calls = [call.call_id for call in lab.storage.ledger.calls()]
    lab.run(calls)
    states = {call.key: call.error_class for call in lab.storage.ledger.calls()}
    assert len(states) == len(names)
    assert set(states.values()) <= {"UnsupportedAudio", None}  # None: of the same bytes as another


def test_sensors_are_named_after_their_sources_and_run(lab: Lab, home: Source):
    branches = Source("branches", "/branches")
    sensors = discovery_sensors([home, branches], lab.settings)
    assert [sensor.name for sensor in sensors] == ["new_recordings", "new_recordings_branches"]
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_a_place_that_cannot_be_listed_is_a_failed_tick(lab: Lab):
    access = {"s3_endpoint": "http://127.0.0.1:9", "s3_access_key_id": SecretStr("x")}
    options = lab.settings.model_copy(update=access | {"s3_secret_access_key": SecretStr("y")})
    with pytest.raises(Told, match="no connection"):
        tick(lab, Source("branches", "s3://nowhere"), options=options)


def test_a_look_is_told_in_a_sentence():
    found = Found(
        listed=9, registered=[Registered("a", True), Registered("b", False)], unsettled=1,
        unreadable={"A folder cannot be read: permission denied.": 2},
    )  # fmt: skip
    under_way = Progress(everything=Sweep(began=1.0, listed=40_000))
    assert in_words(Discovery(under_way, found, False, "calls did not answer.")) == (
        "1 new, 1 still being written, sweep at 40,000 objects, 2 × cannot be taken: A folder "
        "cannot be read: permission denied, the listing broke off: calls did not answer."
    )
