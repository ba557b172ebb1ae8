"""The four services of CONTRACT.md, section 1, answering as it says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.services.channels import Shelf
from tests.fakes.services.exchange import Reply, json_reply
from tests.fakes.services.records import Arrival
from tests.fakes.services.script import DEFAULT_SPEECH, Script, Segments
from tests.fakes.services.tokens import Tokens

SENTIMENTS = ("positive", "neutral", "negative")


@dataclass
class World:
    """What the answers are made of."""

    script: Script = field(default_factory=Script)
    tokens: Tokens = field(default_factory=Tokens)
    shelf: Shelf = field(default_factory=Shelf)
    urls: Mapping[str, str] = field(default_factory=dict)


def log_in(world: World, request: Arrival) -> Reply:
    given = (request.form.get("username"), request.form.get("password"))
    if None in given:
        return missing("body", "username" if given[0] is None else "password")
    if world.script.credentials not in (None, given):
        return detail(401, "Incorrect email or password")
    return json_reply({"access_token": world.tokens.issue(), "token_type": "bearer"})


def split(world: World, request: Arrival) -> Reply:
    if not (files := [f for f in request.files if f.field == "file"]):
        return missing("body", "file")
    left, right = world.shelf.put(world.script.channels(files[0]))
    base = world.urls["channel"] if world.script.absolute_urls else ""
    return json_reply({"left_channel_url": base + left, "right_channel_url": base + right})


def channel_file(world: World, request: Arrival) -> Reply:
    content = world.shelf.get(request.path)
    if content is None:
        return detail(404, "Not Found")
    return Reply(200, content, {"Content-Type": "audio/flac"})


def transcribe(world: World, request: Arrival) -> Reply:
    if not world.tokens.take(request.token):
        return detail(401, "Could not validate credentials")
    if not any(f.field == "audio_file" for f in request.files):
        return missing("body", "audio_file")
    segments = heard(world, request)
    if not world.script.words:
        segments = [{k: v for k, v in s.items() if k != "words"} for s in segments]
    found = {
        "model": request.form.get("whisper_model", "large-v3"),
        "text": text_of(segments),
        "segments": segments,
    }
    envelope = {"success": True, "message": "Transcription completed", "data": found}
    return json_reply(found if world.script.bare else envelope)


def judge(world: World, request: Arrival) -> Reply:
    """By the old service's rule: every segment of more than one word that holds the context."""
    files = [f for f in request.files if f.field == "file"]
    context = request.form.get("context")
    if context is None or not files:
        return missing("body", "file" if context is not None else "context")
    try:
        transcript = json.loads(files[0].kept)
        found = _judged(transcript["segments"], context, world.script.labels)
    except (ValueError, KeyError, TypeError):
        return detail(400, "Invalid transcript")
    if not found:
        return json_reply([])
    counts = {label: sum(s["sentiment"] == label for s in found) for label in SENTIMENTS}
    return json_reply(
        {
            "context": context,
            "overall_sentiment": max(SENTIMENTS, key=counts.__getitem__),
            **counts,
            "segments": found,
            "metadata": transcript.get("metadata"),
        }
    )


def _judged(segments: Segments, context: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "segment-id": segment.get("id", number),
            "start": segment["start"],
            "end": segment["end"],
            "text": segment["text"],
            "sentiment": labels.get(context, "neutral"),
            "detection_method": "pattern",
            "detection_details": "scripted",
        }
        for number, segment in enumerate(segments)
        if context.casefold() in segment["text"].casefold() and len(segment["text"].split()) > 1
    ]


def heard(world: World, request: Arrival) -> Segments:
    """What is said in the uploaded file."""
    script, file = world.script, request.files[0]
    asked = script.hear(request)
    if asked is not None:
        return asked
    scripted = script.speech.get(file.sha256, script.speech.get(file.name))
    return DEFAULT_SPEECH[world.shelf.side_of(request)] if scripted is None else scripted


def text_of(segments: Segments) -> str:
    return "".join(str(segment["text"]) for segment in segments).strip()


def detail(status: int, sentence: str) -> Reply:
    """An error as FastAPI writes it."""
    return json_reply({"detail": sentence}, status)


def missing(*where: str) -> Reply:
    """FastAPI's answer to a request without a field that it needs."""
    problem = {"type": "missing", "loc": list(where), "msg": "Field required", "input": None}
    return json_reply({"detail": [problem]}, 422)
