"""Remote transcriber: a service that transcribes one channel per request."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    FiniteFloat,
    StringConstraints,
    model_validator,
)

from callpipeline.domain.audio import Channel, ChannelAudio, Speaker, speaker_of
from callpipeline.domain.transcripts import Segment, Transcript, number_segments
from callpipeline.engines.http.messages import (
    Request,
    Upload,
    parse_as,
    require_storable,
    unwrap,
)
from callpipeline.engines.http.service import HttpService
from callpipeline.engines.transcribe.alignment import (
    RecognizedWord,
    clamp_time,
    clamp_words,
    text_of,
    timed_words,
)
from callpipeline.errors import EngineRefused, EngineUnavailable, TranscriptInvalid

PATH = "/api/v1/transcriptions/"
FIELDS: Mapping[str, str] = {
    "whisper_model": "large-v3",
    "compression_ratio_threshold": "1.8",
    "temperature": "0",
    "logprob_threshold": "-0.8",
    "no_speech_threshold": "0.7",
    "condition_on_previous_text": "false",
    "beam_size": "1",
    "best_of": "1",
    "word_timestamps": "true",
    "language": "en",
}
"""Form fields of the contract, with its values."""
TIME_TOLERANCE_S = 30.0
"""Whisper pads the last window to 30 s, so times may exceed the channel by this much. Beyond it,
they belong to other audio."""
MAX_PROMPT_LETTERS = 600
"""Whisper only reads the end of a longer prompt (224 tokens), and the first hints matter most."""
REPEATED_HINT_FIELD = "vocabulary"
"""Field of our own engine server, which takes one hint per field."""
MAX_HINTS = 1000


class RemoteTranscriber:
    """Sends each channel to a service, with `fields` added to those of the contract.

    Empty fields are left out. `hints` are words that are likely to be said; they are sent in
    `hint_field`.
    """

    def __init__(
        self,
        service: HttpService,
        fields: Mapping[str, str] | None = None,
        *,
        hints: Sequence[str] = (),
        hint_field: str | None = None,
    ) -> None:
        self._service = service
        self.origin = service.origin
        self._fields = {
            name: value for name, value in {**FIELDS, **(fields or {})}.items() if value
        }
        self._form = (*self._fields.items(), *_hint_fields(hint_field, hints))
        self.name = _engine_name(self._fields.get("whisper_model"))

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`; also raises ServiceUnavailable and EngineRefused."""
        language = self._fields.get("language", "en")
        if not about.speech:  # recognisers hallucinate words for silence
            return Transcript(about.channel, about.speaker, _engine_name(None), language=language)

        def parse(document: Any) -> Transcript:
            return transcript_of(parse_transcription(document), about, self.name, language)

        file = Upload("audio_file", f"{about.channel}.flac", audio, "audio/flac")
        return await self._service.send(Request("POST", PATH, self._form, file), parse)


def _number(value: object) -> float | None:
    """Return a finite number, else None, so that a word with an invalid time has no time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # JSON allows integers of any length
        return None


def _probability(value: object) -> float | None:
    number = _number(value)
    return None if number is None else min(max(number, 0.0), 1.0)


StorableText = Annotated[str, AfterValidator(require_storable)]
ModelName = Annotated[
    str, StringConstraints(max_length=100, strip_whitespace=True), AfterValidator(require_storable)
]
Language = Annotated[str, StringConstraints(max_length=35), AfterValidator(require_storable)]
MaybeTime = Annotated[float | None, BeforeValidator(_number)]


class RemoteWord(BaseModel):
    word: StorableText
    start: MaybeTime = None
    end: MaybeTime = None
    probability: Annotated[float | None, BeforeValidator(_probability)] = None


class RemoteSegment(BaseModel):
    """Segment with times in seconds from the start of the channel."""

    start: FiniteFloat
    end: FiniteFloat
    text: StorableText
    words: list[RemoteWord] | None = None

    @property
    def recognised_words(self) -> list[RecognizedWord]:
        return [RecognizedWord(w.word, w.start, w.end, w.probability) for w in self.words or ()]


class RemoteTranscription(BaseModel):
    """Response of the service; `model` and `language` are optional."""

    segments: list[RemoteSegment]
    text: str | None = None
    model: ModelName | None = None
    language: Language | None = None

    @model_validator(mode="after")
    def _has_segments(self) -> Self:
        """Reject a text without segments, which would look like silence."""
        if not self.segments and self.text and self.text.strip():
            raise ValueError("it has a text but no segments")
        return self


def parse_transcription(document: Any) -> RemoteTranscription:
    """Parse the response of the contract, or its `data` alone. Raises EngineRefused.

    The service's own error message is left out, since it may quote the call.
    """
    if isinstance(document, dict) and document.get("success") is False:
        raise EngineRefused("it reported that it could not transcribe this (success: false)")
    if isinstance(document, dict) and "data" in document:
        document = unwrap(document["data"])
    return parse_as(RemoteTranscription)(document)


def transcript_of(
    answer: RemoteTranscription, about: ChannelAudio, engine: str, language: str
) -> Transcript:
    """Return the channel's transcript. Raises EngineRefused for times outside of the channel."""
    segments = (_segment(index, each, about) for index, each in enumerate(answer.segments))
    return Transcript(
        about.channel,
        about.speaker,
        _engine_name(answer.model) if answer.model else engine,
        number_segments(segment for segment in segments if segment.text),
        answer.language or language,
    )


def parse_old_transcript(content: bytes, channel: Channel, agent_channel: str) -> Transcript:
    """Return a transcript that the old system stored: a response of the service, or its `data`.

    Raises TranscriptInvalid, without any of the text.
    """
    try:
        document = unwrap(json.loads(content))
    except (ValueError, RecursionError):
        raise TranscriptInvalid("it is not JSON") from None
    text = document.get("text") if isinstance(document, dict) else None
    if document in ([], {}, None):
        document = {"segments": []}
    elif isinstance(text, str) and text.strip() and not document.get("segments"):
        document = {**document, "segments": [{"start": 0, "end": 0, "text": text}]}
    try:
        answer = parse_transcription(document)
    except (EngineRefused, EngineUnavailable) as error:
        raise TranscriptInvalid(str(error)) from None
    speaker = speaker_of(channel, agent_channel)
    segments = (_old_segment(each, channel, speaker) for each in answer.segments)
    found = number_segments(segment for segment in segments if segment.text)
    name = _engine_name(answer.model)
    return Transcript(channel, speaker, name, found, answer.language or "en")


def _old_segment(segment: RemoteSegment, channel: Channel, speaker: Speaker) -> Segment:
    """Return a segment; its audio, which would limit its times, is not known."""
    start_s = max(segment.start, 0.0)
    words = timed_words(segment.text, segment.recognised_words)
    text = text_of(segment.text, words)
    return Segment(0, start_s, max(segment.end, start_s), channel, speaker, text, words)


def _segment(index: int, segment: RemoteSegment, about: ChannelAudio) -> Segment:
    start_s, end_s = segment.start, segment.end
    problem = f"its response has invalid times (segments[{index}]"
    if end_s < start_s:
        raise EngineRefused(f"{problem}: it ends before it starts)")
    if end_s < -TIME_TOLERANCE_S or start_s > about.duration_s + TIME_TOLERANCE_S:
        raise EngineRefused(f"{problem}: it is outside of the audio)")
    words = timed_words(segment.text, segment.recognised_words)
    return Segment(
        0,
        clamp_time(start_s, about),
        clamp_time(end_s, about),
        about.channel,
        about.speaker,
        text_of(segment.text, words),
        tuple(clamp_words(words, about)),
    )


def _engine_name(model: str | None) -> str:
    return f"remote {model}" if model else "remote"


def _hint_fields(field: str | None, hints: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return hints as form fields, as many as the service uses."""
    if field == REPEATED_HINT_FIELD:
        yield from ((field, hint) for hint in hints[:MAX_HINTS])
        return
    fitting: list[str] = []
    for hint in hints:
        if len(", ".join([*fitting, hint])) > MAX_PROMPT_LETTERS:
            break
        fitting.append(hint)
    if field and fitting:
        yield field, ", ".join(fitting)
