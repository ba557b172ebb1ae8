"""Metadata of calls in files beside recordings."""

from datetime import UTC, datetime

import pytest

from callpipeline.domain.audio import Flag
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.side_files import MetadataTable, decode_text, read_records
from callpipeline.domain.calls.sources import CallAttributes, Source
from callpipeline.pipeline.ingest.beside import SideMetadata
from tests.builders import a_call, a_recording
from tests.fakes.storage import InMemoryRecordings, OneBucket

TABLE = MetadataTable(
    {"agent": ("Agent.Name", "AgentName"), "external_id": ("id",), "started_at": ("StartTime",)}
)
ANN = {"agent": "Ann", "external_id": "7", "started_at": "22/11/2026 03:04 PM"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.json",
            '{"Call": {"Agent": {"Name": "Ann"}, "id": 7, "StartTime": "22/11/2026 03:04 PM"}}',
        ),
        ("a.json", '[{"agentname": " Ann ", "ID": 7, "starttime": "22/11/2026 03:04 PM"}]'),
        (
            "a.json",
            '{"data": [{"name": "AgentName", "value": "Ann"}, {"name": "id", "value": 7},'
            '{"key": "StartTime", "value": "22/11/2026 03:04 PM"}]}',
        ),
        (
            "a.xml",
            '<?xml version="1.0" encoding="UTF-8"?><rec xmlns="urn:x"><Agent><Name>Ann</Name>'
            '</Agent><call id="7"/><StartTime>22/11/2026 03:04 PM</StartTime></rec>',
        ),
        (
            "a.xml",
            '<r><field name="AgentName">Ann</field><field name="id" value="7"/>'
            '<field name="StartTime">22/11/2026 03:04 PM</field></r>',
        ),
        ("a.csv", "AgentName;id;StartTime\r\nAnn;7;22/11/2026 03:04 PM\r\n"),
        ("a.csv", '\ufeffid,StartTime,AgentName\n7,"22/11/2026 03:04 PM",Ann\n'),
        ("a.csv", "id\tStartTime\tAgentName\n7\t22/11/2026 03:04 PM\tAnn"),
    ],
)
def test_fields_are_mapped_from_every_form(name: str, text: str) -> None:
    assert TABLE.find(read_records(name, text), "deep/a.wav") == ANN


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", '{"a":\n nope}', r"it is not JSON \(line 2\)"),
        ("a.json", "hello", "it is not JSON"),
        ("a.json", "[" * 100_000, "it is not JSON"),
        ("a.xml", "<a>\n<b></a>", r"it is not XML \(line 2\)"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares a document type"),
        ("a.csv", "hello", "its first line has no column names"),
    ],
)
def test_a_reason_says_why_a_file_cannot_be_read(name: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_records(name, text)


def test_one_file_of_a_folder_has_a_record_for_each_file_name() -> None:
    table = MetadataTable({"agent": ("agent",)}, "calls.csv", "file")
    assert table.files("d/e/a.wav") == ["d/e/calls.csv"]
    records = read_records("calls.csv", "file,agent\nb.wav,Bob\nC:\\rec\\A.WAV,Ann\nc,Cem\n")
    assert table.find(records, "d/e/a.wav") == {"agent": "Ann"}
    assert table.find(records, "d/c.wav") == {"agent": "Cem"}
    assert table.find(records, "d/e.wav") is None


@pytest.mark.parametrize(
    ("file", "key", "expected"),
    [
        ("{stem}_info.xml", "d/e/a.wav", "d/e/a_info.xml"),
        ("{name}.json", "a.wav", "a.wav.json"),
        ("../meta/{stem}.json", "d/e/a.wav", "d/meta/a.json"),
        ("../../../../{stem}.json", "d/a.wav", "a.json"),
    ],
)
def test_the_name_of_a_side_file_may_have_placeholders(file: str, key: str, expected: str) -> None:
    assert MetadataTable({}, file).files(key) == [expected]


def test_a_large_file_is_read() -> None:
    """In quadratic time, this would take hours."""
    rows = "\n".join(f"{n}.wav,agent {n}" for n in range(50_000))
    table = MetadataTable({"agent": ("agent",)}, "calls.csv", "file")
    found = table.find(read_records("calls.csv", f"file,agent\n{rows}"), "49999.wav")
    assert found == {"agent": "agent 49999"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_text_is_read_in_the_usual_encodings(encoding: str) -> None:
    text, is_repaired = decode_text("agent,note\nJürgen,£\n".encode(encoding))
    assert text == "agent,note\nJürgen,£\n"
    assert is_repaired is (encoding == "cp1252")


@pytest.mark.parametrize(
    ("time_format", "fields", "started_at"),
    [
        ("%d/%m/%Y %I:%M:%S %p", {"started_at": "05/07/2026 03:04:05 PM"}, (7, 5, 14, 4, 5)),
        ("%d/%m/%Y %H:%M", {"started_at": "05/07/2026  15:04"}, (7, 5, 14, 4, 0)),
        ("%d.%m.%Y %H:%M", {"date": "05.07.2026", "time": "15:04"}, (7, 5, 14, 4, 0)),
        ("%m/%d/%Y %I:%M %p", {"started_at": "07/05/2026 12:04 am"}, (7, 4, 23, 4, 0)),
        ("%d/%m/%Y %H:%M %z", {"started_at": "05/07/2026 15:04 +0000"}, (7, 5, 15, 4, 0)),
        ("%d/%m/%Y %H:%M", {"started_at": "2026-07-05T15:04"}, (7, 5, 14, 4, 0)),
    ],
)
def test_times_are_read_as_the_source_writes_them(time_format, fields, started_at) -> None:
    source = Source("calls", "/calls", timezone="Europe/London", time_format=time_format)
    attributes = source.call_attributes(
        "a.wav", metadata=fields, now=datetime(2026, 8, 1, tzinfo=UTC)
    )
    assert attributes.started_at == datetime(2026, *started_at, tzinfo=UTC)
    assert attributes.metadata == {}


class Written:
    """What was stored about calls."""

    def __init__(self) -> None:
        self.attributes: list[CallAttributes] = []
        self.awaited: list[str] = []

    def await_file(self, call: Call, run_id: str) -> None:
        self.awaited.append(call.call_id)

    def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None:
        self.attributes.append(attributes)


def described(source: Source, **files: str) -> tuple[Call, tuple[Flag, ...], Written]:
    bucket, written = InMemoryRecordings(), Written()
    for name, text in files.items():
        bucket.put(name.replace("__", "."), text.encode())
    side = SideMetadata(OneBucket(bucket), {bucket.name: source}, written)
    call, flags = side.describe(a_call(a_recording("call.wav")), "run-1")
    return call, tuple(flag.flag for flag in flags), written


MAPPED = Source(
    "calls",
    "/calls",
    metadata=MetadataTable({"agent": ("a",), "agent_channel": ("side",), "direction": ("d",)}),
)


def test_a_side_file_describes_the_call() -> None:
    call, flags, written = described(MAPPED, CALL__JSON='{"a": "Ann", "side": "R", "d": "IB"}')
    assert (call.agent_channel, flags) == ("right", ())
    [attributes] = written.attributes
    assert attributes.metadata == {"agent": "Ann", "direction": "inbound"}


def test_a_broken_side_file_is_a_flag_and_the_call_goes_on() -> None:
    call, flags, written = described(MAPPED, call__json="{")
    assert (call.agent_channel, flags, written.attributes) == (
        "left",
        (Flag.UNREADABLE_METADATA,),
        [],
    )
    assert written.awaited == [call.call_id]


def test_without_a_table_or_a_file_nothing_is_said() -> None:
    assert described(Source("calls", "/calls"), call__json='{"a": "Ann"}')[2].attributes == []
    assert described(MAPPED, other__json='{"a": "Ann"}')[2].attributes == []


def test_a_file_that_is_not_there_yet_is_expected() -> None:
    assert described(MAPPED)[2].awaited
    assert described(MAPPED, call__json='{"a": "Ann"}')[2].awaited == []
    assert described(Source("calls", "/calls"))[2].awaited == []


@pytest.mark.parametrize("name", ["calls.csv", "calls.json", "calls.xml"])
def test_the_excerpt_of_a_file_about_many_is_about_one(name: str) -> None:
    texts = {
        ".csv": "Recording,Agent\na.wav,Ann\nb.wav,Bob\n",
        ".json": '[{"Recording": "a.wav", "Agent": {"Name": "Ann"}}, {"Recording": "b.wav"}]',
        ".xml": "<calls><call Recording='a.wav' Agent='Ann'/>"
        "<call Recording='b.wav' Agent='Bob'/></calls>",
    }
    table = MetadataTable({"agent": ("Agent", "Agent.Name")}, name, "Recording")
    excerpt = table.excerpt(name, texts[name[5:]], "a.wav")
    assert excerpt is not None and b"b.wav" not in excerpt
    records = read_records(name, excerpt.decode())
    assert table.find(records, "deep/a.wav") == {"agent": "Ann"}
    assert table.excerpt(name, texts[name[5:]], "c.wav") is None
