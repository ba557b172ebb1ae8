"""The transcription service: one request a channel, with a token where it asks for one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import ChannelAudio
from callpipeline.domain.transcript import Segment, Transcript, numbered
from callpipeline.engines.http.requests import Request, Upload
from callpipeline.engines.http.service import Service
from callpipeline.engines.transcribe.remote_answer import Heard, Part, heard
from callpipeline.engines.transcribe.timed_words import text_of, timed_words, within, words_within
from callpipeline.errors import EngineRefused

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
"""The form fields of the contract, with its values."""
BESIDE_S = 30.0
"""Whisper hears in windows of 30 s, the last of them filled up: so far times may be off. By more,
they are of something else."""
HINT_LENGTH = 600
"""Whisper keeps the end of a longer prompt (224 tokens), and the first hints matter most."""
ONE_BY_ONE = "vocabulary"
"""The field of our own server, which takes each hint in a field of its own."""
MOST_HINTS = 1000


class RemoteTranscriber:
    """Sends each channel to a service. `fields` are sent along, without those that are empty.

    `hints` are words that are likely to be said; they are sent in the field `hint_field`.
    """

    def __init__(
        self,
        service: Service,
        fields: Mapping[str, str] | None = None,
        *,
        hints: Sequence[str] = (),
        hint_field: str | None = None,
    ) -> None:
        self._service = service
        self.where = service.where
        self._fields = {
            name: value for name, value in {**FIELDS, **(fields or {})}.items() if value
        }
        self._form = (*self._fields.items(), *_hinted(hint_field, hints))
        self.name = _named(self._fields.get("whisper_model"))

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`; also raises EngineAway and EngineRefused."""
        language = self._fields.get("language", "en")
        if not about.speech:  # nothing to ask: recognisers invent words for silence
            return Transcript(about.channel, about.speaker, _named(None), language=language)

        def read(document: Any) -> Transcript:
            return transcript_of(heard(document), about, self.name, language)

        file = Upload("audio_file", f"{about.channel}.flac", audio, "audio/flac")
        return await self._service.ask(Request("POST", PATH, self._form, file), read)


def transcript_of(said: Heard, about: ChannelAudio, name: str, language: str) -> Transcript:
    """The channel's transcript. Raises EngineRefused for times that cannot be of this channel."""
    segments = (_segment(place, part, about) for place, part in enumerate(said.segments))
    return Transcript(
        about.channel,
        about.speaker,
        _named(said.model) if said.model else name,
        numbered(segment for segment in segments if segment.text),
        said.language or language,
    )


def _segment(place: int, part: Part, about: ChannelAudio) -> Segment:
    start_s, end_s = part.start, part.end
    where = f"its answer has times that cannot be (segments[{place}]"
    if end_s < start_s:
        raise EngineRefused(f"{where}: it ends before it starts)")
    if end_s < -BESIDE_S or start_s > about.duration_s + BESIDE_S:
        raise EngineRefused(f"{where}: it is said where the sound is over)")
    words = timed_words(part.text, part.given)
    return Segment(
        0,
        within(start_s, about),
        within(end_s, about),
        about.channel,
        about.speaker,
        text_of(part.text, words),
        tuple(words_within(words, about)),
    )


def _named(model: str | None) -> str:
    return f"remote {model}" if model else "remote"


def _hinted(field: str | None, hints: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Hints as form fields: as many as are heeded, the most important first."""
    if field == ONE_BY_ONE:
        yield from ((field, hint) for hint in hints[:MOST_HINTS])
        return
    kept: list[str] = []
    for hint in hints:
        if len(", ".join([*kept, hint])) > HINT_LENGTH:
            break
        kept.append(hint)
    if field and kept:
        yield field, ", ".join(kept)
