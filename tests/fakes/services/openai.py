"""OpenAI-compatible server: transcriptions and chat."""

import json
import string
from typing import Any

from tests.fakes.services.contract import ServiceState, segments_for, text_of
from tests.fakes.services.exchange import Reply, json_reply
from tests.fakes.services.records import RecordedRequest
from tests.fakes.services.script import Segments

GRANULARITIES = "timestamp_granularities[]"


def transcribe(state: ServiceState, request: RecordedRequest) -> Reply:
    if refused := _refused(state, request):
        return refused
    if not any(f.field == "file" for f in request.files) or "model" not in request.form:
        return problem(400, "you must provide a model parameter and a file")
    segments = segments_for(state, request)
    text = text_of(segments)
    match request.form.get("response_format", "json"):
        case "text":
            return Reply(200, f"{text}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})
        case "json":
            return json_reply({"text": text})
        case "verbose_json":
            return json_reply(_verbose(state, request, segments))
        case _:
            return problem(400, "this response_format is not compatible with the model")


def chat(state: ServiceState, request: RecordedRequest) -> Reply:
    if refused := _refused(state, request):
        return refused
    asked = request.json
    if not isinstance(asked, dict) or not asked.get("messages") or "model" not in asked:
        return problem(400, "you must provide a model and messages")
    answer = state.script.chat(asked)
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


def models(state: ServiceState, request: RecordedRequest) -> Reply:
    if refused := _refused(state, request):
        return refused
    available = [{"id": "whisper-1", "object": "model"}, {"id": "gpt-test", "object": "model"}]
    return json_reply({"object": "list", "data": available})


def problem(status: int, sentence: str) -> Reply:
    """Return an error in OpenAI's format."""
    about = {"message": sentence, "type": "invalid_request_error", "param": None, "code": None}
    return json_reply({"error": about}, status)


def _refused(state: ServiceState, request: RecordedRequest) -> Reply | None:
    if state.script.api_key in (None, request.token):
        return None
    return problem(401, "Incorrect API key provided.")


def _verbose(state: ServiceState, request: RecordedRequest, segments: Segments) -> dict[str, Any]:
    """Return segments unless only words were requested, and words only on request."""
    asked = request.values(GRANULARITIES) or ["segment"]
    duration_s = max((s["end"] for s in segments), default=0.0)
    result: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": duration_s,
        "text": text_of(segments),
    }
    if state.script.segments and "segment" in asked:
        result["segments"] = [_segment(s) for s in segments]
    if state.script.words and "word" in asked:
        result["words"] = [_word(w) for s in segments for w in s.get("words", ())]
    return result


def _segment(segment: Any) -> dict[str, Any]:
    measures = {"avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01}
    plain = {name: segment[name] for name in ("id", "start", "end", "text")}
    return {**plain, "seek": 0, "tokens": [], "temperature": 0.0, **measures}


def _word(word: Any) -> dict[str, Any]:
    """Return a top-level word, without spaces and punctuation."""
    text = word["word"].strip().strip(string.punctuation)
    return {"word": text, "start": word["start"], "end": word["end"]}
