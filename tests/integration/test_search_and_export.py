"""Search in segments, and export of results as files."""

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import escape_formula
from callpipeline.storage.reading.export import Dataset, ExportFormat, open_export, write_export
from callpipeline.storage.reading.search import HitCount, SearchRequest
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention, a_transcript, a_write
from tests.integration.calls import change, enter, erase
from tests.integration.command_line import Installation


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(settings: Settings, storage: Storage) -> Installation:
    return Installation(settings.home, storage.database.url)


def add_call(storage: Storage, name: str, day: str, agent: str, customer: str) -> str:
    """Add a call of a day with the text of its agent and its customer; return its id."""
    started = datetime.fromisoformat(day).replace(tzinfo=UTC)
    [call_id] = enter(storage, name, started_at=started, metadata={"agent": "=ann"})
    storage.claims.claim([call_id], "run-1")
    transcripts = [
        a_transcript(agent, channel=Channel.LEFT),
        a_transcript(customer, channel=Channel.RIGHT),
    ]
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)
    return call_id


def mention(storage: Storage, call_id: str, competitor: str, sentiment: Sentiment) -> None:
    named = a_mention(competitor)
    storage.results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [named])
    judged = [a_judgement(named, sentiment)]
    storage.results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), judged)


@pytest.fixture
def calls(storage: Storage) -> dict[str, str]:
    """Calls `cancel` with negative EE, `praise` with positive Sky, `bill` without mentions."""
    found = {
        "cancel": add_call(
            storage, "a.wav", "2026-03-02", "how can i help", "i want to cancel my contract now"
        ),
        "praise": add_call(
            storage, "b.wav", "2026-03-09", "you may cancel at any time", "sky is good to me"
        ),
        "bill": add_call(storage, "c.wav", "2026-04-01", "your bill", "contract number two please"),
    }
    mention(storage, found["cancel"], "EE", Sentiment.NEGATIVE)
    mention(storage, found["praise"], "Sky", Sentiment.POSITIVE)
    return found


def ids(storage: Storage, words: str, **other: Any) -> list[str]:
    return [hit.call_id for hit in storage.search.best(SearchRequest(words, **other))]


def test_a_phrase_is_found_with_its_time_and_its_words_marked(
    storage: Storage, calls: dict[str, str]
) -> None:
    [hit] = storage.search.best(SearchRequest('"cancel my contract"'))
    assert (hit.call_id, hit.speaker, hit.start_s) == (calls["cancel"], "customer", 0.0)
    assert "⟦cancel⟧ my ⟦contract⟧" in hit.marked


def test_words_are_found_in_other_forms(storage: Storage, calls: dict[str, str]) -> None:
    assert set(ids(storage, "cancelling")) == {calls["cancel"], calls["praise"]}
    assert ids(storage, "cancel -time") == [calls["cancel"]]
    assert set(ids(storage, "bill or sky")) == {calls["bill"], calls["praise"]}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"competitor": "ee"}, {"cancel"}),
        ({"competitor": "Sky"}, {"praise"}),
        ({"competitor": "Vodafone"}, set()),
        ({"sentiment": Sentiment.NEGATIVE}, {"cancel"}),
        ({"competitor": "Sky", "sentiment": Sentiment.NEGATIVE}, set()),
        ({"speaker": Speaker.AGENT}, {"praise"}),
        ({"since": datetime(2026, 3, 5, tzinfo=UTC)}, {"praise"}),
        ({"until": datetime(2026, 3, 5, tzinfo=UTC)}, {"cancel"}),
    ],
)
def test_search_is_filtered(
    storage: Storage, calls: dict[str, str], filters: dict[str, Any], expected: set[str]
) -> None:
    found = ids(storage, "cancel", **filters)
    assert {name for name in calls if calls[name] in found} == expected


def test_the_number_of_hits_is_limited(storage: Storage, calls: dict[str, str]) -> None:
    assert len(ids(storage, "cancel", limit=1)) == 1


def test_better_hits_come_first(storage: Storage, calls: dict[str, str]) -> None:
    twice = add_call(storage, "d.wav", "2026-01-01", "cancel cancel it", "contract contract cancel")
    assert ids(storage, "cancel contract")[0] == twice


def test_erased_calls_are_not_found(storage: Storage, calls: dict[str, str]) -> None:
    change(storage, [calls["cancel"]], claimed_by="NULL", state="'PENDING'")
    erase(storage, calls["cancel"])
    assert calls["cancel"] not in ids(storage, "cancel")


@pytest.mark.parametrize(
    "words", ["", "the", "'", '"', "a & | !", "🙂", "x" * 3000, "%s %(a)s", "\\"]
)
def test_any_text_can_be_searched(storage: Storage, calls: dict[str, str], words: str) -> None:
    assert ids(storage, words) == []
    assert storage.search.has_only_stop_words(words) or len(words) > 100 or words == "🙂"


# Page by page


def add_similar_call(storage: Storage, number: int) -> str:
    day = f"2026-02-{1 + number % 5:02}"
    return add_call(storage, f"more-{number}.wav", day, "cancel it or cancel that", "i cancel")


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_neither_repeat_nor_miss_segments_while_new_ones_arrive(
    storage: Storage, limit: int
) -> None:
    known = {add_similar_call(storage, number) for number in range(8)}
    found, after, times = [], None, []
    while True:
        page = storage.search.list("cancel", limit=limit, after=after)
        found += [(hit.call_id, hit.channel, hit.segment_index) for hit in page.hits]
        times += [hit.took_place_at for hit in page.hits]
        if not (after := page.after):
            break
        add_similar_call(storage, 10 + len(found))
    assert len(found) == len(set(found))
    assert {(call, side, 0) for call in known for side in ("left", "right")} <= set(found)
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (CallFilters(), {"cancel", "praise"}),
        (CallFilters(competitors=("ee",)), {"cancel"}),
        (CallFilters(sentiment=MentionSentiment.NEGATIVE), {"cancel"}),
        (CallFilters(competitors=("Sky",), sentiment=MentionSentiment.NEGATIVE), set()),
        (CallFilters(speaker=Speaker.AGENT), {"praise"}),
        (CallFilters(speaker=Speaker.AGENT, competitors=("Sky",)), {"praise"}),
        (CallFilters(agent="=ANN"), {"cancel", "praise"}),
        (CallFilters(agent="bob"), set()),
        (CallFilters(source="elsewhere"), set()),
        (CallFilters(from_day=date(2026, 3, 9)), {"praise"}),
        (CallFilters(to_day=date(2026, 3, 8)), {"cancel"}),
    ],
)
def test_pages_and_exports_have_the_same_filters(
    storage: Storage, calls: dict[str, str], filters: CallFilters, expected: set[str]
) -> None:
    hits = storage.search.list("cancel", filters).hits
    assert {name for name in calls for hit in hits if hit.call_id == calls[name]} == expected
    assert storage.search.count("cancel", filters) == HitCount(len(hits), is_more=False)
    with open_export(storage.database, Dataset.SEGMENTS, filters=filters, words="cancel") as table:
        place = list(table.columns).index("call_id")
        assert [row[place] for row in table.rows] == [hit.call_id for hit in reversed(hits)]


def test_pages_have_marked_words(storage: Storage, calls: dict[str, str]) -> None:
    [hit] = storage.search.list('"cancel my contract"').hits
    assert "⟦cancel⟧ my ⟦contract⟧" in hit.marked
    assert hit.agent == "=ann"


def test_counting_stops_at_the_limit(
    storage: Storage, calls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callpipeline.storage.reading.search.MAX_COUNT", 1)
    assert storage.search.count("cancel") == HitCount(1, is_more=True)
    assert storage.search.count("bill") == HitCount(1, is_more=False)


# Export


def exported(storage: Storage, what: Dataset, format: ExportFormat, **between: Any) -> bytes:
    file = io.BytesIO()
    times: dict[str, Any] = {"since": None, "until": None} | between
    with open_export(storage.database, what, **times) as table:
        write_export(table, format, file)
    return file.getvalue()


def test_csv_has_every_row_and_no_formula(storage: Storage, calls: dict[str, str]) -> None:
    text = exported(storage, Dataset.CALLS, ExportFormat.CSV).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["call_id"] for row in rows] == [calls["cancel"], calls["praise"], calls["bill"]]
    assert {row["agent"] for row in rows} == {"'=ann"}
    assert rows[0]["took_place_at"] == "2026-03-02T00:00:00+00:00"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_formulas_are_escaped(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "", -0.5, 3, None, True])
def test_other_values_are_not_escaped(value: object) -> None:
    assert escape_formula(value) == value


def test_json_has_one_document_per_line(storage: Storage, calls: dict[str, str]) -> None:
    lines = exported(storage, Dataset.MENTIONS, ExportFormat.JSON).decode().splitlines()
    documents = [json.loads(line) for line in lines]
    assert [(d["competitor"], d["sentiment"]) for d in documents] == [
        ("EE", "negative"),
        ("Sky", "positive"),
    ]
    assert documents[0]["score"] == -0.7


def test_parquet_has_types(storage: Storage, calls: dict[str, str]) -> None:
    table = pq.read_table(io.BytesIO(exported(storage, Dataset.SEGMENTS, ExportFormat.PARQUET)))
    assert table.num_rows == 6
    types = {field.name: str(field.type) for field in table.schema}
    assert types["took_place_at"] == "timestamp[us, tz=UTC]"
    assert (types["start_s"], types["segment_index"], types["day"]) == (
        "double",
        "int32",
        "date32[day]",
    )
    assert table.to_pylist()[0]["text"] == "how can i help"


@pytest.mark.parametrize("format", list(ExportFormat))
@pytest.mark.parametrize("what", list(Dataset))
def test_an_empty_export_is_a_valid_file(
    storage: Storage, what: Dataset, format: ExportFormat
) -> None:
    content = exported(storage, what, format)
    assert bool(content) == (format is not ExportFormat.JSON)


def test_exports_are_limited_in_time(storage: Storage, calls: dict[str, str]) -> None:
    march = {"since": datetime(2026, 3, 5, tzinfo=UTC), "until": datetime(2026, 4, 1, tzinfo=UTC)}
    for what in Dataset:
        lines = exported(storage, what, ExportFormat.JSON, **march).decode().splitlines()
        assert {json.loads(line)["call_id"] for line in lines} == {calls["praise"]}


@pytest.mark.parametrize(
    ("what", "filters", "expected"),
    [
        (Dataset.CALLS, CallFilters(competitors=("EE",)), ["cancel"]),
        (Dataset.CALLS, CallFilters(states=(CallState.FAILED,)), []),
        (Dataset.CALLS, CallFilters(name="B.wav"), ["praise"]),
        (Dataset.MENTIONS, CallFilters(sentiment=MentionSentiment.POSITIVE), ["praise"]),
        (Dataset.MENTIONS, CallFilters(speaker=Speaker.AGENT), []),
        (Dataset.MENTIONS, CallFilters(from_day=date(2026, 3, 3)), ["praise"]),
        (Dataset.SEGMENTS, CallFilters(speaker=Speaker.CUSTOMER, competitors=("Sky",)), ["praise"]),
    ],
)
def test_exports_are_filtered(
    storage: Storage,
    calls: dict[str, str],
    what: Dataset,
    filters: CallFilters,
    expected: list[str],
) -> None:
    lines = exported(storage, what, ExportFormat.JSON, filters=filters).decode().splitlines()
    names = {call_id: name for name, call_id in calls.items()}
    assert [names[json.loads(line)["call_id"]] for line in lines] == expected


# The commands


def test_the_commands(installation: Installation, calls: dict[str, str], tmp_path: Path) -> None:
    found = installation.run("search", "cancel my contract", "--competitor", "EE").stdout
    assert calls["cancel"] in found
    assert "i want to cancel my contract now" in found
    document = json.loads(installation.run("search", "contract", "--json").stdout)
    assert {hit["call_id"] for hit in document} == {calls["cancel"], calls["bill"]}
    nothing = installation.run("search", "the", exit_code=1).stdout
    assert "too common" in nothing
    file = tmp_path / "mentions.parquet"
    output = installation.run("export", "mentions", "--format", "parquet", "-o", file).stderr
    assert f"2 mentions in {file}" in output.replace("\n", "")
    assert pq.read_table(file).num_rows == 2
    srt = installation.run("export", "call", calls["cancel"], "--format", "srt").stdout
    assert "Customer: i want to cancel my contract now" in srt
    whole = json.loads(installation.run("export", "call", calls["cancel"]).stdout)
    assert whole["call_id"] == calls["cancel"]
    text = installation.run("export", "calls", "--since", "2026-04-01").stdout
    assert len(text.splitlines()) == 2
    filters = ("--competitor", "ee", "--sentiment", "negative", "--speaker", "customer")
    only = installation.run("export", "mentions", *filters, "--agent", "=ann").stdout
    assert len(only.splitlines()) == 2
    wrong = installation.run("export", "calls", "--since", "yesterday", exit_code=2)
    assert "is not a time" in wrong.stderr
    unknown = installation.run("export", "call", "2020", exit_code=1)
    assert "Call '2020' not found" in unknown.stderr


def test_a_file_that_cannot_be_written_is_reported_and_not_left_behind(
    installation: Installation, tmp_path: Path
) -> None:
    refused = installation.run("export", "calls", "-o", tmp_path / "no" / "x.csv", exit_code=1)
    assert "No such file or directory" in refused.stderr
    assert list(tmp_path.rglob("*.partial")) == []
