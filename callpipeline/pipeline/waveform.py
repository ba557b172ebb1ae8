"""The waveform of a call: what its stages kept, or measured now for calls of before."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from callpipeline.domain.audio import Channel, ChannelAudio, SplitRecording
from callpipeline.domain.peaks import Peaks
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.ports import ChannelPeaks
from callpipeline.storage.sound import Sound


@dataclass(frozen=True, slots=True)
class Lane:
    """One channel of the waveform; `is_kept` is False where it was measured just now."""

    channel: ChannelAudio
    peaks: Peaks
    is_kept: bool


def peaks_of(split: SplitRecording, folder: Path) -> ChannelPeaks:
    """The peaks of each `folder/<channel>.flac` that a splitter has left, whichever it was.

    What cannot be measured is left out: a call is worth as much without its waveform.
    """
    from callpipeline.engines.split.peaks import measure_peaks

    found: dict[Channel, Peaks] = {}
    for each in split.channels:
        with suppress(EngineUnavailable):
            file = folder / f"{each.channel}.flac"
            found[each.channel] = measure_peaks(file, each.sha256)
    return found


def waveform(sound: Sound, call_id: str, *, workspace: Path | None = None) -> Sequence[Lane]:
    """A lane for each channel. What was measured now is kept for the next time.

    Measuring takes about a second for each hour of a channel. Raises MissingObject where there is
    no sound (any more).
    """
    lanes = [_lane(sound, call_id, each, workspace) for each in sound.of(call_id).channels]
    measured = {lane.channel.channel: lane.peaks for lane in lanes if not lane.is_kept}
    if measured:
        sound.keep_peaks(call_id, measured)
    return lanes


def _lane(sound: Sound, call_id: str, about: ChannelAudio, workspace: Path | None) -> Lane:
    if kept := sound.peaks(call_id, about.channel, about.sha256):
        return Lane(about, kept, is_kept=True)
    return Lane(about, _measured(sound, call_id, about, workspace), is_kept=False)


def _measured(sound: Sound, call_id: str, about: ChannelAudio, workspace: Path | None) -> Peaks:
    """Of a copy: the whole of it is read."""
    from callpipeline.engines.split.peaks import measure_peaks

    with TemporaryDirectory(dir=workspace) as folder:
        copy = Path(folder) / "channel.flac"
        sound.fetch(call_id, about.channel, copy)
        return measure_peaks(copy, about.sha256)
