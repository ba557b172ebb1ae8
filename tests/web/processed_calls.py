"""Processed calls with audio, transcripts and mentions, stored without any engine."""

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
    compute_metrics,
    speaker_of,
)
from callpipeline.domain.calls.call import Registration, Stage
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.engines.split.channel_files import measure_peaks
from callpipeline.pipeline.processing.redaction import measure_channel_peaks
from callpipeline.storage.ports.results import StageWrite
from callpipeline.storage.results.results import Results
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
SegmentsByChannel = Mapping[Channel, tuple[Segment, ...]]
TEXTS: Mapping[Channel, Sequence[str]] = {
    Channel.LEFT: ["hello this is riverside telecom", "we can match that price for you"],
    Channel.RIGHT: ["i saw that vodafone is cheaper", "and the sky was blue that day"],
}
VODAFONE = a_mention("Vodafone", segment_index=0, char_start=11)
SKY = a_mention(
    "Sky", segment_index=1, char_start=8, status=MentionStatus.NEEDS_REVIEW, reason="no cue"
)


def segments(channel: Channel, texts: Sequence[str]) -> tuple[Segment, ...]:
    """Segments every ten seconds, those of the other channel five seconds later."""
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


def at_text(mention: Mention, by_channel: SegmentsByChannel) -> Mention:
    """Return the mention with the times of its words."""
    segment = by_channel[mention.channel][mention.segment_index]
    word = segment.words[segment.text[: mention.char_start].count(" ")]
    return replace(mention, start_s=word.start_s, end_s=word.end_s)


def tones(folder: Path, by_channel: SegmentsByChannel, duration_s: float) -> None:
    """Write a file for each channel with a tone during speech."""
    folder.mkdir(parents=True, exist_ok=True)
    for channel, own in by_channel.items():
        samples = np.zeros(round(duration_s * RATE_HZ), np.int16)
        for segment in own:
            begin, end = round(segment.start_s * RATE_HZ), round(segment.end_s * RATE_HZ)
            samples[begin:end] = np.sin(np.arange(end - begin) / 3) * 9000
        soundfile.write(folder / f"{channel}.flac", samples, RATE_HZ)


def split_of(
    folder: Path,
    by_channel: SegmentsByChannel,
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
            speech=tuple(Interval(s.start_s, s.end_s) for s in own),
        )
        for channel, own in by_channel.items()
    )
    form = AudioFormat("wav", "pcm_s16le", RATE_HZ, len(channels), duration_s)
    return SplitRecording(form, channels, tuple(flags))


@dataclass(frozen=True, slots=True)
class ProcessedCall:
    """A call to store: the text of each channel, and the mentions."""

    key: str = "call.wav"
    texts: Mapping[Channel, Sequence[str]] = field(default_factory=lambda: TEXTS)
    mentions: Sequence[Mention] = (VODAFONE, SKY)
    until: Stage = Stage.COMPETITOR_SENTIMENT
    duration_s: float = 20.0
    confidence: float = 0.9
    unheard_s: float | None = None
    flags: Sequence[QualityFlag] = ()

    @property
    def by_channel(self) -> SegmentsByChannel:
        return {channel: segments(channel, own) for channel, own in self.texts.items()}

    def store(self, storage: Storage, folder: Path) -> str:
        """Store all stages up to one and complete the call if it has all; return its id."""
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
        found = [at_text(mention, self.by_channel) for mention in self.mentions]
        match write.stage:
            case Stage.CHANNEL_AUDIO:
                tones(folder, self.by_channel, self.duration_s)
                split = split_of(folder, self.by_channel, self.duration_s, self.flags)
                results.save_audio(
                    write, split, folder, measure_channel_peaks(split, folder, measure_peaks)
                )
            case Stage.CALL_METRICS:
                channels = split_of(folder, self.by_channel, self.duration_s).channels
                results.save_metrics(write, compute_metrics(self.duration_s, channels, "by hand"))
            case Stage.TRANSCRIPTS:
                results.save_transcripts(write, list(self._transcripts()))
            case Stage.COMPETITOR_MENTIONS:
                results.save_mentions(write, found)
            case Stage.COMPETITOR_SENTIMENT:
                counted = [mention for mention in found if mention.counts]
                missing = [an_unjudged(mention) for mention in counted[1:]]
                results.save_sentiment(write, [a_judgement(m) for m in counted[:1]], missing)

    def _transcripts(self) -> Iterator[Transcript]:
        for channel, own in self.by_channel.items():
            sure = (
                replace(s, words=tuple(replace(w, confidence=self.confidence) for w in s.words))
                for s in own
            )
            speaker, heard = speaker_of(channel, "left"), tuple(sure)
            yield Transcript(channel, speaker, "by hand", heard, unheard_s=self.unheard_s)
