"""Metadata files that arrive after their call was processed."""

from dataclasses import dataclass, field

from callpipeline.domain.audio import QualityFlag
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.side_files import MetadataTable
from callpipeline.domain.calls.sources import CallAttributes, Source
from callpipeline.errors import PathRefused, StoreUnavailable
from callpipeline.pipeline.ingest.beside import SideMetadata
from callpipeline.pipeline.ingest.late_metadata import LateMetadataResult, read_late_metadata
from tests.builders import a_call, a_recording
from tests.fakes.storage import InMemoryRecordings, OneBucket


@dataclass
class Descriptions:
    """Calls that are due, and what was stored about them."""

    waiting: list[Call]
    described: dict[str, dict[str, str]] = field(default_factory=dict)
    postponed: dict[str, QualityFlag | None] = field(default_factory=dict)

    def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None: ...

    def await_file(self, call: Call, run_id: str) -> None: ...

    def due(self, limit: int) -> list[Call]:
        return self.waiting[:limit]

    def postpone(self, call_id: str, unreadable: QualityFlag | None = None) -> None:
        self.postponed[call_id] = unreadable

    def describe_late(self, call_id: str, attributes: CallAttributes) -> bool:
        self.described[call_id] = dict(attributes.metadata)
        return True


class CountingRecordings(OneBucket):
    """Counts the files that are read."""

    def __init__(self, bucket: InMemoryRecordings) -> None:
        super().__init__(bucket)
        self.keys_read: list[str] = []

    def read(self, bucket: str, key: str) -> bytes:
        self.keys_read.append(key)
        return super().read(bucket, key)


CALLS = [a_call(a_recording(f"{name}.wav")) for name in "abc"]
IDS = [call.call_id for call in CALLS]


def read(
    table: MetadataTable, files: dict[str, str], calls: list[Call] = CALLS
) -> tuple[LateMetadataResult, Descriptions, list[str]]:
    bucket, descriptions = InMemoryRecordings(), Descriptions(calls)
    for name, text in files.items():
        bucket.put(name, text.encode())
    recordings = CountingRecordings(bucket)
    source = Source("calls", "/calls", metadata=table)
    side = SideMetadata(recordings, {bucket.name: source}, descriptions)
    return read_late_metadata(side, descriptions), descriptions, recordings.keys_read


AGENT = MetadataTable({"agent": ("agent",)})


def test_a_file_that_arrived_describes_its_call_and_others_wait():
    result, found, _ = read(AGENT, {"b.json": '{"agent": "Ann"}'})
    assert result == LateMetadataResult(examined=3, described=1)
    assert found.described == {IDS[1]: {"agent": "Ann"}}
    assert found.postponed == {IDS[0]: None, IDS[2]: None}


def test_a_file_that_can_not_be_read_yet_is_a_flag_and_waits():
    _, found, _ = read(AGENT, {"b.json": '{"agent": "An'})
    flag = found.postponed[IDS[1]]
    assert flag and "it is not JSON" in flag.detail and "b" not in flag.detail.split(" ")[0]
    assert found.described == {}


def test_a_file_about_many_calls_is_read_once():
    table = MetadataTable({"agent": ("agent",)}, "calls.csv", "file")
    rows = "file,agent\na.wav,Ann\nc.wav,Cleo\n"
    result, found, reads = read(table, {"calls.csv": rows})
    assert found.described == {IDS[0]: {"agent": "Ann"}, IDS[2]: {"agent": "Cleo"}}
    assert (result.described, list(found.postponed), reads) == (2, [IDS[1]], ["calls.csv"])


def test_calls_wait_while_their_store_is_away():
    class Away(OneBucket):
        def beside(self, bucket: str, stem: str):
            raise StoreUnavailable("The bucket did not answer.")

    bucket, descriptions = InMemoryRecordings(), Descriptions(CALLS)
    source = Source("calls", "/calls", metadata=AGENT)
    side = SideMetadata(Away(bucket), {bucket.name: source}, descriptions)
    assert read_late_metadata(side, descriptions).described == 0
    assert list(descriptions.postponed) == IDS


def test_a_tick_ends_when_its_time_is_over():
    bucket, descriptions = InMemoryRecordings(), Descriptions(CALLS)
    source = Source("calls", "/calls", metadata=AGENT)
    side = SideMetadata(OneBucket(bucket), {bucket.name: source}, descriptions)
    times = iter([0.0, 1.0, 99.0])
    result = read_late_metadata(side, descriptions, budget_s=10.0, clock=lambda: next(times))
    assert (result.examined, list(descriptions.postponed)) == (1, IDS[:1])


def test_a_file_that_may_not_be_read_is_a_flag_of_its_call_alone():
    class LinkOut(OneBucket):
        def read(self, bucket: str, key: str) -> bytes:
            if key == "a.json":
                raise PathRefused("a.json is a link that leads out of the folder.")
            return super().read(bucket, key)

    bucket, descriptions = InMemoryRecordings(), Descriptions(CALLS)
    for name in ("a.json", "b.json"):
        bucket.put(name, b'{"agent": "Ann"}')
    source = Source("calls", "/calls", metadata=AGENT)
    side = SideMetadata(LinkOut(bucket), {bucket.name: source}, descriptions)
    assert read_late_metadata(side, descriptions).described == 1
    flag = descriptions.postponed[IDS[0]]
    assert flag and flag.detail.startswith("*.json cannot be read: it was removed, or is a link")
