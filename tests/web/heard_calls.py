"""Calls with sound, words and mentions, as a run leaves them; nothing is recognised."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile

from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    ChannelAudio,
    Interval,
    QualityFlag,
    SplitRecording,
    speaker_of,
)
from callpipeline.domain.call import Registration, Stage
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.metrics import measure
from callpipeline.domain.transcript import Segment, Transcript
from callpipeline.pipeline.waveform import peaks_of
from callpipeline.storage.ports import StageWrite
from callpipeline.storage.results import Results
from callpipeline.wiring import Storage
from tests.builders import (
    a_judgement,
    a_mention,
    a_recording,
    a_segment,
    a_write,
    an_unjudged,
)

RATE_HZ = 8000
Said = Mapping[Channel, tuple[Segment, ...]]
SAID: Mapping[Channel, Sequence[str]] = {
    Channel.LEFT: ["hello this is riverside telecom", "we can match that price for you"],
    Channel.RIGHT: ["i saw that vodafone is cheaper", "and the sky was blue that day"],
}
VODAFONE = a_mention("Vodafone", segment_index=0, char_start=11)
SKY = a_mention("Sky", segment_index=1, char_start=8, status=MentionStatus.UNSURE, reason="no cue")


def segments(channel: Channel, texts: Sequence[str]) -> tuple[Segment, ...]:
    """Ten seconds apart, the other side five seconds later; words half a second apart."""
    later_s = 5.0 if channel is Channel.RIGHT else 0.0
    return tuple(
        _later(a_segment(text, index=index, channel=channel), later_s)
        for index, text in enumerate(texts)
    )


def _later(segment: Segment, by_s: float) -> Segment:
    words = (
        replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)
        for word in segment.words
    )
    return replace(
        segment,
        start_s=segment.start_s + by_s,
        end_s=segment.end_s + by_s,
        words=tuple(words),
    )


def at_word(mention: Mention, said: Said) -> Mention:
    """The mention when its word is said."""
    segment = said[mention.channel][mention.segment_index]
    word = segment.words[segment.text[: mention.char_start].count(" ")]
    return replace(mention, start_s=word.start_s, end_s=word.end_s)


def tones(folder: Path, said: Said, duration_s: float) -> None:
    """A file for each channel, which sounds where somebody speaks."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, of in said.items():
        samples = np.zeros(round(duration_s * RATE_HZ), np.int16)
        for segment in of:
            begin, end = round(segment.start_s * RATE_HZ), round(segment.end_s * RATE_HZ)
            samples[begin:end] = np.sin(np.arange(end - begin) / 3) * 9000
        soundfile.write(folder / f"{channel}.flac", samples, RATE_HZ)


def split_of(
    folder: Path,
    said: Said,
    duration_s: float,
    flags: Sequence[QualityFlag] = (),
) -> SplitRecording:
    channels = tuple(
        ChannelAudio(
            channel=channel,
            speaker=speaker_of(channel, "left"),
            sample_rate_hz=RATE_HZ,
            duration_s=duration_s,
            rms_dbfs=-24.0,
            size_bytes=(folder / f"{channel}.flac").stat().st_size,
            sha256=sha256((folder / f"{channel}.flac").read_bytes()).hexdigest(),
            speech=tuple(Interval(s.start_s, s.end_s) for s in of),
        )
        for channel, of in said.items()
    )
    form = AudioFormat("wav", "pcm_s16le", RATE_HZ, len(channels), duration_s)
    return SplitRecording(form, channels, tuple(flags))


@dataclass(frozen=True, slots=True)
class Heard:
    """A call to be stored: what is said on each channel, and which competitors are named."""

    key: str = "call.wav"
    texts: Mapping[Channel, Sequence[str]] = field(default_factory=lambda: SAID)
    mentions: Sequence[Mention] = (VODAFONE, SKY)
    until: Stage = Stage.COMPETITOR_SENTIMENT
    duration_s: float = 20.0
    confidence: float = 0.9
    flags: Sequence[QualityFlag] = ()

    @property
    def said(self) -> Said:
        return {channel: segments(channel, of) for channel, of in self.texts.items()}

    def store(self, storage: Storage, folder: Path) -> str:
        """All stages up to one; the call is complete if it has all. Returns its id."""
        recording = a_recording(self.key, etag=sha256(self.key.encode()).hexdigest()[:8])
        known = {"agent": "Anna <Smith>", "direction": "inbound"}
        storage.ledger.register([Registration(recording, metadata=known)])
        call_id = recording.call_id
        storage.claims.claim([call_id], "run-1")
        storage.claims.begin(call_id, "run-1")
        for stage in Stage:
            self._store(storage.results, folder, a_write(call_id, stage))
            if stage is self.until:
                break
        else:
            raise AssertionError(f"no stage {self.until}")
        if self.until is Stage.COMPETITOR_SENTIMENT:
            storage.claims.complete(call_id, "run-1")
        return call_id

    def _store(self, results: Results, folder: Path, write: StageWrite) -> None:
        found = [at_word(mention, self.said) for mention in self.mentions]
        match write.stage:
            case Stage.CHANNEL_AUDIO:
                tones(folder, self.said, self.duration_s)
                split = split_of(folder, self.said, self.duration_s, self.flags)
                results.save_audio(write, split, folder, peaks_of(split, folder))
            case Stage.CALL_METRICS:
                channels = split_of(folder, self.said, self.duration_s).channels
                results.save_metrics(write, measure(self.duration_s, channels, "by hand"))
            case Stage.TRANSCRIPTS:
                results.save_transcripts(write, list(self._transcripts()))
            case Stage.COMPETITOR_MENTIONS:
                results.save_mentions(write, found)
            case Stage.COMPETITOR_SENTIMENT:
                counted = [mention for mention in found if mention.counts]
                missing = [an_unjudged(mention) for mention in counted[1:]]
                results.save_sentiment(write, [a_judgement(m) for m in counted[:1]], missing)

    def _transcripts(self) -> Iterator[Transcript]:
        for channel, of in self.said.items():
            sure = (
                replace(s, words=tuple(replace(w, confidence=self.confidence) for w in s.words))
                for s in of
            )
            yield Transcript(channel, speaker_of(channel, "left"), "by hand", tuple(sure))
