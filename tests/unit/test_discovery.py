"""Discovery: which objects are recordings, and that each is registered once, whatever happens."""

import itertools
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.calls.call import Recording
from callpipeline.domain.calls.sources import Source
from callpipeline.errors import StoreUnavailable
from callpipeline.pipeline.ingest.cursor import OVERLAP_KEYS, DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import (
    EMPTY_SETTLE_S,
    MAX_FUTURE_DATED,
    Discovery,
    ScanBudget,
    discover,
    find_recordings,
    is_included,
    is_recording_name,
)
from callpipeline.storage.objects.ports import ListingPage
from tests.builders import A_MONDAY, a_recording
from tests.fakes.storage import InMemoryRegistry

FLAT = Source("flat", "/flat")
DAYS = Source("days", "/days", day_folders="%Y/%m/%d")
A_WHILE_AGO = A_MONDAY - timedelta(minutes=5)


@dataclass
class FakeStore:
    """A store with given objects; each page takes `page_costs_s` of the fake clock."""

    page_size: int = 1000
    page_costs_s: float = 0.0
    breaks_after_pages: int | None = None
    now_s: float = 0.0
    objects: dict[str, Recording] = field(default_factory=dict)
    listed: list[tuple[str, str | None]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, *recordings: Recording) -> None:
        self.objects |= {recording.key: recording for recording in recordings}

    def is_being_written(self, recording: Recording) -> bool:
        return False

    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: Callable[[str], None] = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        self.listed.append((prefix, after))
        for reason in self.unreadable:
            unreadable(reason)
        below = f"{prefix}/" if prefix else ""
        keys = sorted(k for k in self.objects if k.startswith(below) and k > (after or ""))
        starts = range(0, len(keys), self.page_size)
        for number, start in enumerate(starts):
            if number == self.breaks_after_pages:
                raise StoreUnavailable("flat did not answer.")
            self.now_s += self.page_costs_s
            page = [self.objects.get(key) for key in keys[start : start + self.page_size]]
            objects = (each for each in page if each and not each.key.endswith("/"))
            yield ListingPage(objects, end=keys[start : start + self.page_size][-1])
        if len(starts) == self.breaks_after_pages:
            raise StoreUnavailable("flat did not answer.")


@dataclass
class Sensor:
    """Ticks five seconds apart, with the cursor stored as text between them."""

    source: Source = FLAT
    store: FakeStore = field(default_factory=FakeStore)
    registry: InMemoryRegistry = field(default_factory=InMemoryRegistry)
    settle_s: float = 3.0
    budget_s: float = 20.0
    cursor: str | None = None
    passed: timedelta = timedelta()

    @property
    def parsed_cursor(self) -> DiscoveryCursor:
        return DiscoveryCursor.from_json(self.cursor, self.source)

    def tick(self, *, after: timedelta = timedelta(seconds=5)) -> Discovery:
        self.passed += after
        budget = ScanBudget(
            A_MONDAY + self.passed, self.settle_s, self.budget_s, lambda: self.store.now_s
        )
        before = self.store.now_s
        discovery = discover(self.source, self.store, self.registry, self.parsed_cursor, budget)
        self.passed += timedelta(seconds=self.store.now_s - before)
        self.cursor = discovery.cursor.to_json(self.source)
        return discovery

    def found(self, discovery: Discovery) -> set[str]:
        ids = [each.call_id for each in discovery.result.registered if each.is_new]
        assert len(ids) == len(set(ids))
        return {self.registry.recordings[id_].key for id_ in ids}

    @property
    def known(self) -> set[str]:
        return {recording.key for recording in self.registry.recordings.values()}


def some(count: int, name: str = "{:06}.wav") -> list[Recording]:
    """Return recordings of the same second."""
    return [a_recording(name.format(n), last_modified=A_WHILE_AGO) for n in range(count)]


@pytest.mark.parametrize(
    "key", ["a.wav", "A.MP3", "deep/er/a.opus", "without-ending", "a.unheard-of", "a.json.wav", "ü"]
)
def test_anything_that_may_be_a_recording_is_registered(key: str):
    assert is_recording_name(key)


@pytest.mark.parametrize(
    "key",
    ["a.transcript.json", "a.SRT", "a.vtt", "a.wav.part", "a.wav.crdownload", ".hidden.wav",
     ".trash/a.wav", "deep/.DS_Store", "calls_$folder$", "deep/calls_$folder$", "a.xml",
     "a.wav.md5"],
)  # fmt: skip
def test_sidecars_unfinished_and_hidden_files_are_not(key: str):
    assert not is_recording_name(key)


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("a.wav", True),
        ("deep/A.MP3", True),
        ("a.amr-nb", True),
        ("a.ulaw", True),
        ("a.wav.pgp", True),
        ("a.mp3.gz", True),
        ("a.wav.1", True),
        ("a.wav.json", False),
        ("a.wav.xml", False),
        ("a.doc", False),
        ("manifest", False),
        ("_SUCCESS", False),
        ("calls_$folder$", False),
        ("a.gz", False),
        ("0123456789ab/without-ending", True),
    ],
)
def test_a_source_takes_audio_files_and_uploads(key: str, taken: bool):
    assert is_included(FLAT, key) is taken


@pytest.mark.parametrize(
    ("include", "exclude", "taken", "skipped"),
    [
        (("*.dat",), (), ["a.dat", "deep/B.DAT"], ["a.wav", "a.dat.json"]),
        (("*",), (), ["a.wav", "manifest", "a.dat"], ["a.json", "x_$folder$", ".hidden"]),
        ((), ("archive/*", "test-*"), ["a.wav", "deep/archive.wav"],
         ["archive/a.wav", "Archive/deep/a.wav", "deep/TEST-1.wav"]),
        (("calls/*.wav",), ("*_preview.*",), ["calls/a.wav", "calls/x/a.wav"],
         ["a.wav", "calls/a_preview.wav", "calls/a.mp3"]),
    ],
)  # fmt: skip
def test_patterns_say_what_a_source_takes(include, exclude, taken, skipped):
    source = replace(FLAT, include=include, exclude=exclude)
    assert [key for key in [*taken, *skipped] if is_included(source, key)] == taken


def test_a_pattern_is_matched_in_linear_time():
    source = replace(FLAT, include=("*a" * 40 + "b",))
    began_s = time.process_time()
    assert not is_included(source, "a" * 1000)
    assert time.process_time() - began_s < 10


@given(st.text(min_size=1, max_size=1024))
def test_any_name_can_be_classified(key: str):
    assert is_recording_name(key) in (True, False)


def test_each_recording_is_registered_once_however_often_it_is_listed():
    sensor = Sensor()
    sensor.store.add(*some(2), a_recording("notes.txt", last_modified=A_WHILE_AGO))
    first, again = sensor.tick(), sensor.tick()
    assert sensor.found(first) == {"000000.wav", "000001.wav"}
    assert (first.result.listed, first.result.skipped) == (3, 1)
    assert sensor.found(again) == set()
    assert first.finished_sweep
    assert again.finished_sweep


def test_a_thousand_recordings_of_one_second_are_all_found():
    sensor = Sensor(store=FakeStore(page_size=7))
    sensor.store.add(*some(1000))
    assert len(sensor.found(sensor.tick())) == 1000


def test_a_recording_is_registered_once_it_is_settled():
    sensor = Sensor(settle_s=10.0)
    sensor.store.add(a_recording(last_modified=A_MONDAY))
    growing = sensor.tick()
    assert (sensor.found(growing), growing.result.unsettled) == (set(), 1)
    assert sensor.found(sensor.tick()) == {"call.wav"}


def test_an_overwritten_recording_is_another_call():
    sensor = Sensor()
    sensor.store.add(a_recording(last_modified=A_WHILE_AGO))
    sensor.tick()
    sensor.store.add(a_recording(etag="2-def", last_modified=A_WHILE_AGO))
    assert sensor.found(sensor.tick()) == {"call.wav"}
    assert len(sensor.registry.recordings) == 2


@dataclass
class HeadStore(FakeStore):
    """A store whose objects all begin with the same bytes."""

    head: bytes = b""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self.head[start : start + length]


@pytest.mark.parametrize(
    ("data_bytes", "is_waiting"), [(956, False), (957, True), (0, False), (0xFFFFFFFF, False)]
)
def test_a_wav_file_shorter_than_its_header_says_waits(data_bytes: int, is_waiting: bool):
    head = b"RIFF" + struct.pack("<I", data_bytes) + b"WAVEfmt \x10\0\0\0"
    head += struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16) + b"data"
    sensor = Sensor(store=HeadStore(head=head + struct.pack("<I", data_bytes)))
    sensor.store.add(a_recording("a.wav", size_bytes=1000), a_recording("b.mp3"))
    first = sensor.tick()
    assert sensor.found(first) == ({"b.mp3"} if is_waiting else {"a.wav", "b.mp3"})
    assert first.result.unsettled == int(is_waiting)
    if is_waiting:
        assert sensor.found(sensor.tick(after=timedelta(minutes=11))) == {"a.wav"}


def test_an_empty_recording_settles_later():
    sensor = Sensor()
    sensor.store.add(a_recording(size_bytes=0, last_modified=A_MONDAY))
    assert sensor.found(sensor.tick(after=timedelta(seconds=EMPTY_SETTLE_S - 5))) == set()
    assert sensor.found(sensor.tick()) == {"call.wav"}


def test_a_recording_dated_in_the_future_is_registered_when_seen_unchanged():
    sensor = Sensor()
    sensor.store.add(a_recording(last_modified=A_MONDAY + timedelta(days=400)))
    assert sensor.found(sensor.tick()) == set()
    assert sensor.found(sensor.tick()) == {"call.wav"}
    assert sensor.parsed_cursor.future_dated == {}


def test_a_changing_recording_dated_in_the_future_is_not_registered():
    sensor = Sensor()
    for size in range(1, 5):
        written = A_MONDAY + timedelta(days=1, seconds=size)
        sensor.store.add(a_recording(etag=f"{size}", size_bytes=size, last_modified=written))
        assert sensor.found(sensor.tick()) == set()


def test_any_number_of_recordings_dated_in_the_future_is_registered_in_time():
    sensor = Sensor()
    late = A_MONDAY + timedelta(days=400)
    sensor.store.add(*(replace(each, last_modified=late) for each in some(MAX_FUTURE_DATED * 2)))
    for _ in range(6):
        sensor.tick()
    assert len(sensor.known) == MAX_FUTURE_DATED * 2
    assert sensor.parsed_cursor.future_dated == {}


def test_a_sweep_continues_over_several_ticks():
    sensor = Sensor(store=FakeStore(page_size=10, page_costs_s=1.0), budget_s=3.0)
    sensor.store.add(*some(100))
    ticks = list(itertools.takewhile(lambda tick: not tick.finished_sweep, _ticks(sensor)))
    assert [tick.result.listed for tick in ticks] == [30, 30, 30]
    assert ticks[-1].cursor.full_sweep.listed == 90
    assert len(sensor.known) == 100


def test_a_recording_that_a_sweep_missed_is_found_by_the_next_one():
    sensor = Sensor(store=FakeStore(page_size=10, page_costs_s=1.0), budget_s=3.0)
    sensor.store.add(*some(100))
    sensor.tick()
    sensor.store.add(a_recording("000000-late.wav", last_modified=A_WHILE_AGO))
    for _ in range(40):
        sensor.tick()
    assert "000000-late.wav" in sensor.known


def test_a_new_sweep_rests_nine_times_as_long_as_the_last_one_took():
    sensor = Sensor(store=FakeStore(page_size=10, page_costs_s=1.0))
    sensor.store.add(*some(100))
    assert sensor.tick().finished_sweep  # takes ten seconds
    sensor.store.listed.clear()
    for _ in range(17):
        sensor.tick()
    assert not sensor.store.listed
    sensor.tick()
    assert sensor.store.listed == [("", None)]


def test_last_keys_are_found_between_two_sweeps():
    sensor = Sensor(store=FakeStore(page_costs_s=10.0), budget_s=1000.0)
    sensor.store.add(*some(OVERLAP_KEYS + 500))
    assert sensor.tick().finished_sweep
    assert sensor.parsed_cursor.newest_after == "000500.wav"
    sensor.store.add(a_recording("000700-late.wav", last_modified=A_WHILE_AGO))
    sensor.store.add(a_recording("999999.wav", last_modified=A_WHILE_AGO))
    newest = sensor.tick()
    assert not newest.finished_sweep
    assert sensor.found(newest) == {"000700-late.wav", "999999.wav"}


def test_the_scan_of_last_keys_resumes_before_unsettled_recordings():
    sensor = Sensor(store=FakeStore(page_costs_s=100.0), budget_s=1000.0, settle_s=30.0)
    sensor.store.add(*some(OVERLAP_KEYS))
    assert sensor.tick().finished_sweep  # and rests for fifteen minutes
    sensor.store.page_costs_s = 0.0
    written = A_MONDAY + sensor.passed
    burst = some(OVERLAP_KEYS * 2, "9{:05}.wav")
    sensor.store.add(*(replace(each, last_modified=written) for each in burst))
    early = sensor.tick(after=timedelta(seconds=10))
    late = sensor.tick(after=timedelta(seconds=30))
    assert not (early.finished_sweep or late.finished_sweep)
    assert early.result.unsettled == len(sensor.found(late)) == OVERLAP_KEYS * 2


def markers(count: int, name: str = "{:06}/") -> list[Recording]:
    """Return folder markers, which a listing skips."""
    return some(count, name)


def test_folder_markers_use_up_a_tick_and_the_next_resumes_after_them():
    sensor = Sensor(store=FakeStore(page_size=10, page_costs_s=1.0), budget_s=3.0)
    sensor.store.add(*markers(100), a_recording("z.wav", last_modified=A_WHILE_AGO))
    ticks = [sensor.tick() for _ in range(4)]
    assert [tick.finished_sweep for tick in ticks] == [False, False, False, True]
    assert [tick.result.listed for tick in ticks] == [0, 0, 0, 1]
    assert sensor.known == {"z.wav"}


def test_folder_markers_after_the_last_keys_do_not_starve_the_sweep():
    sensor = Sensor(store=FakeStore(page_size=100, page_costs_s=1.0), budget_s=1000.0)
    sensor.store.add(*some(OVERLAP_KEYS + 1), *markers(2000, "9{:05}/"))
    assert sensor.tick().finished_sweep
    sensor.budget_s = 6.0
    sensor.store.add(a_recording("000000-late.wav", last_modified=A_WHILE_AGO))
    for _ in range(3):
        sensor.tick(after=timedelta(days=1))
    assert "000000-late.wav" in sensor.known


def test_a_listing_that_fails_after_folder_markers_resumes_after_them():
    sensor = Sensor(store=FakeStore(page_size=10, breaks_after_pages=2))
    sensor.store.add(*markers(20), a_recording("z.wav", last_modified=A_WHILE_AGO))
    assert sensor.tick().failure == "flat did not answer."
    assert sensor.found(sensor.tick()) == {"z.wav"}


def test_with_day_folders_a_tick_scans_those_of_the_last_days_and_tomorrow():
    sensor = Sensor(DAYS)
    sensor.store.add(a_recording("2020/01/01/old.wav", last_modified=A_WHILE_AGO))
    assert sensor.found(sensor.tick()) == {"2020/01/01/old.wav"}
    sensor.store.listed.clear()
    sensor.store.add(a_recording("2026/03/02/new.wav", last_modified=A_WHILE_AGO))
    assert sensor.found(sensor.tick()) == {"2026/03/02/new.wav"}
    folders = ["2026/02/28", "2026/03/01", "2026/03/02", "2026/03/03"]
    assert sensor.store.listed == [(folder, None) for folder in folders]


def test_with_day_folders_a_full_sweep_runs_once_an_hour():
    sensor = Sensor(DAYS)
    sensor.tick()
    sensor.store.add(a_recording("2020/01/01/old.wav", last_modified=A_WHILE_AGO))
    assert sensor.found(sensor.tick(after=timedelta(minutes=59))) == set()
    assert sensor.found(sensor.tick(after=timedelta(minutes=1))) == {"2020/01/01/old.wav"}


def test_many_recordings_of_today_are_scanned_over_several_ticks():
    sensor = Sensor(DAYS, FakeStore(page_size=10, page_costs_s=1.0), budget_s=3.0)
    sensor.store.add(*some(100, "2026/03/02/{:03}.wav"))
    for _ in range(4):
        sensor.tick()
    assert len(sensor.known) == 100


def test_a_listing_that_fails_at_once_raises():
    sensor = Sensor(store=FakeStore(breaks_after_pages=0))
    with pytest.raises(StoreUnavailable):
        sensor.tick()


def test_a_listing_that_fails_resumes_where_it_was():
    sensor = Sensor(store=FakeStore(page_size=10, breaks_after_pages=2))
    sensor.store.add(*some(50))
    broken = sensor.tick()
    assert (broken.failure, broken.finished_sweep) == ("flat did not answer.", False)
    assert len(sensor.found(broken)) == 20
    sensor.tick()
    last = sensor.tick()
    assert len(sensor.known) == 50
    assert last.failure is None or sensor.tick().finished_sweep


def test_unreadable_objects_are_counted_by_reason():
    sensor = Sensor(store=FakeStore(unreadable=["A folder cannot be read: permission denied."] * 2))
    found = sensor.tick().result
    assert found.unreadable == {"A folder cannot be read: permission denied.": 2}


@given(st.data())
def test_from_any_cursor_each_recording_is_registered_once(data: st.DataObject):
    """Objects appear, vanish and change between short ticks; cursors are lost or restored."""
    sensor = Sensor(store=FakeStore(page_size=3, page_costs_s=1.0), budget_s=2.0)
    cursors: list[str | None] = [None]
    names = st.sampled_from([f"{letter}.wav" for letter in "abcdefghij"])
    every: set[str] = set()
    for number in range(data.draw(st.integers(1, 12))):
        for name in data.draw(st.sets(names, max_size=4)):
            recording = a_recording(name, etag=f"{number}", last_modified=A_WHILE_AGO)
            sensor.store.add(recording)
        for name in data.draw(st.sets(names, max_size=2)):
            sensor.store.objects.pop(name, None)
        sensor.found(sensor.tick())
        cursors.append(sensor.cursor)
        sensor.cursor = data.draw(st.sampled_from([*cursors, sensor.cursor, sensor.cursor]))
    every |= {recording.call_id for recording in sensor.store.objects.values()}
    for _ in range(30):
        sensor.tick(after=timedelta(minutes=5))
    assert every <= set(sensor.registry.recordings)


def test_folders_give_their_recordings_and_files_are_used_whatever_their_name(tmp_path: Path):
    for name in ["b.wav", "a.mp3", "a.srt", ".hidden.wav", "deep/c.ogg", ".git/d.wav"]:
        (tmp_path / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls" / name).touch()
    (tmp_path / "call.csv").touch()
    found = find_recordings([tmp_path / "calls", tmp_path / "call.csv"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["calls/a.mp3", "calls/b.wav", "calls/deep/c.ogg", "call.csv"]


def test_a_hidden_folder_given_explicitly_is_scanned(tmp_path: Path):
    (tmp_path / ".calls").mkdir()
    (tmp_path / ".calls" / "a.wav").touch()
    assert list(find_recordings([tmp_path / ".calls"])) == [tmp_path / ".calls" / "a.wav"]


def _ticks(sensor: Sensor) -> Iterator[Discovery]:
    while True:
        yield sensor.tick()
