"""Voices of mono recordings: diarization beside transcription, then roles.

Speakers are worth less than words: if diarization fails, the speakers of the call stay unknown.
"""

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path

from callpipeline.domain.audio import ChannelAudio, Speaker
from callpipeline.domain.speaker_roles import agent_voice
from callpipeline.domain.transcripts import Transcript
from callpipeline.domain.voices import VoiceTurn, assign_roles, label_voices
from callpipeline.engines.ports import Diarizer

log = logging.getLogger(__name__)


async def transcribe_voices(
    transcribing: Awaitable[Transcript],
    diarizer: Diarizer,
    audio: Path,
    channel: ChannelAudio,
    first_speaker: Speaker,
) -> Transcript:
    """Await a transcript, diarize meanwhile, and give its segments voices and roles."""
    diarizing = asyncio.ensure_future(_find_turns(diarizer, audio, channel))
    try:
        transcript = await transcribing
    finally:
        turns = await diarizing
    labelled = label_voices(transcript, turns)
    return assign_roles(labelled, _agent_voice(labelled, first_speaker))


async def _find_turns(
    diarizer: Diarizer, audio: Path, channel: ChannelAudio
) -> tuple[VoiceTurn, ...]:
    """Return the turns, or none if the diarizer fails; logs only the class of the error."""
    try:
        return await diarizer.diarize(audio, channel)
    except Exception as error:
        log.warning("Diarization failed with %s; the speakers stay unknown.", type(error).__name__)
        return ()


def _agent_voice(transcript: Transcript, first_speaker: Speaker) -> int | None:
    """Return the voice of the agent, by the source's setting, else by what the voices say."""
    match first_speaker:
        case Speaker.AGENT:
            return 1
        case Speaker.CUSTOMER:
            return 2
        case Speaker.UNKNOWN:
            return agent_voice(transcript.segments)
