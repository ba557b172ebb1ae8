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


ANN_7 = {"agent": "Ann", "external_id": "7"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "AgentName;id;Note\nAnn;7;a, b, c, d, e\n"),
        ("a.csv", 'AgentName,id,Note\nAnn,7,"line 1\nline 2"\n'),
        ("a.csv", '"Note\n(free)",AgentName,id\nx,Ann,7\n'),
        ("a.csv", "sep=;\r\nAgentName;id\r\nAnn;7\r\n"),
        ("a.csv", "# export\n\nAgentName,id\rAnn,7\r"),
        ("a.csv", 'AgentName, id\n"Ann", "7"\n'),
        ("a.csv", "AgentName|id\nAnn|7\n"),
        ("a.csv", "Field;Value\nAgentName;Ann\nid;7\n"),
        ("a.json", '{"AgentName": "Ann"}\n{"id": 7}\n'),
        ("a.json", '{"fields": {"AgentName": {"value": "Ann"}, "id": {"value": 7}}}'),
        ("a.json", '\ufeff{"agent": null, "AgentName": "Ann", "id": 7, "x": NaN}'),
        ("a.xml", "<c><AgentName><![CDATA[Ann]]></AgentName><id>7</id></c>"),
        (
            "a.xml",
            '<s:Envelope xmlns:s="urn:s"><s:Body><r:Call xmlns:r="urn:r" id="7">'
            "<r:AgentName>Ann</r:AgentName></r:Call></s:Body></s:Envelope>",
        ),
    ],
)
def test_fields_are_mapped_from_what_exports_look_like(name: str, text: str) -> None:
    assert TABLE.find(read_records(name, text), "deep/a.wav") == ANN_7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calls.json", '{"file": "b.wav", "agent": "Bob"}\n{"file": "a.wav", "agent": "Ann"}\n'),
        (
            "calls.json",
            '{"day": "x", "calls": [{"file": "b.wav", "agent": "Bob"},'
            '{"file": "a.wav", "agent": "Ann"}, {"file": "c.wav", "agent": "Cem"}]}',
        ),
        ("calls.json", '{"b.wav": {"agent": "Bob"}, "a.wav": {"agent": "Ann"}}'),
        (
            "calls.xml",
            "<root><calls><call><file>b.wav</file><agent>Bob</agent></call><call><file>a.wav</file>"
            "<agent>Ann</agent></call><call><file>c.wav</file><agent>Cem</agent></call></calls>"
            "</root>",
        ),
        (
            "calls.xml",
            '<root><version>1</version><call file="a.wav" agent="Ann"/>'
            '<call file="b.wav" agent="Bob"/></root>',
        ),
        ("calls.csv", "file,agent\nhttps://x/y/a.wav?sig=1,Ann\nhttps://x/b.wav,Bob\n"),
        ("calls.csv", "file;agent\n'b.wav';Bob\n'a.wav';Ann\n"),
        ("calls.csv", "file,agent\nb.mp3,Bob\na.mp3,Ann\n"),
    ],
)
def test_the_record_of_a_recording_is_found_in_lists_of_every_shape(name: str, text: str) -> None:
    table = MetadataTable({"agent": ("agent",)}, name, "file")
    records = read_records(name, text)
    assert table.find(records, "deep/a.wav") == {"agent": "Ann"}
    assert table.find(records, "deep/b.wav") == {"agent": "Bob"}
    assert table.find(records, "deep/x.wav") is None


def test_a_name_with_its_own_suffix_is_preferred_to_one_with_another() -> None:
    table = MetadataTable({"agent": ("agent",)}, "calls.csv", "file")
    records = read_records("calls.csv", "file,agent\na.mp3,Bob\na.wav,Ann\n")
    assert table.find(records, "a.wav") == {"agent": "Ann"}


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
        ("%d/%m/%Y %I:%M %p", {"started_at": "05/07/2026 03:04 p.m."}, (7, 5, 14, 4, 0)),
        ("%d/%m/%Y, %I:%M:%S %p", {"started_at": "05/07/2026, 3:04:05\u202fpm"}, (7, 5, 14, 4, 5)),
        ("%d/%m/%Y %H:%M", {"started_at": "5/7/2026 9:04:09"}, (7, 5, 8, 4, 9)),
        ("%d/%m/%Y %H:%M:%S", {"started_at": "05/07/2026 15:04:09.123"}, (7, 5, 14, 4, 9)),
        ("%d-%m-%y %H.%M", {"started_at": "05-07-26 15.04"}, (7, 5, 14, 4, 0)),
        (
            "%a %b %d %H:%M:%S %Z %Y",
            {"started_at": "Sun Jul 05 15:04:05 UTC 2026"},
            (7, 5, 15, 4, 5),
        ),
        (None, {"started_at": "2026-07-05 15:04:05.12+02"}, (7, 5, 13, 4, 5)),
        (None, {"started_at": "1783260245000000"}, (7, 5, 14, 4, 5)),
        (None, {"started_at": "1783260245000"}, (7, 5, 14, 4, 5)),
        (None, {"started_at": "Sun, 05 Jul 2026 15:04:05 +0200"}, (7, 5, 13, 4, 5)),
    ],
)
def test_times_are_read_as_the_source_writes_them(time_format, fields, started_at) -> None:
    source = Source("calls", "/calls", timezone="Europe/London", time_format=time_format)
    attributes = source.call_attributes(
        "a.wav", metadata=fields, now=datetime(2026, 8, 1, tzinfo=UTC)
    )
    assert attributes.started_at == datetime(2026, *started_at, tzinfo=UTC)
    assert attributes.metadata == {}


def test_a_counter_behind_a_time_is_no_offset() -> None:
    attributes = Source("calls", "/calls").call_attributes(
        "a.wav", metadata={"started_at": "20260705_150405-02"}
    )
    assert attributes.started_at is None


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
