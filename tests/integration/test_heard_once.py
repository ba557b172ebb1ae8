"""The control recording names one competitor once, whatever recorders do to it.

Its customer says that she thinks of switching to Three. However the call is recorded, that is one
mention: by the customer where the sides or the voices differ, and never by the agent.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.transcripts import Transcript
from callpipeline.domain.utterances import form_utterances
from callpipeline.engines.diarize.voices import EncoderDiarizer
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.whisper import WhisperTranscriber
from callpipeline.engines.transcribe.whisper_windows import WhisperModelConfig
from callpipeline.pipeline.processing.voices import transcribe_voices

DATA = Path(__file__).parents[1] / "data" / "recordings"
RATE_HZ = 8000
CATALOG = Catalog((Competitor("Three", ("three mobile",), ambiguous=True),))
Sound = NDArray[Any]


def late(sound: Sound, samples: int) -> Sound:
    return np.concatenate((np.zeros(samples), sound[: len(sound) - samples]))


def variants(agent: Sound, customer: Sound) -> dict[str, tuple[Sound, ...]]:
    mono = agent + customer
    return {
        "control": (agent, customer),
        "mono": (mono,),
        "copy": (mono, mono),
        "late inverted softer copy": (mono, -0.4 * late(mono, 400)),
        "copy with an offset": (mono, mono + 0.1),
        "leak of -1 dB": (agent + 0.89 * customer, customer),
        "leak of -12 dB, late": (agent + 0.25 * late(customer, 320), customer),
        "leak of -24 dB, inverted": (agent - 0.063 * customer, customer),
        "leak of -34 dB": (agent + 0.02 * customer, customer),
        "leaks both ways": (agent + 0.3 * customer, customer + 0.3 * agent),
        "third channel": (agent, agent[::-1] * 0.01, customer),
        "silent channels": (agent * 0, agent, agent * 0, customer),
    }


def combinations(agent: Sound, customer: Sound) -> dict[str, tuple[Sound, ...]]:
    """Return what recorders do at once: leaks with delays, filters and offsets, and copies."""
    mono = agent + customer
    muffled = np.convolve(customer, np.hanning(9) / 4)[: len(customer)]
    fast = np.interp(np.arange(len(mono)) * (1 + 300e-6), np.arange(len(mono)), mono)
    return {
        "leak of -6 dB, inverted, muffled, with an offset": (
            agent - 0.5 * late(muffled, 7) + 0.05,
            customer,
        ),
        "leak of -18 dB into a softer side, late": (
            0.3 * agent + 0.04 * late(customer, 1600),
            0.3 * customer,
        ),
        "leaks both ways of -6 and -20 dB, late": (
            agent + 0.5 * late(customer, 80),
            customer + 0.1 * late(agent, 800),
        ),
        "leak and a third channel with the sum": (agent + 0.1 * customer, customer, mono),
        "soft customer": (agent, 0.03 * customer),
        "copy by another clock, inverted": (mono, -0.5 * fast),
        "copies on four channels": (mono, 0.5 * late(mono, 40), -mono, mono * 0),
    }


CODECS = [("libopus", "ogg", 24_000), ("mp3", "mp3", 32_000), ("aac", "mp4", 48_000)]


def encode(path: Path, sound: Sound, codec: str, bit_rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "stereo", bit_rate
        samples = np.rint(sound * 32_767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
        frame.sample_rate = RATE_HZ
        container.mux((*stream.encode(frame), *stream.encode(None)))


@pytest.fixture(scope="module")
def sides() -> tuple[Sound, Sound]:
    sound, _ = soundfile.read(DATA / "c00-control.flac")
    return sound[:, 0] * 0.5, sound[:, 1] * 0.5


def hear(model: Path, folder: Path, recordings: list[Path]) -> Iterator[tuple[Mention, ...]]:
    """Yield the counted mentions of each recording."""

    async def transcribe(transcriber: WhisperTranscriber, folder: Path, channel: ChannelAudio):
        audio = folder / f"{channel.channel}.flac"
        about = replace(channel, speech=await SileroSpeechDetector().detect(audio))
        work = transcriber.transcribe(audio, about)
        if channel.channel is not Channel.MIXED:
            return await work, about.speech
        diarizer, unknown = EncoderDiarizer(), Speaker.UNKNOWN
        return await transcribe_voices(work, diarizer, audio, about, unknown), about.speech

    async def run() -> list[tuple[Mention, ...]]:
        found: list[tuple[Mention, ...]] = []
        matcher = Matcher(CATALOG)
        async with WhisperTranscriber(WhisperModelConfig(model), 1) as transcriber:
            for number, recording in enumerate(recordings):
                into = folder / str(number)
                split = await LocalSplitter().split(recording, into, "left")
                heard: list[tuple[Transcript, tuple[Interval, ...]]] = [
                    await transcribe(transcriber, into, channel) for channel in split.channels
                ]
                transcripts = form_utterances([t for t, _ in heard], matcher.splits_name)
                speech = {transcript.channel: intervals for transcript, intervals in heard}
                mentions = find_mentions(transcripts, matcher, speech)
                found.append(tuple(mention for mention in mentions if mention.counts))
        return found

    yield from asyncio.run(run())


def test_each_variant_has_one_mention(
    tiny_en_model: Path, sides: tuple[Sound, Sound], tmp_path: Path
):
    names, files = [], []
    for name, channels in variants(*sides).items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.stack(channels, axis=1), RATE_HZ)
        names.append(name)
        files.append(path)
    found = dict(zip(names, hear(tiny_en_model, tmp_path, files), strict=True))
    assert {name: len(mentions) for name, mentions in found.items()} == dict.fromkeys(names, 1)
    speakers = {name: mentions[0].speaker for name, mentions in found.items()}
    assert Speaker.AGENT not in speakers.values()
    shared = {"mono", "copy", "late inverted softer copy", "copy with an offset", "third channel"}
    assert {name: speakers[name] for name in names if name not in shared} == dict.fromkeys(
        [name for name in names if name not in shared], Speaker.CUSTOMER
    )


def test_what_recorders_do_at_once_leaves_one_mention(
    tiny_en_model: Path, sides: tuple[Sound, Sound], tmp_path: Path
):
    """In G.711, and in files that were appended, of which the second one is silent."""
    variants, files = combinations(*sides), list[Path]()
    for number, channels in enumerate(variants.values()):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.stack(channels, axis=1), RATE_HZ, ("ULAW", "ALAW")[number % 2])
        if number % 3 == 0:
            silence, tail = np.zeros((RATE_HZ, len(channels))), tmp_path / "tail.flac"
            soundfile.write(tail, silence, RATE_HZ)
            path.write_bytes(path.read_bytes() + tail.read_bytes())
        files.append(path)
    found = dict(zip(variants, hear(tiny_en_model, tmp_path, files), strict=True))
    speakers = {name: [m.speaker for m in mentions] for name, mentions in found.items()}
    copies = {name: by for name, by in speakers.items() if name.startswith("cop")}
    assert speakers == {name: [Speaker.CUSTOMER] for name in variants} | copies
    # Of one channel the voices tell, or nothing does.
    assert all(by in ([Speaker.CUSTOMER], [Speaker.UNKNOWN]) for by in copies.values())


def test_each_codec_has_one_mention(
    tiny_en_model: Path, sides: tuple[Sound, Sound], tmp_path: Path
):
    files = [DATA / "a22-opus-24k-joint-stereo.webm", DATA / "a11-gap.webm"]
    for codec, suffix, bit_rate in CODECS:
        files.append(tmp_path / f"call.{suffix}")
        encode(files[-1], np.stack(sides, axis=1), codec, bit_rate)
    found = hear(tiny_en_model, tmp_path, files)
    assert [[m.speaker for m in mentions] for mentions in found] == [[Speaker.CUSTOMER]] * 5
