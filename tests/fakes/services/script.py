"""What the services answer while nothing is wrong; a test fills in what it is about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.services.channels import MakeChannels, small_channels
from tests.fakes.services.records import Arrival

Segments = Sequence[Mapping[str, Any]]
WORD_S = 0.3


def said(*sentences: str, start_s: float = 0.5) -> Segments:
    """Segments as the transcription service writes them: one a sentence, 0.3 s a word."""
    segments = []
    for number, sentence in enumerate(sentences):
        words = [_word(w, start_s + i * WORD_S) for i, w in enumerate(sentence.split())]
        end_s = words[-1]["end"] if words else start_s
        segments.append(
            {"id": number, "start": start_s, "end": end_s, "text": f" {sentence}", "words": words}
        )
        start_s = round(end_s + WORD_S, 3)
    return segments


def _word(text: str, start_s: float) -> dict[str, Any]:
    times = {"start": round(start_s, 3), "end": round(start_s + WORD_S, 3)}
    return {"word": f" {text}", **times, "probability": 0.9}


DEFAULT_SPEECH = {
    "left": said("Thank you for calling.", "How can I help?"),
    "right": said("I would rather go to Vodafone."),
}


@dataclass
class Script:
    """Each field is one thing that a test may say.

    `speech` maps the sha256 or the file name of an upload to its segments; `hear` is asked first
    and may say None. `labels` maps a competitor to the sentiment of every segment with its name.
    `chat` gets the request's JSON and returns the content: a text, or a document for JSON.
    """

    speech: dict[str, Segments] = field(default_factory=dict)
    hear: Callable[[Arrival], Segments | None] = lambda _: None
    labels: dict[str, str] = field(default_factory=dict)
    chat: Callable[[dict[str, Any]], Any] = lambda _: {"scripted": "answer"}
    channels: MakeChannels = small_channels
    absolute_urls: bool = False
    """Channel URLs that lead to the server of their own, `channel`, instead of relative ones."""
    words: bool = True
    segments: bool = True
    """Without it the OpenAI-compatible server answers `verbose_json` as some do: text alone."""
    bare: bool = False
    """The transcription's `data` object alone, without `success` and `message`."""
    credentials: tuple[str, str] | None = None
    """User and password that the auth service asks for (None: takes any)."""
    api_key: str | None = None
    """The key that the OpenAI-compatible server asks for (None: takes any)."""
    delays_s: dict[str, float] = field(default_factory=dict)
    """By service: how long a proper answer takes."""
