"""Transcription by any server with OpenAI's API: `POST /v1/audio/transcriptions`."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from callpipeline.domain.audio import ChannelAudio, Interval, overlap_s
from callpipeline.domain.transcript import Segment, Transcript, Word, numbered
from callpipeline.engines.http.answers import shaped
from callpipeline.engines.http.openai import Forms
from callpipeline.engines.http.requests import Request, Upload
from callpipeline.engines.http.service import Service
from callpipeline.engines.transcribe.inventions import (
    fitted,
    is_echo,
    prompt_of,
    without_loops,
    without_repeats,
)
from callpipeline.engines.transcribe.openai_answer import Heard
from callpipeline.engines.transcribe.parts import divided, halves, needed, speech_in, write
from callpipeline.engines.transcribe.passages import Passage
from callpipeline.engines.transcribe.timed_words import within, words_within

PATH = "/audio/transcriptions"
PROMPT_TOKENS = 224
"""Whisper reads no more of a prompt, and of a longer one the end."""
LETTERS_A_TOKEN = 3
"""Names are cut into more tokens than other words, whose tokens have four letters or more."""
MOST_BYTES = 25_000_000


class Form(NamedTuple):
    """What is asked for: how it is written, and of what there are to be times."""

    written: str
    times_of: tuple[str, ...] = ()


FORMS = (Form("verbose_json", ("word", "segment")), Form("verbose_json"), Form("json"))


class Part(NamedTuple):
    """A file to send, and what of the call is in it."""

    file: Path
    of_call: Interval


class OpenaiTranscriber:
    """Asks a server for the words of a channel; one too large is sent in parts, one by one.

    `language` as ISO 639-1, None where the server is to find out; `hints` are words that are
    likely to be said; a file of more than `most_bytes` is cut.
    """

    def __init__(
        self,
        service: Service,
        model: str,
        *,
        language: str | None = "en",
        hints: Sequence[str] = (),
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.name = f"openai {model}"
        self.where = service.where
        self._service = service
        self._model = model
        self._language = language
        self._hints = fitted(hints, lambda text: -(-len(text) // LETTERS_A_TOKEN), PROMPT_TOKENS)
        self._most_bytes = most_bytes
        self._forms = Forms(FORMS)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`. Raises EngineUnavailable, EngineAway, EngineRefused."""
        passages: list[Passage] = []
        engine, language = self.name, self._language
        async for part in self._parts(audio, about):
            heard = await self._ask(part, about)
            speech = speech_in(part.of_call, about.speech)
            passages += heard.passages(speech, part.of_call.start_s)
            language = language or _code(heard.language)
            if not heard.has_times:
                engine = f"{self.name}, times guessed"
        said = believed(passages, about.speech, self._hints)
        segments = numbered(_segment(passage, about) for passage in said)
        return Transcript(about.channel, about.speaker, engine, segments, language or "en")

    async def _parts(self, audio: Path, about: ChannelAudio) -> AsyncIterator[Part]:
        """What there is to send: nothing of a channel, or a part, on which nobody speaks."""
        whole = Interval(0.0, about.duration_s)
        count = needed(audio.stat().st_size, self._most_bytes)
        if count == 1:
            if about.speech:
                yield Part(audio, whole)
            return
        left = list(divided(whole, about.speech, count))
        with tempfile.TemporaryDirectory(dir=audio.parent) as folder:
            file = Path(folder) / audio.name
            while left:
                part = left.pop(0)
                if not speech_in(part, about.speech):
                    continue
                size = await asyncio.to_thread(write, audio, part, file)
                smaller = halves(part, about.speech)
                if size > self._most_bytes and len(smaller) > 1:
                    left[:0] = smaller
                else:
                    yield Part(file, part)

    async def _ask(self, part: Part, about: ChannelAudio) -> Heard:
        async def ask(form: Form) -> Heard:
            file = Upload("file", f"{about.channel}.flac", part.file, "audio/flac")
            request = Request("POST", PATH, self._fields(form), file)
            return await self._service.ask(request, shaped(Heard))

        return await self._forms.ask(ask)

    def _fields(self, form: Form) -> tuple[tuple[str, str], ...]:
        fields = [("model", self._model), ("response_format", form.written), ("temperature", "0")]
        fields += [("timestamp_granularities[]", of) for of in form.times_of]
        if self._language:
            fields.append(("language", self._language))
        if self._hints:
            fields.append(("prompt", prompt_of(self._hints)))
        return tuple(fields)


def believed(
    passages: Iterable[Passage], speech: Sequence[Interval], hints: Sequence[str] = ()
) -> list[Passage]:
    """What was said, without what a recogniser makes up.

    That is what lies where nobody speaks, what repeats itself too often, and the hints read out.
    """
    heard = [passage for passage in passages if passage.text and _is_spoken(passage, speech)]
    words = without_repeats([without_loops(_words(passage)) for passage in heard])
    return [
        _left(passage, kept)
        for passage, kept in zip(heard, words, strict=True)
        if kept and not is_echo(kept, hints)
    ]


def _is_spoken(passage: Passage, speech: Sequence[Interval]) -> bool:
    if passage.within.duration_s > 0:
        return overlap_s([passage.within], speech) > 0
    return any(stretch.start_s <= passage.start_s <= stretch.end_s for stretch in speech)


def _words(passage: Passage) -> tuple[Word, ...]:
    """The words, also of a passage that knows no times of them."""
    edges = passage.start_s, passage.end_s
    return passage.words or tuple(Word(text, *edges) for text in passage.text.split())


def _left(passage: Passage, kept: tuple[Word, ...]) -> Passage:
    text = " ".join(word.text for word in kept)
    return replace(passage, text=text, words=kept if passage.words else ())


def _segment(passage: Passage, about: ChannelAudio) -> Segment:
    # A word may lie a little outside of the segment that was written with it.
    start_s = min([passage.start_s, *(word.start_s for word in passage.words)])
    end_s = max([passage.end_s, *(word.end_s for word in passage.words)])
    edges = within(start_s, about), within(max(end_s, start_s), about)
    words = tuple(words_within(passage.words, about))
    return Segment(0, *edges, about.channel, about.speaker, passage.text, words)


def _code(language: str | None) -> str | None:
    """Servers write a language as `en` or as `english`; what is neither is not told."""
    known = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it"}
    name = (language or "").strip().lower()
    return known.get(name) or (name if len(name) == 2 and name.isalpha() else None)
