"""What a person should know about a recording, as sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callpipeline.domain.audio import AudioFormat, Channel, Flag, QualityFlag
from callpipeline.engines.split.levels import CLIPPED_SHARE, Level


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found while the recording was read."""

    format: AudioFormat
    levels: Mapping[Channel, Level]
    is_fake_stereo: bool = False


def flags_of(findings: Findings) -> tuple[QualityFlag, ...]:
    """The flags of a recording, those of the whole first."""
    return (
        *_layout_flags(findings),
        *_damage_flags(findings.format),
        *(flag for channel, level in findings.levels.items() for flag in _of(channel, level)),
    )


def _layout_flags(findings: Findings) -> Iterator[QualityFlag]:
    count = findings.format.channel_count
    if count == 1 and len(findings.levels) == 1:
        yield QualityFlag(Flag.MONO, "one channel: both speakers share it")
    if count > 2:
        yield QualityFlag(
            Flag.EXTRA_CHANNELS, f"{count} channels: the first two were used, the others were not"
        )
    if findings.is_fake_stereo:
        yield QualityFlag(
            Flag.FAKE_STEREO, "both channels carry the same sound: treated as one channel"
        )


def _damage_flags(format: AudioFormat) -> Iterator[QualityFlag]:
    declared_s = format.declared_duration_s or 0.0
    if declared_s - format.duration_s > _tolerance_s(format):
        yield QualityFlag(
            Flag.TRUNCATED,
            f"the audio ends after {format.duration_s:.1f} s although its header says "
            f"{declared_s:.1f} s: processed what is there",
        )
    if format.bad_packets:
        one = format.bad_packets == 1
        yield QualityFlag(
            Flag.DAMAGED,
            f"{format.bad_packets} packet{'' if one else 's'} could not be decoded and "
            f"{'is' if one else 'are'} missing from the audio",
        )


def _of(channel: Channel, level: Level) -> Iterator[QualityFlag]:
    name = "the recording" if channel is Channel.MIXED else f"the {channel} channel"
    if level.is_silent:
        yield QualityFlag(Flag.SILENT, f"nothing is to be heard on {name}", channel)
    if level.clipped_share > CLIPPED_SHARE:
        yield QualityFlag(
            Flag.CLIPPED,
            f"{level.clipped_share:.1%} of {name} is at full scale: it was recorded too loud",
            channel,
        )


def _tolerance_s(format: AudioFormat) -> float:
    """Headers of PCM and FLAC count samples; those of other codecs are rounded up by some frames,
    and differ from what is decoded by the encoder's delay."""
    if format.codec == "flac" or format.codec.startswith("pcm_"):
        return 0.1
    return max(0.5, 0.01 * (format.declared_duration_s or 0.0))
