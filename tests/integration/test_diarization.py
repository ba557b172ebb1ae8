"""Voices of sample calls, with the real encoder."""

import asyncio
import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from callpipeline.config import CHECKOUT
from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Speaker
from callpipeline.domain.voices import VoiceTurn
from callpipeline.engines.diarize.voices import EncoderDiarizer

SAMPLES = CHECKOUT / "samples"
RATE_HZ = 16_000


def read(recording: Path) -> np.ndarray:
    """Return the samples of a recording, shape (samples, channels)."""
    with av.open(str(recording)) as file:
        stream = file.streams.audio[0]
        resampler = av.AudioResampler("fltp")
        frames = [f for frame in file.decode(stream) for f in resampler.resample(frame)]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T
        return soxr.resample(samples, stream.rate, RATE_HZ)


def turns_of(samples: np.ndarray, said: list[dict], folder: Path) -> tuple[VoiceTurn, ...]:
    audio = folder / "mixed.flac"
    soundfile.write(audio, np.clip(samples, -1, 1), RATE_HZ)
    loudness_dbfs = 10 * np.log10(np.mean(samples**2))
    speech = tuple(Interval(turn["start_s"], turn["end_s"]) for turn in said)
    about = ChannelAudio(
        Channel.MIXED,
        Speaker.UNKNOWN,
        RATE_HZ,
        len(samples) / RATE_HZ,
        loudness_dbfs,
        0,
        "",
        speech,
    )
    return asyncio.run(EncoderDiarizer().diarize(audio, about))


def right_s(turns: tuple[VoiceTurn, ...], said: list[dict]) -> float:
    """Return the seconds that have the voice of their speaker, the first speaker being voice 1."""
    return sum(
        max(0.0, min(turn.end_s, each["end_s"]) - max(turn.start_s, each["start_s"]))
        for turn in turns
        for each in said
        if (turn.voice == 1) == (each["speaker"] == said[0]["speaker"])
    )


@pytest.mark.parametrize("name", ["02-coming-from-virgin.mp3", "08-mono-billing.wav"])
def test_the_voices_of_a_mono_call_are_told_apart(name: str, tmp_path: Path) -> None:
    said = json.loads((SAMPLES / name).with_suffix(".truth.json").read_text())["turns"]
    turns = turns_of(read(SAMPLES / name).mean(axis=1), said, tmp_path)
    assert right_s(turns, said) > 0.95 * sum(each["end_s"] - each["start_s"] for each in said)
    assert turns[0].voice == 1
    assert all(0.5 < turn.confidence <= 1 for turn in turns)


def test_one_voice_has_no_turns(tmp_path: Path) -> None:
    name = "02-coming-from-virgin.mp3"
    said = json.loads((SAMPLES / name).with_suffix(".truth.json").read_text())["turns"]
    of_agent = [each for each in said if each["speaker"] == "agent"]
    samples = read(SAMPLES / name)
    channel = 0 if of_agent[0]["channel"] == "left" else 1
    assert turns_of(samples[:, channel], of_agent, tmp_path) == ()
