"""`/api/v1/transcriptions/`: the words of a channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field, TypeAdapter

from callpipeline import wiring
from callpipeline.domain.audio import Channel, ChannelAudio
from callpipeline.domain.transcript import Segment, Transcript, interleave
from callpipeline.engines.ports import ListensForNames
from callpipeline.web.engine_server.answers import of_fields, problems
from callpipeline.web.engine_server.login import known
from callpipeline.web.engine_server.opened import Here, Opened
from callpipeline.web.forms.described import a_form
from callpipeline.web.forms.reading import Form, Terms, receive
from callpipeline.web.places import while_asked

router = APIRouter(tags=["transcription"])


class TranscriptionFields(BaseModel):
    """The contract's fields, and `vocabulary`. What other engines call for is read and not used."""

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
            max_length=35, description="As in ISO 639; the recogniser's own where there is none."
        ),
    ] = ""
    vocabulary: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(
            max_length=1000,
            description="Names to listen for, one a field; for recognisers that take them.",
        ),
    ] = []


class TimedWord(BaseModel):
    """A word in seconds from the start; `probability` where the recogniser gives one."""

    word: str
    start: float
    end: float
    probability: float | None = None


class Part(BaseModel):
    """A stretch of speech. `channel` is there where more than one was sent."""

    id: int
    start: float
    end: float
    text: str
    words: list[TimedWord] | None = None
    channel: Channel | None = None


class Words(BaseModel):
    """What was heard; `model` is the recogniser."""

    model: str
    language: str
    text: str
    segments: list[Part]


class Transcription(BaseModel):
    """As the contract has it."""

    success: bool = True
    message: str
    data: Words


_fields = TypeAdapter(TranscriptionFields)


@router.post(
    "/api/v1/transcriptions/",
    dependencies=[Depends(known)],
    response_model_exclude_none=True,
    openapi_extra=a_form(TranscriptionFields, file_field="audio_file", holds="A channel's sound."),
    responses=problems(400, 401, 408, 413, 415, 422, 503, 504),
)
async def transcribe(request: Request, here: Here) -> Transcription:
    """The words of a recording with their times. What has more than one channel is joined by time.

    415: not audio, 422: nothing in it, another language, or a field that makes no sense.
    """
    limit_s = here.options.serve_timeout_s
    async with here.transcriptions.place():
        with here.shelf.workplace(2 * limit_s) as folder:
            form = await receive(request, "audio_file", folder, Terms(limit_s))
            fields = _asked_for(form, wiring.language_heard(here.options))
            work = _heard(here, form.file, folder / "channels", fields.vocabulary)
            transcripts = await while_asked(request, work, limit_s)
    return _reply(transcripts, fields)


def _asked_for(form: Form, heard: str | None) -> TranscriptionFields:
    """`heard` is the language that the recogniser hears, None where it finds out."""
    plain: dict[str, Any] = {name: value for name, value in form.last().items() if value != ""}
    plain["vocabulary"] = [name for name in form.fields.get("vocabulary", []) if name]
    fields = of_fields(_fields, plain)
    asked = fields.language.casefold().replace("_", "-").split("-")[0]
    if asked and heard and asked != heard:
        raise HTTPException(422, f"language: the recogniser of this server hears {heard} only.")
    return fields


async def _heard(
    here: Opened, recording: Path, into: Path, names: Sequence[str]
) -> list[Transcript]:
    """As the pipeline does it: taken apart, where somebody speaks, and what is said there."""
    engines, health = here.engines, here.health
    transcriber = engines.transcriber
    if names and isinstance(transcriber, ListensForNames):
        transcriber = transcriber.listening_for(names)
    into.mkdir()

    async def hear(channel: ChannelAudio) -> Transcript:
        file = into / f"{channel.channel}.flac"
        with health.noted("speech_detector"):
            speech = await engines.speech_detector.detect(file)
        with health.noted("transcriber"):
            return await transcriber.transcribe(file, replace(channel, speech=speech))

    async with here.transcriptions.turn():
        with health.noted("splitter"):
            split = await engines.splitter.split(recording, into, here.options.agent_channel)
        return [await hear(channel) for channel in split.channels]


def _reply(transcripts: list[Transcript], fields: TranscriptionFields) -> Transcription:
    told_apart = len(transcripts) > 1
    segments = [
        _part(number, segment, words=fields.word_timestamps, told_apart=told_apart)
        for number, segment in enumerate(interleave(transcripts))
    ]
    heard = Words(
        model=transcripts[0].engine,
        language=transcripts[0].language,
        text=" ".join(segment.text for segment in segments),
        segments=segments,
    )
    return Transcription(message=f"{len(segments)} segments were heard.", data=heard)


def _part(number: int, segment: Segment, *, words: bool, told_apart: bool) -> Part:
    timed = [
        TimedWord(word=w.text, start=w.start_s, end=w.end_s, probability=w.confidence)
        for w in segment.words
    ]
    return Part(
        id=number,
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        words=timed if words else None,
        channel=segment.channel if told_apart else None,
    )
