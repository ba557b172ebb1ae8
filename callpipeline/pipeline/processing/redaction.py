"""Redaction of calls in processing: numbers are masked in transcripts and muted in audio.

The original recording stays as it is in its source. Of what is stored here, only the audio of
channels ever has a masked number: until the call is transcribed, and it can't be played until then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Peaks, SplitRecording
from callpipeline.domain.calls.call import Call, Stage
from callpipeline.domain.redaction.masking import (
    MaskedSpan,
    RedactionPolicy,
    count_kinds,
    mute_intervals,
    redact,
)
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.ports import AudioMuter, PeakMeter
from callpipeline.errors import EngineUnavailable, MissingObject
from callpipeline.pipeline.processing.summaries import SummaryValue
from callpipeline.pipeline.processing.workspace import CallWorkspace
from callpipeline.storage.ports.results import ChannelPeaks, Redaction, ResultStore

NO_REDACTION = RedactionPolicy()


@dataclass(frozen=True, slots=True)
class Redactor:
    """Masks and mutes by the policy of each bucket; without one, nothing new."""

    results: ResultStore
    mute: AudioMuter
    measure_peaks: PeakMeter
    policies: Mapping[str, RedactionPolicy] = field(default_factory=dict[str, RedactionPolicy])

    def policy(self, call: Call) -> RedactionPolicy:
        return self.policies.get(call.recording.bucket, NO_REDACTION)

    def withholds(self, call: Call) -> bool:
        """Return whether the audio of a call can't be played before it is transcribed.

        Audio that is only split again has been muted already.
        """
        return bool(self.policy(call).kinds) and Stage.TRANSCRIPTS not in call.stages_done

    async def mute_again(self, call: Call, split: SplitRecording, folder: Path) -> SplitRecording:
        """Mute new channel files, in place, where an earlier transcript had numbers."""
        spans = await asyncio.to_thread(self.results.redactions, call.call_id)
        if not spans:
            return split
        muted = await asyncio.to_thread(
            self._mute, split.channels, mute_intervals(spans), folder, folder / "muted"
        )
        for each in muted:
            (folder / "muted" / _file_name(each)).replace(folder / _file_name(each))
        return replace(split, channels=muted)

    async def redact(
        self,
        workspace: CallWorkspace,
        transcripts: Sequence[Transcript],
        is_corrected: bool = False,
    ) -> tuple[tuple[Transcript, ...], Redaction | None]:
        """Return the transcripts masked, and what to store with them; None to change nothing."""
        policy, call_id = self.policy(workspace.call), workspace.call.call_id
        earlier = await asyncio.to_thread(self.results.redactions, call_id)
        if not policy.kinds and not earlier:
            return tuple(transcripts), None
        masked, spans = await asyncio.to_thread(redact, transcripts, policy, earlier)
        redaction = await self._redaction(workspace, spans)
        return masked, replace(redaction, policy=policy, is_corrected=is_corrected)

    async def _redaction(
        self, workspace: CallWorkspace, spans: tuple[MaskedSpan, ...]
    ) -> Redaction:
        try:
            channels = (await workspace.audio()).channels if spans else ()
            for each in channels:
                await workspace.channel_file(each.channel)
        except MissingObject:
            # Imported calls have no audio, and retention may have deleted it.
            channels = ()
        if not channels:
            return Redaction(spans)
        folder = workspace.folder / "muted"
        muted = await asyncio.to_thread(
            self._mute, channels, mute_intervals(spans), workspace.folder, folder
        )
        split = replace(await workspace.audio(), channels=muted)
        peaks = await asyncio.to_thread(measure_channel_peaks, split, folder, self.measure_peaks)
        return Redaction(spans, muted, folder, peaks)

    def _mute(
        self,
        channels: Sequence[ChannelAudio],
        intervals: Sequence[Interval],
        folder: Path,
        into: Path,
    ) -> tuple[ChannelAudio, ...]:
        into.mkdir(exist_ok=True)
        muted: list[ChannelAudio] = []
        for each in channels:
            size_bytes, sha256 = self.mute(folder / _file_name(each), intervals, into)
            muted.append(replace(each, size_bytes=size_bytes, sha256=sha256))
        return tuple(muted)


def measure_channel_peaks(split: SplitRecording, folder: Path, measure: PeakMeter) -> ChannelPeaks:
    """Measure the peaks of each `folder/<channel>.flac`.

    Channels that can't be measured are left out: a waveform is not worth failing a call.
    """
    peaks: dict[Channel, Peaks] = {}
    for each in split.channels:
        with suppress(EngineUnavailable):
            file = folder / f"{each.channel}.flac"
            peaks[each.channel] = measure(file, each.sha256)
    return peaks


def summarize_redaction(redaction: Redaction | None) -> Mapping[str, SummaryValue]:
    """Return how many numbers of each kind were masked, for Dagster."""
    counts = count_kinds(redaction.spans) if redaction else {}
    return {f"masked_{kind}": count for kind, count in counts.items()}


def _file_name(channel: ChannelAudio) -> str:
    return f"{channel.channel}.flac"
