"""`/api/v1/transcriptions/`: transcribe a recording."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field, TypeAdapter

from callpipeline import wiring
from callpipeline.domain.audio import Channel, ChannelAudio
from callpipeline.domain.transcripts import Segment, Transcript, interleave
from callpipeline.engine_server.errors import error_responses, validate_fields
from callpipeline.engine_server.login import require_token
from callpipeline.engine_server.state import CurrentState, EngineServerState
from callpipeline.engines.ports import SupportsHints
from callpipeline.http_server.limits import run_until_disconnect
from callpipeline.http_server.multipart import UploadForm, UploadRules, multipart_body, receive_form

router = APIRouter(tags=["transcription"])


class TranscriptionFields(BaseModel):
    """Fields of the contract, and `vocabulary`. Parameters of other engines are ignored."""

    whisper_model: Annotated[str, Field(max_length=200)] = ""
    compression_ratio_threshold: float | None = None
    temperature: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    condition_on_previous_text: bool | None = None
    beam_size: Annotated[int | None, Field(ge=1)] = None
    best_of: Annotated[int | None, Field(ge=1)] = None
    word_timestamps: bool = True
    language: Annotated[
        str,
        Field(
            max_length=35, description="ISO 639 code; by default the language of the recogniser."
        ),
    ] = ""
    vocabulary: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(
            max_length=1000,
            description="Names as hints, one per field, for recognisers that support hints.",
        ),
    ] = []


class TimedWord(BaseModel):
    """A word with times in seconds; `probability` if the recogniser has one."""

    word: str
    start: float
    end: float
    probability: float | None = None


class TranscribedSegment(BaseModel):
    """A segment of speech; `channel` if the recording has several."""

    id: int
    start: float
    end: float
    text: str
    words: list[TimedWord] | None = None
    channel: Channel | None = None


class TranscriptionData(BaseModel):
    """The transcript; `model` is the recogniser."""

    model: str
    language: str
    text: str
    segments: list[TranscribedSegment]


class Transcription(BaseModel):
    """The response of the contract."""

    success: bool = True
    message: str
    data: TranscriptionData


_fields = TypeAdapter(TranscriptionFields)


@router.post(
    "/api/v1/transcriptions/",
    dependencies=[Depends(require_token)],
    response_model_exclude_none=True,
    openapi_extra=multipart_body(
        TranscriptionFields, file_field="audio_file", description="Audio of a channel."
    ),
    responses=error_responses(400, 401, 408, 413, 415, 422, 503, 504),
)
async def transcribe(request: Request, state: CurrentState) -> Transcription:
    """Transcribe a recording; the segments of several channels are in order of time.

    415: not audio; 422: no samples, another language, or an invalid field.
    """
    limit_s = state.options.serve_timeout_s
    async with state.transcriptions.admit():
        with state.folders.temporary(2 * limit_s) as folder:
            form = await receive_form(request, "audio_file", folder, UploadRules(limit_s))
            fields = _parse_fields(form, wiring.recogniser_language(state.options))
            work = _transcribe(state, form.file, folder / "channels", fields.vocabulary)
            transcripts = await run_until_disconnect(request, work, limit_s)
    return _response(transcripts, fields)


def _parse_fields(form: UploadForm, recogniser_language: str | None) -> TranscriptionFields:
    """Validate the fields; `recogniser_language` is None if the recogniser detects it."""
    plain: dict[str, Any] = {name: value for name, value in form.last().items() if value != ""}
    plain["vocabulary"] = [name for name in form.fields.get("vocabulary", []) if name]
    fields = validate_fields(_fields, plain)
    language = fields.language.casefold().replace("_", "-").split("-")[0]
    if language and recogniser_language and language != recogniser_language:
        raise HTTPException(
            422, f"language: this server's recogniser supports {recogniser_language} only."
        )
    return fields


async def _transcribe(
    state: EngineServerState, recording: Path, into: Path, names: Sequence[str]
) -> list[Transcript]:
    """Split, detect speech and transcribe, as in the pipeline."""
    engines, health = state.engines, state.health
    transcriber = engines.transcriber
    if names and isinstance(transcriber, SupportsHints):
        transcriber = transcriber.with_hints(names)
    into.mkdir()

    async def transcribe_channel(channel: ChannelAudio) -> Transcript:
        file = into / f"{channel.channel}.flac"
        with health.record("speech_detector"):
            speech = await engines.speech_detector.detect(file)
        with health.record("transcriber"):
            return await transcriber.transcribe(file, replace(channel, speech=speech))

    async with state.transcriptions.run():
        with health.record("splitter"):
            split = await engines.splitter.split(recording, into, state.options.agent_channel)
        return [await transcribe_channel(channel) for channel in split.channels]


def _response(transcripts: list[Transcript], fields: TranscriptionFields) -> Transcription:
    has_channels = len(transcripts) > 1
    segments = [
        _segment(number, segment, words=fields.word_timestamps, has_channels=has_channels)
        for number, segment in enumerate(interleave(transcripts))
    ]
    data = TranscriptionData(
        model=transcripts[0].engine,
        language=transcripts[0].language,
        text=" ".join(segment.text for segment in segments),
        segments=segments,
    )
    return Transcription(message=f"{len(segments)} segments transcribed.", data=data)


def _segment(
    number: int, segment: Segment, *, words: bool, has_channels: bool
) -> TranscribedSegment:
    timed = [
        TimedWord(word=w.text, start=w.start_s, end=w.end_s, probability=w.confidence)
        for w in segment.words
    ]
    return TranscribedSegment(
        id=number,
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        words=timed if words else None,
        channel=segment.channel if has_channels else None,
    )
