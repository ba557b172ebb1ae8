"""Format calls for the terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from callpipeline.config import settings
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.sentiment import Sentiment, call_stance
from callpipeline.domain.transcripts import MAX_UNHEARD_S

COLOURS = {
    "positive": "green",
    "negative": "red",
    "neutral": "yellow",
    "mixed": "magenta",
    CallState.COMPLETED: "green",
    CallState.FAILED: "red",
    CallState.PROCESSING: "cyan",
    CallState.PENDING: "yellow",
    CallState.DUPLICATE: "dim",
    CallState.ERASED: "dim",
}

NEVER_FOLDED = frozenset(
    {"call", "time", "speaker", "length", "state", "sentiment", "notification", "at", "channel"}
)
"""Columns whose content a person copies, or that are unreadable in pieces."""


def clock(seconds: float | None) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: datetime) -> str:
    """A time as the clock of this machine shows it, with its date unless that is today."""
    here = at.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == date.today() else f"{here:%Y-%m-%d %H:%M}"  # noqa: DTZ011


def plain(text: str) -> str:
    """Without characters that are not shown: some of them command a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable(text: str) -> str:
    """Escape user-supplied text for a table."""
    return escape(plain(text))


def coloured(word: str) -> Text:
    """Return a state or a sentiment in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def grid(*headings: str) -> Table:
    """Return an empty table in the common style."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in NEVER_FOLDED)
    return table


def call_page(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield what `show` prints for a call."""
    recording = f"  {plain(document['key'])}  {clock(document['duration_s'])}  "
    state = coloured(document["state"])
    yield Text.assemble((document["call_id"], "bold"), recording) + state
    yield from map(Text, map(plain, _circumstances(document)))
    if document["error_message"]:
        yield Text(f"{document['error_stage']}: {document['error_message']}", style="red")
    for flag in document["flags"]:
        yield Text(f"note: {flag['detail']}", style="yellow")
    if document["state"] == CallState.COMPLETED and not document["transcripts"]:
        yield Text("The transcript was deleted under your retention policy.", style="yellow")
    for transcript in document["transcripts"]:
        yield _transcript_line(transcript)
    if metrics := document["metrics"]:
        yield Text(_metrics_line(metrics))
    if document["segments"]:
        yield _conversation(document["segments"])
    if document["mentions"]:
        yield mention_table(document["mentions"])


def _circumstances(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the original of a duplicate, the time of the call, metadata and the next attempt."""
    if first := document["duplicate_of"]:
        yield f"same recording as call {first}: `callpipeline show {first}`"
    if at := document["started_at"]:
        zone = ZoneInfo(settings().day_zone)
        yield f"call time: {datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M:%S %z}"
    if metadata := document["metadata"]:
        yield ", ".join(f"{name}: {value}" for name, value in metadata.items())
    if document["state"] == CallState.PENDING and document["not_before"]:
        yield f"next attempt: {moment(datetime.fromisoformat(document['not_before']))}"


def _transcript_line(transcript: Mapping[str, Any]) -> Text:
    mean = transcript["confidence"]
    confidence = "" if mean is None else f", word confidence {mean:.2f}"
    line = Text(
        f"{transcript['channel']} ({transcript['speaker']}): {transcript['words']} words by "
        f"{transcript['engine']}{confidence}"
    )
    if not transcript["reliable"]:
        line += Text("  UNRELIABLE", style="red")
    if (unheard_s := transcript["unheard_s"] or 0.0) > MAX_UNHEARD_S:
        line += Text(f"  {unheard_s:.0f} s OF SPEECH WITHOUT WORDS", style="red")
    return line


def _metrics_line(metrics: Mapping[str, Any]) -> str:
    if metrics["unknown_talk_s"] and not metrics["agent_talk_s"] + metrics["customer_talk_s"]:
        talk = f"both speakers {clock(metrics['unknown_talk_s'])}"
    else:
        agent, customer = clock(metrics["agent_talk_s"]), clock(metrics["customer_talk_s"])
        talk = f"agent {agent}, customer {customer}, overlap {clock(metrics['overlap_s'])}"
    return f"talk: {talk}, silence {clock(metrics['silence_s'])}"


def _conversation(segments: Sequence[Mapping[str, Any]]) -> Table:
    table = grid("time", "speaker", "text")
    for segment in segments:
        speaker = segment["speaker"]
        if speaker == Speaker.UNKNOWN and segment["voice"]:
            speaker = f"speaker {segment['voice']}"
        table.add_row(clock(segment["start_s"]), speaker, printable(segment["text"]))
    return table


def mention_table(mentions: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of mentions with sentiment and the rule that decided."""
    table = grid("time", "speaker", "competitor", "sentiment", "words", "reason")
    for mention in mentions:
        judged, missing = mention["sentiment"], mention["not_judged"]
        counted = mention["status"] == "counted"
        status = "not judged" if missing else mention["status"]
        table.add_row(
            clock(mention["start_s"]),
            mention["speaker"],
            printable(mention["competitor"]),
            coloured(judged["sentiment"]) if judged else Text(status, style="dim"),
            printable(judged["quote"] if judged else mention["said"]),
            printable(judged["rule"] if judged and counted else _why(mention)),
        )
    return table


def _why(mention: Mapping[str, Any]) -> str:
    """Return why a mention is unjudged, or the rule that decided whether it counts."""
    missing = mention["not_judged"]
    if not missing:
        return mention["reason"]
    at = missing["next_try_at"]
    return f"{missing['reason']} {next_try(datetime.fromisoformat(at) if at else None)}"


def next_try(at: datetime | None) -> str:
    """Describe when a mention is judged again."""
    return f"Next attempt: {moment(at)}." if at else "No more automatic retries."


def stance_by_competitor(mentions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the call's stance towards each counted competitor, by name."""
    by_competitor: dict[str, list[tuple[Speaker, Sentiment]]] = {}
    for mention in mentions:
        if mention["sentiment"]:
            stance = Sentiment(mention["sentiment"]["sentiment"])
            said = (Speaker(mention["speaker"]), stance)
            by_competitor.setdefault(mention["competitor"], []).append(said)
    return {
        competitor: call_stance(stances).describe()
        for competitor, stances in sorted(by_competitor.items())
    }


def joined(lines: Iterable[str]) -> str:
    """Join several lines in one table cell."""
    return escape("\n".join(lines))
