"""Calls as a person reads them in a terminal, and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.sentiment import Sentiment, overall
from callpipeline.domain.transcript import interleave
from callpipeline.storage.ledger import CallRecord
from callpipeline.wiring import Storage

COLOURS = {
    "positive": "green",
    "negative": "red",
    "neutral": "yellow",
    "unsure": "magenta",
    CallState.COMPLETED: "green",
    CallState.FAILED: "red",
    CallState.PROCESSING: "cyan",
    CallState.PENDING: "yellow",
    CallState.ERASED: "dim",
}


NEVER_FOLDED = frozenset({"call", "time", "speaker", "length", "state", "sentiment"})
"""Columns whose content a person copies, or that are unreadable in pieces."""


def clock(seconds: float | None) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def coloured(word: str) -> Text:
    """A state or a sentiment in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def grid(*headings: str) -> Table:
    """A table in the one style that all our tables have."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in NEVER_FOLDED)
    return table


def counts_line(counts: Mapping[CallState, int]) -> Text:
    """All states with their numbers, also those without a call."""
    shown = [state for state in CallState if counts.get(state) or state is not CallState.ERASED]
    return Text("   ").join(Text(f"{counts.get(s, 0)} {s}", style=COLOURS[s]) for s in shown)


def status_table(records: Sequence[CallRecord]) -> Table:
    table = grid("call", "recording", "length", "state", "stages", "reason")
    for record in records:
        table.add_row(
            record.call_id,
            escape(PurePosixPath(record.key).name),
            clock(record.duration_s),
            coloured(record.state),
            f"{len(record.stages)}/{len(Stage)}",
            escape(record.error_message or "; ".join(flag["detail"] for flag in record.flags)),
        )
    return table


def record_as_json(record: CallRecord) -> dict[str, Any]:
    """A ledger record in plain types."""
    document = asdict(record)
    for field in ("created_at", "updated_at", "completed_at"):
        document[field] = document[field] and document[field].isoformat()
    return document | {"flags": list(record.flags), "stages": [str(s) for s in record.stages]}


def call_document(storage: Storage, record: CallRecord) -> dict[str, Any]:
    """Everything known of a call, in plain types; what is not made yet is empty."""
    call_id, results = record.call_id, storage.results
    said = results.transcripts(call_id) if Stage.TRANSCRIPTS in record.stages else ()
    judged = {judgement.mention_id: judgement for judgement in results.judgements(call_id)}
    mentions = [
        asdict(mention) | {"sentiment": asdict(judged[mention.mention_id])}
        if mention.mention_id in judged
        else asdict(mention) | {"sentiment": None}
        for mention in results.mentions(call_id)
    ]
    return record_as_json(record) | {
        "metrics": results.metrics(call_id),
        "transcripts": [
            {
                "channel": transcript.channel,
                "speaker": transcript.speaker,
                "engine": transcript.engine,
                "words": transcript.word_count,
                "confidence": transcript.confidence,
                "reliable": transcript.is_reliable,
            }
            for transcript in said
        ],
        "segments": [
            {"start_s": s.start_s, "end_s": s.end_s, "speaker": s.speaker, "text": s.text}
            for s in interleave(said)
        ],
        "mentions": mentions,
    }


def call_page(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A call as `show` prints it."""
    yield Text.assemble(
        (document["call_id"], "bold"), f"  {document['key']}  {clock(document['duration_s'])}  "
    ) + coloured(document["state"])
    if document["error_message"]:
        yield Text(f"{document['error_stage']}: {document['error_message']}", style="red")
    for flag in document["flags"]:
        yield Text(f"note: {flag['detail']}", style="yellow")
    for transcript in document["transcripts"]:
        yield _transcript_line(transcript)
    if metrics := document["metrics"]:
        yield Text(_metrics_line(metrics))
    if document["segments"]:
        yield _conversation(document["segments"])
    if document["mentions"]:
        yield mention_table(document["mentions"])


def _transcript_line(transcript: Mapping[str, Any]) -> Text:
    sure = transcript["confidence"]
    confidence = "" if sure is None else f", word confidence {sure:.2f}"
    line = Text(
        f"{transcript['channel']} ({transcript['speaker']}): {transcript['words']} words by "
        f"{transcript['engine']}{confidence}"
    )
    return line if transcript["reliable"] else line + Text("  UNRELIABLE", style="red")


def _metrics_line(metrics: Mapping[str, Any]) -> str:
    if metrics["unknown_talk_s"]:
        talk = f"both speakers {clock(metrics['unknown_talk_s'])}"
    else:
        agent, customer = clock(metrics["agent_talk_s"]), clock(metrics["customer_talk_s"])
        talk = f"agent {agent}, customer {customer}, at once {clock(metrics['overlap_s'])}"
    return f"talk: {talk}, silence {clock(metrics['silence_s'])}"


def _conversation(segments: Sequence[Mapping[str, Any]]) -> Table:
    table = grid("time", "speaker", "said")
    for segment in segments:
        table.add_row(clock(segment["start_s"]), segment["speaker"], escape(segment["text"]))
    return table


def mention_table(mentions: Sequence[Mapping[str, Any]]) -> Table:
    """Every mention with its status and sentiment, and the rules that decided."""
    table = grid("time", "speaker", "competitor", "sentiment", "words", "why")
    for mention in mentions:
        judged = mention["sentiment"]
        counted = mention["status"] == "accepted"
        table.add_row(
            clock(mention["start_s"]),
            mention["speaker"],
            escape(mention["competitor"]),
            coloured(judged["sentiment"]) if judged else Text(mention["status"], style="dim"),
            escape(judged["quote"] if judged else mention["said"]),
            escape(judged["rule"] if judged and counted else mention["reason"]),
        )
    return table


def overall_by_competitor(mentions: Sequence[Mapping[str, Any]]) -> dict[str, Sentiment]:
    """Each competitor that counts, with the call's stance towards it."""
    heard: dict[str, list[Sentiment]] = {}
    for mention in mentions:
        if mention["sentiment"]:
            stance = Sentiment(mention["sentiment"]["sentiment"])
            heard.setdefault(mention["competitor"], []).append(stance)
    return {competitor: overall(stances) for competitor, stances in sorted(heard.items())}


def joined(lines: Iterable[str]) -> str:
    """Several short findings in one cell."""
    return escape("\n".join(lines))
