"""An OpenAI-compatible server: transcriptions and chat."""

import json
import string
from typing import Any

from tests.fakes.services.contract import World, heard, text_of
from tests.fakes.services.exchange import Reply, json_reply
from tests.fakes.services.records import Arrival
from tests.fakes.services.script import Segments

GRANULARITIES = "timestamp_granularities[]"


def transcribe(world: World, request: Arrival) -> Reply:
    if refused := _refused(world, request):
        return refused
    if not any(f.field == "file" for f in request.files) or "model" not in request.form:
        return problem(400, "you must provide a model parameter and a file")
    segments = heard(world, request)
    text = text_of(segments)
    match request.form.get("response_format", "json"):
        case "text":
            return Reply(200, f"{text}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})
        case "json":
            return json_reply({"text": text})
        case "verbose_json":
            return json_reply(_verbose(world, request, segments))
        case _:
            return problem(400, "this response_format is not compatible with the model")


def chat(world: World, request: Arrival) -> Reply:
    if refused := _refused(world, request):
        return refused
    asked = request.json
    if not isinstance(asked, dict) or not asked.get("messages") or "model" not in asked:
        return problem(400, "you must provide a model and messages")
    answer = world.script.chat(asked)
    content = answer if isinstance(answer, str) else json.dumps(answer)
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json_reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": asked["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )


def models(world: World, request: Arrival) -> Reply:
    if refused := _refused(world, request):
        return refused
    listed = [{"id": "whisper-1", "object": "model"}, {"id": "gpt-test", "object": "model"}]
    return json_reply({"object": "list", "data": listed})


def problem(status: int, sentence: str) -> Reply:
    """An error as OpenAI writes it."""
    about = {"message": sentence, "type": "invalid_request_error", "param": None, "code": None}
    return json_reply({"error": about}, status)


def _refused(world: World, request: Arrival) -> Reply | None:
    if world.script.api_key in (None, request.token):
        return None
    return problem(401, "Incorrect API key provided.")


def _verbose(world: World, request: Arrival, segments: Segments) -> dict[str, Any]:
    """Segments unless only words were asked for, words only where asked for, as OpenAI has it."""
    asked = request.values(GRANULARITIES) or ["segment"]
    duration_s = max((s["end"] for s in segments), default=0.0)
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": duration_s,
        "text": text_of(segments),
    }
    if world.script.segments and "segment" in asked:
        found["segments"] = [_segment(s) for s in segments]
    if world.script.words and "word" in asked:
        found["words"] = [_word(w) for s in segments for w in s.get("words", ())]
    return found


def _segment(segment: Any) -> dict[str, Any]:
    measures = {"avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01}
    plain = {name: segment[name] for name in ("id", "start", "end", "text")}
    return {**plain, "seek": 0, "tokens": [], "temperature": 0.0, **measures}


def _word(word: Any) -> dict[str, Any]:
    """Top-level words come without spaces and punctuation."""
    text = word["word"].strip().strip(string.punctuation)
    return {"word": text, "start": word["start"], "end": word["end"]}
