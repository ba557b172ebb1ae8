"""Transcription by OpenAI-compatible servers: `POST /v1/audio/transcriptions`."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, model_validator

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcripts import Segment, Transcript, Word, number_segments
from callpipeline.engines.http.messages import Request, Upload, parse_as
from callpipeline.engines.http.openai import FallbackVariants
from callpipeline.engines.http.service import HttpService
from callpipeline.engines.transcribe.alignment import (
    Passage,
    assign_words,
    clamp_time,
    clamp_words,
    passages_at_pauses,
    spread_over_speech,
    with_words,
)
from callpipeline.engines.transcribe.chunks import (
    divide,
    halve,
    parts_needed,
    speech_within,
    write_part,
)
from callpipeline.engines.transcribe.hallucinations import (
    drop_hallucinations,
    is_speechless,
)
from callpipeline.engines.transcribe.hints import fit_hints, hints_prompt

PATH = "/audio/transcriptions"


PROMPT_TOKENS = 224
"""Whisper reads no more of a prompt, and of a longer one only the end."""


LETTERS_PER_TOKEN = 3
"""Names have more tokens than other words, whose tokens have four letters or more."""


MAX_UPLOAD_BYTES = 25_000_000


LANGUAGE_CODES = {
    "english": "en",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
}


class ResponseFormat(NamedTuple):
    """Requested format of the response, and the units that it should have times for."""

    name: str
    timestamp_granularities: tuple[str, ...] = ()


RESPONSE_FORMATS = (
    ResponseFormat("verbose_json", ("word", "segment")),
    ResponseFormat("verbose_json"),
    ResponseFormat("json"),
)


class UploadPart(NamedTuple):
    """File to upload, and the interval of the call that it covers."""

    file: Path
    interval: Interval


class OpenaiWord(BaseModel):
    text: str = Field(validation_alias=AliasChoices("word", "text"))
    start: FiniteFloat | None = None
    end: FiniteFloat | None = None
    probability: FiniteFloat | None = Field(
        None, validation_alias=AliasChoices("probability", "confidence", "score")
    )
    logprob: FiniteFloat | None = None

    def timed(self, offset_s: float) -> Word | None:
        """Return the word with its times in the call; None without times or text."""
        text = to_storable(self.text)
        if self.start is None or self.end is None or not text:
            return None
        start_s = max(self.start, 0.0)
        end_s = max(start_s, self.end)
        return Word(
            text, round(offset_s + start_s, 3), round(offset_s + end_s, 3), self._confidence
        )

    @property
    def _confidence(self) -> float | None:
        probability = self.probability
        if probability is None:
            probability = _probability(self.logprob)
        return None if probability is None else round(min(max(probability, 0.0), 1.0), 4)


class OpenaiSegment(BaseModel):
    start: FiniteFloat
    end: FiniteFloat
    text: str = ""
    avg_logprob: FiniteFloat | None = None
    no_speech_prob: FiniteFloat | None = None
    words: list[OpenaiWord] | None = None

    @property
    def is_speechless(self) -> bool:
        if self.no_speech_prob is None or self.avg_logprob is None:
            return False
        return is_speechless(self.no_speech_prob, self.avg_logprob)

    def passage(self, offset_s: float) -> Passage:
        """Return the passage with its times in the call, and with words if it has any."""
        start_s = max(self.start, 0.0)
        end_s = max(start_s, self.end)
        passage = Passage(
            round(offset_s + start_s, 3),
            round(offset_s + end_s, 3),
            to_storable(self.text),
            confidence=_probability(self.avg_logprob),
        )
        return with_words(passage, timed_openai_words(self.words or (), offset_s))


class OpenaiTranscription(BaseModel):
    """Response to a transcription request, in any of the JSON formats."""

    text: str | None = None
    language: str | None = None
    segments: list[OpenaiSegment] | None = None
    words: list[OpenaiWord] | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.text is None and self.segments is None and self.words is None:
            raise ValueError("it has no text")
        return self

    @property
    def has_times(self) -> bool:
        """Return whether the text has times; without any text there is nothing to time."""
        return bool(self.segments or self.words) or not (self.text or "").strip()

    def passages(self, speech: Sequence[Interval], offset_s: float = 0.0) -> tuple[Passage, ...]:
        """Return the passages with times in the call, which are guessed if there are none."""
        text = to_storable(self.text or "")
        if self.segments:
            return self._segment_passages(text, speech, offset_s)
        if words := timed_openai_words(self.words or (), offset_s):
            return tuple(passages_at_pauses(text, words))
        return tuple(spread_over_speech(text, speech)) if text and speech else ()

    def _segment_passages(
        self, text: str, speech: Sequence[Interval], offset_s: float
    ) -> tuple[Passage, ...]:
        spoken = [segment for segment in self.segments or () if not segment.is_speechless]
        passages = tuple(segment.passage(offset_s) for segment in spoken)
        if text and spoken and not (self.words or any(passage.text for passage in passages)):
            return tuple(spread_over_speech(text, speech)) if speech else ()
        if any(passage.words for passage in passages) or not self.words or not spoken:
            return passages
        return assign_words(passages, timed_openai_words(self.words, offset_s))


class OpenaiTranscriber:
    """Uploads a channel; one over `max_upload_bytes` is uploaded in parts, one at a time.

    `language` is an ISO 639-1 code, or None if the server should detect it. `hints` are words that
    are likely to be said.
    """

    def __init__(
        self,
        service: HttpService,
        model: str,
        *,
        language: str | None = "en",
        hints: Sequence[str] = (),
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        self.name = f"openai {model}"
        self.origin = service.origin
        self._service = service
        self._model = model
        self._language = language
        self._hints = fit_hints(hints, _estimate_tokens, PROMPT_TOKENS)
        self._max_upload_bytes = max_upload_bytes
        self._formats = FallbackVariants(RESPONSE_FORMATS)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`. Raises EngineUnavailable, ServiceUnavailable, EngineRefused."""
        passages: list[Passage] = []
        engine, language = self.name, self._language
        async for part in self._parts(audio, about):
            answer = await self._upload(part, about)
            speech = speech_within(part.interval, about.speech)
            passages += answer.passages(speech, part.interval.start_s)
            language = language or _language_code(answer.language)
            if not answer.has_times:
                engine = f"{self.name}, times guessed"
        spoken = drop_hallucinations(passages, about.speech, self._hints)
        segments = number_segments(_segment(passage, about) for passage in spoken)
        return Transcript(about.channel, about.speaker, engine, segments, language or "en")

    async def _parts(self, audio: Path, about: ChannelAudio) -> AsyncIterator[UploadPart]:
        """Return the parts to upload, without those that have no speech."""
        whole = Interval(0.0, about.duration_s)
        count = parts_needed(audio.stat().st_size, self._max_upload_bytes)
        if count == 1:
            if about.speech:
                yield UploadPart(audio, whole)
            return
        left = list(divide(whole, about.speech, count))
        with tempfile.TemporaryDirectory(dir=audio.parent) as folder:
            file = Path(folder) / audio.name
            while left:
                part = left.pop(0)
                if not speech_within(part, about.speech):
                    continue
                size_bytes = await asyncio.to_thread(write_part, audio, part, file)
                halves = halve(part, about.speech)
                if size_bytes > self._max_upload_bytes and len(halves) > 1:
                    left[:0] = halves
                else:
                    yield UploadPart(file, part)

    async def _upload(self, part: UploadPart, about: ChannelAudio) -> OpenaiTranscription:
        async def send(format: ResponseFormat) -> OpenaiTranscription:
            file = Upload("file", f"{about.channel}.flac", part.file, "audio/flac")
            request = Request("POST", PATH, self._fields(format), file)
            return await self._service.send(request, parse_as(OpenaiTranscription))

        return await self._formats.send(send)

    def _fields(self, format: ResponseFormat) -> tuple[tuple[str, str], ...]:
        fields = [("model", self._model), ("response_format", format.name), ("temperature", "0")]
        fields += [("timestamp_granularities[]", unit) for unit in format.timestamp_granularities]
        if self._language:
            fields.append(("language", self._language))
        if self._hints:
            fields.append(("prompt", hints_prompt(self._hints)))
        return tuple(fields)


def _segment(passage: Passage, about: ChannelAudio) -> Segment:
    # A word may be slightly outside of its segment.
    start_s = min([passage.start_s, *(word.start_s for word in passage.words)])
    end_s = max([passage.end_s, *(word.end_s for word in passage.words)])
    edges = clamp_time(start_s, about), clamp_time(max(end_s, start_s), about)
    words = tuple(clamp_words(passage.words, about))
    return Segment(0, *edges, about.channel, about.speaker, passage.text, words)


def _estimate_tokens(text: str) -> int:
    return -(-len(text) // LETTERS_PER_TOKEN)


def _language_code(language: str | None) -> str | None:
    """Return the ISO code for `en` or `english`, as different servers write it; else None."""
    name = (language or "").strip().lower()
    return LANGUAGE_CODES.get(name) or (name if len(name) == 2 and name.isalpha() else None)


def timed_openai_words(words: Sequence[OpenaiWord], offset_s: float) -> tuple[Word, ...]:
    """Return the words that have times."""
    timed = (word.timed(offset_s) for word in words)
    return tuple(word for word in timed if word is not None)


def to_storable(text: str) -> str:
    """Return the text on one line, without NUL and lone surrogates, which Postgres rejects."""
    letters = (each for each in text if each != "\0" and not "\ud800" <= each <= "\udfff")
    return " ".join("".join(letters).split())


def _probability(logprob: float | None) -> float | None:
    return None if logprob is None else round(math.exp(min(logprob, 0.0)), 4)
