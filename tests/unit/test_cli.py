"""The command line without anything behind it: what it refuses, and how it shows things."""

import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from callpipeline.cli import COMMANDS, app, present
from callpipeline.cli.calls import status as overview
from callpipeline.cli.calls.status import LaneView
from callpipeline.cli.catalog import print_preview
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.transcripts import MAX_UNHEARD_S
from callpipeline.pipeline.rematch.previews import CatalogPreview, CompetitorEffect, MentionQuote
from callpipeline.storage.calls.queue import LaneBacklog

NAMES = [command.__name__.replace("_", "-") for command in COMMANDS]


def run(*words: str):
    return CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def printed(part: RenderableType, width: int = 120) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(part, highlight=False)
    return capture.get()


def test_without_a_command_the_help_is_shown():
    result = run()
    assert result.exit_code == 2
    assert all(name in result.output for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    first_line = next(
        c.__doc__ for n, c in zip(NAMES, COMMANDS, strict=True) if n == name and c.__doc__
    )
    assert " ".join(first_line.split()[:3]) in result.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ingets"], "No such command 'ingets'"),
        (["ingest"], "Missing argument 'paths'"),
        (["show"], "Missing argument 'CALL'"),
        (["show", "a", "b"], "unexpected extra argument"),
        (
            ["status", "--state", "DONE"],
            "'DONE' is not one of PENDING, PROCESSING, COMPLETED, FAILED",
        ),
        (["status", "--limit", "-1"], "greater than or equal to 0"),
        (["status", "--limit", "many"], "should be a valid integer"),
        (["doctor", "--jsn"], "No such option: --jsn"),
        (["up", "--port", "x"], "should be a valid integer"),
        (["retry"], "Name the calls (`retry CALL …`), or use `retry --failed`."),
        (["retry", "a", "--failed"], "Use either call names or --failed, not both."),
        (["retry", "a", "--since", "2h"], "--since and --class need --failed."),
        (["retry", "--failed", "--since", "yesterday"], "yesterday is not a time: use 30m, 2h"),
    ],
)
def test_a_wrong_argument_is_reported_and_ends_with_2(words: list[str], expected: str):
    result = run(*words)
    assert result.exit_code == 2
    assert expected in re.sub(r"[\s│]+", " ", result.output)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.0, "0:00"),
        (59.99, "0:59"),
        (60.0, "1:00"),
        (754.2, "12:34"),
        (3599.0, "59:59"),
        (3600.0, "1:00:00"),
        (36_061.0, "10:01:01"),
    ],
)
def test_times_are_shown_as_a_clock_shows_them(seconds: float | None, shown: str):
    assert present.clock(seconds) == shown


def test_states_without_a_call_are_counted_too_and_erased_ones_only_where_there_are():
    assert overview.counts_line({CallState.FAILED: 2}).plain == (
        "0 PENDING   0 PROCESSING   0 COMPLETED   2 FAILED"
    )
    assert "1 ERASED" in overview.counts_line({CallState.ERASED: 1}).plain


def test_the_version_is_printed():
    assert run("--version").output == f"callpipeline {version('callpipeline')}\n"


def a_lane(later: int = 0, oldest_s: float | None = 130.0) -> LaneBacklog:
    return LaneBacklog(Lane.LIVE, 7, later, 0, oldest_s)


def test_a_lane_tells_who_waits_for_how_long_and_until_when():
    day = datetime(2020, 3, 2, 9, 30).astimezone()
    assert (
        overview.lane_line(LaneView(a_lane())).plain == "lane live: 7 waiting, the oldest for 2:10"
    )
    one = LaneView(a_lane(7, None), day, day)
    assert overview.lane_line(one).plain == (
        "lane live: 7 waiting; 7 of them for the next attempt at 2020-03-02 09:30"
    )
    several = LaneView(a_lane(2), day, day + timedelta(days=1))
    assert overview.lane_line(several).plain.endswith("at 2020-03-02 09:30 to 2020-03-03 09:30")


def test_a_time_of_today_is_shown_without_its_day():
    assert re.fullmatch(r"\d\d:\d\d:\d\d", present.moment(datetime.now(UTC)))


def a_document(**changed: Any) -> dict[str, Any]:
    """A call of which only its registration is known."""
    nothing: dict[str, Any] = {
        "call_id": "2026-03-02-0123456789ab", "key": "call.wav", "state": CallState.PENDING,
        "duplicate_of": None, "started_at": None, "metadata": {}, "not_before": None,
        "duration_s": None, "error_stage": None, "error_message": None, "flags": [],
        "transcripts": [], "metrics": None, "segments": [], "mentions": [],
    }  # fmt: skip
    return nothing | changed


def page(document: dict[str, Any]) -> str:
    return "".join(printed(part) for part in present.call_page(document))


def test_a_call_of_which_nothing_is_known_yet_is_one_line():
    assert page(a_document()) == "2026-03-02-0123456789ab  call.wav  –  PENDING\n"


def test_a_duplicate_names_the_first_call():
    first = "2026-03-01-0123456789ab"
    shown = page(a_document(state="DUPLICATE", duplicate_of=first))
    assert f"same recording as call {first}: `callpipeline show {first}`" in shown


@pytest.mark.parametrize(
    ("zone", "shown_as"),
    [("", "2026-03-02 09:30:00 +0000"), ("Pacific/Auckland", "2026-03-02 22:30:00 +1300")],
)
def test_the_time_of_a_call_is_in_the_zone_of_days(
    monkeypatch: pytest.MonkeyPatch, zone: str, shown_as: str
):
    monkeypatch.setenv("CALLPIPELINE_TIMEZONE", zone)
    settings.cache_clear()
    shown = page(a_document(started_at="2026-03-02T09:30:00+00:00"))
    settings.cache_clear()
    assert f"call time: {shown_as}" in shown


def test_what_a_recordings_name_tells_is_shown():
    at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC).isoformat()
    metadata = {"agent": "[bold]Kim", "direction": "inbound"}
    shown = page(a_document(started_at=at, metadata=metadata))
    assert "call time: 2026-03-02 09:30:00" in shown
    assert "agent: [bold]Kim, direction: inbound" in shown


def test_a_call_that_waits_for_its_next_try_says_until_when():
    at = datetime(2030, 3, 2, 9, 30).astimezone().isoformat()
    assert "next attempt: 2030-03-02 09:30" in page(a_document(not_before=at))


def test_a_failed_call_says_where_and_why():
    failed = a_document(state="FAILED", error_stage="channel_audio", error_message="a picture")
    assert "channel_audio: a picture" in page(failed)


def test_a_transcript_that_is_not_to_be_trusted_says_so():
    line: dict[str, Any] = {
        "channel": "left", "speaker": "agent", "words": 7, "engine": "sphinx", "confidence": 0.4,
        "reliable": False, "unheard_s": None,
    }  # fmt: skip
    shown = page(a_document(transcripts=[line, line | {"confidence": None, "reliable": True}]))
    assert "left (agent): 7 words by sphinx, word confidence 0.40  UNRELIABLE" in shown
    assert shown.count("UNRELIABLE") == 1


def test_speech_without_words_is_shown_beside_the_transcript():
    line: dict[str, Any] = {
        "channel": "left", "speaker": "agent", "words": 7, "engine": "whisper", "confidence": 0.9,
        "reliable": True, "unheard_s": MAX_UNHEARD_S,
    }  # fmt: skip
    assert "WITHOUT WORDS" not in page(a_document(transcripts=[line]))
    shown = page(a_document(transcripts=[line | {"unheard_s": 12.4}]))
    assert "word confidence 0.90  12 s OF SPEECH WITHOUT WORDS" in shown


def a_shown_mention(**changed: Any) -> dict[str, Any]:
    judged = {"sentiment": "negative", "quote": "never again", "rule": "reproach"}
    mention = {
        "start_s": 75.0, "speaker": "customer", "competitor": "Sky", "said": "sky",
        "status": "counted", "reason": "dealing", "sentiment": judged, "not_judged": None,
    }  # fmt: skip
    return mention | changed


def test_a_mention_is_shown_with_its_sentiment_and_the_rule_behind_it():
    shown = page(a_document(mentions=[a_shown_mention()]))
    for word in ("1:15", "customer", "Sky", "negative", "never again", "reproach"):
        assert word in shown


def test_a_mention_that_does_not_count_is_shown_with_the_reason():
    shown = page(a_document(mentions=[a_shown_mention(status="dismissed", sentiment=None)]))
    assert "dismissed" in shown
    assert "dealing" in shown


@pytest.mark.parametrize("hostile", ["[/red]", "[bold]x", "[link=http://evil]"])
def test_brackets_in_what_users_supply_are_shown_as_they_are(hostile: str):
    judged = {"sentiment": "neutral", "quote": hostile, "rule": hostile}
    document = a_document(
        key=hostile,
        error_message=hostile,
        flags=[{"detail": hostile}],
        segments=[{"start_s": 0.0, "speaker": "agent", "text": hostile}],
        mentions=[a_shown_mention(competitor=hostile, sentiment=judged)],
    )
    assert page(document).count(hostile) == 7


def test_what_commands_a_terminal_is_not_printed():
    hostile = "\x1b]0;owned\x07\x1b[2J\n\r\udcff"
    document = a_document(
        key=f"{hostile}.wav",
        metadata={"agent": hostile},
        segments=[{"start_s": 0.0, "speaker": "agent", "text": hostile}],
        mentions=[a_shown_mention(competitor=hostile)],
    )
    assert not set("\x1b\x07\r\udcff") & set(page(document))


def test_competitors_are_summed_up_from_the_mentions_that_were_judged():
    positive = a_shown_mention(sentiment={"sentiment": "positive"})
    mentions = [positive, positive, a_shown_mention(), a_shown_mention(sentiment=None),
                a_shown_mention(competitor="Ask")]  # fmt: skip
    assert present.stance_by_competitor(mentions) == {"Ask": "negative", "Sky": "positive"}


def test_the_agents_view_is_beside_the_customers():
    praise = {"sentiment": "positive"}
    mentions = [
        a_shown_mention(speaker="customer"),
        a_shown_mention(speaker="agent", sentiment=praise),
        a_shown_mention(competitor="Ask", speaker="agent", sentiment=praise),
    ]
    assert present.stance_by_competitor(mentions) == {
        "Ask": "positive (agent only)",
        "Sky": "negative (agent: positive)",
    }


def test_a_preview_lists_competitors_whose_mentions_come_or_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quote = MentionQuote("2026-01-01-a", "m", True, MentionStatus.COUNTED, "to ", "Voxi", "", 1.0)
    comes = CompetitorEffect("Voxi", counted_after=2, calls=1, quotes=[quote])
    otherwise_explained = CompetitorEffect("Three", calls=22)
    catalog = Catalog((Competitor("Voxi"), Competitor("Three", ambiguous=True)))
    effects = (comes, otherwise_explained)
    print_preview(CatalogPreview(catalog, 30, 0, 23, 23, (), effects, (), 0, 1, 1.0))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "→" in line]
    assert rows == [["Voxi", "0", "→", "2", "0", "→", "0", "1"]]
