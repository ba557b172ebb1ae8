"""Diarizer for mono recordings: the voice encoder, two clusters and a smooth path through them."""

import asyncio
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from callpipeline.domain.audio import ChannelAudio
from callpipeline.domain.voices import VoiceTurn
from callpipeline.engines.diarize.clustering import (
    STEP_S,
    evidence,
    find_two_voices,
    most_likely_voices,
)
from callpipeline.engines.diarize.encoder import encode_speech

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SPEECH_S = 6.0
CONFIDENCE_PER_COSINE = 40.0
"""Log-odds of a turn's voice per unit of mean evidence; measured on the decision record's calls."""


class EncoderDiarizer:
    """Diarizer that separates two voices, on this machine."""

    name = "ge2e"

    async def diarize(self, audio: Path, about: ChannelAudio) -> tuple[VoiceTurn, ...]:
        """See `Diarizer`."""
        return await asyncio.to_thread(find_turns, audio, about)


def find_turns(audio: Path, about: ChannelAudio) -> tuple[VoiceTurn, ...]:
    """Return the turns of two voices; none if there is one voice, or less than 6 s of speech."""
    if sum(interval.duration_s for interval in about.speech) < MIN_SPEECH_S:
        return ()
    speech = encode_speech(audio, about)
    clusters = find_two_voices(speech)
    if clusters is None:
        return ()
    is_speech = np.zeros(round(about.duration_s / STEP_S) + 2, np.bool_)
    for interval in about.speech:
        is_speech[round(interval.start_s / STEP_S) : round(interval.end_s / STEP_S)] = True
    found = np.zeros(len(is_speech))
    known = evidence(speech, clusters)[: len(found)]
    found[: len(known)] = known
    turns = tuple(_turns(found, most_likely_voices(found, is_speech), is_speech))
    return turns if len({turn.voice for turn in turns}) == 2 else ()


def _turns(
    found: "NDArray[np.float64]", voices: "NDArray[np.int64]", is_speech: "NDArray[np.bool_]"
) -> Iterator[VoiceTurn]:
    """Join steps of speech of one voice; the voice that speaks first is number 1."""
    labels = np.where(is_speech, voices, -1).tolist()
    first_voice = next((label for label in labels if label >= 0), 0)
    at = 0
    for label, steps in groupby(labels):
        end = at + sum(1 for _ in steps)
        if label >= 0:
            agreement = float(found[at:end].mean()) * (1 if label == 1 else -1)
            confidence = 1 / (1 + np.exp(-CONFIDENCE_PER_COSINE * agreement))
            voice = 1 if label == first_voice else 2
            yield VoiceTurn(at * STEP_S, end * STEP_S, voice, float(confidence))
        at = end
