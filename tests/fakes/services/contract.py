"""Services of CONTRACT.md, section 1, with their regular responses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.services.exchange import Reply, json_reply
from tests.fakes.services.records import RecordedRequest
from tests.fakes.services.script import DEFAULT_SPEECH, ChannelFiles, Script, Segments, Tokens

SENTIMENTS = ("positive", "neutral", "negative")


@dataclass
class ServiceState:
    """State that the responses depend on."""

    script: Script = field(default_factory=Script)
    tokens: Tokens = field(default_factory=Tokens)
    channel_files: ChannelFiles = field(default_factory=ChannelFiles)
    urls: Mapping[str, str] = field(default_factory=dict)


def log_in(state: ServiceState, request: RecordedRequest) -> Reply:
    credentials = (request.form.get("username"), request.form.get("password"))
    if None in credentials:
        return missing("body", "username" if credentials[0] is None else "password")
    if state.script.credentials not in (None, credentials):
        return detail(401, "Incorrect email or password")
    return json_reply({"access_token": state.tokens.issue(), "token_type": "bearer"})


def split(state: ServiceState, request: RecordedRequest) -> Reply:
    if not (files := [f for f in request.files if f.field == "file"]):
        return missing("body", "file")
    left, right = state.channel_files.put(state.script.channels(files[0]))
    base = state.urls["channel"] if state.script.absolute_urls else ""
    return json_reply({"left_channel_url": base + left, "right_channel_url": base + right})


def channel_file(state: ServiceState, request: RecordedRequest) -> Reply:
    content = state.channel_files.get(request.path)
    if content is None:
        return detail(404, "Not Found")
    return Reply(200, content, {"Content-Type": "audio/flac"})


def transcribe(state: ServiceState, request: RecordedRequest) -> Reply:
    if not state.tokens.take(request.token):
        return detail(401, "Could not validate credentials")
    if not any(f.field == "audio_file" for f in request.files):
        return missing("body", "audio_file")
    segments = segments_for(state, request)
    if not state.script.words:
        segments = [{k: v for k, v in s.items() if k != "words"} for s in segments]
    result = {
        "model": request.form.get("whisper_model", "large-v3"),
        "text": text_of(segments),
        "segments": segments,
    }
    envelope = {"success": True, "message": "Transcription completed", "data": result}
    return json_reply(result if state.script.bare else envelope)


def judge(state: ServiceState, request: RecordedRequest) -> Reply:
    """Judge each segment of more than one word with the context, like the old service."""
    files = [f for f in request.files if f.field == "file"]
    context = request.form.get("context")
    if context is None or not files:
        return missing("body", "file" if context is not None else "context")
    try:
        transcript = json.loads(files[0].content)
        result = _judged(transcript["segments"], context, state.script.labels)
    except (ValueError, KeyError, TypeError):
        return detail(400, "Invalid transcript")
    if not result:
        return json_reply([])
    counts = {label: sum(s["sentiment"] == label for s in result) for label in SENTIMENTS}
    return json_reply(
        {
            "context": context,
            "overall_sentiment": max(SENTIMENTS, key=counts.__getitem__),
            **counts,
            "segments": result,
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


def segments_for(state: ServiceState, request: RecordedRequest) -> Segments:
    """Return the segments of the uploaded file."""
    script, file = state.script, request.files[0]
    recognised = script.recognise(request)
    if recognised is not None:
        return recognised
    scripted = script.speech.get(file.sha256, script.speech.get(file.name))
    return DEFAULT_SPEECH[state.channel_files.side_of(request)] if scripted is None else scripted


def text_of(segments: Segments) -> str:
    return "".join(str(segment["text"]) for segment in segments).strip()


def detail(status: int, sentence: str) -> Reply:
    """Return an error in FastAPI's format."""
    return json_reply({"detail": sentence}, status)


def missing(*location: str) -> Reply:
    """Return FastAPI's response to a request without a required field."""
    problem = {"type": "missing", "loc": list(location), "msg": "Field required", "input": None}
    return json_reply({"detail": [problem]}, 422)
