"""Decoding with FFmpeg (PyAV), for all formats but WAV, FLAC and samples without a header.

It runs in this process and releases the GIL. Where a container has timestamps, gaps between them
become silence, so that the times of a call stay true.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Self

import av
import av.codec
import av.container
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from numpy.typing import NDArray

from callpipeline.engines.split.containers import FileWindow, wav_declared_s
from callpipeline.engines.split.probe import (
    explain_unreadable,
    mp3_states_its_length,
    read_head,
)
from callpipeline.errors import EmptyRecording, UnsupportedAudio

Block = NDArray[np.int16]
"""Samples × channels."""

BLOCK_SAMPLES = 65_536
"""Passing on FFmpeg's frames one by one takes 2.5 times as long as in blocks of this size."""
NO_SAMPLES = "no samples: the file contains only a header"

AV_DEMUXERS = (
    "wav,w64,rf64,mp3,aac,ac3,eac3,flac,ogg,mov,mp4,matroska,webm,asf,avi,flv,mpeg,mpegts,au,aiff,"
    "caf,amr,amrnb,amrwb,gsm,wv,ape,tta,voc,sln,rm"
)
"""No playlists, images or network: a recording must never make FFmpeg open anything else."""
AV_NAMES = {"mov": "mp4", "matroska": "matroska", "asf": "wma"}
DURATION_CONTAINERS = frozenset(
    {"mp4", "matroska", "flac", "wma", "avi", "au", "aiff", "caf", "w64"}
)
"""Containers whose header states a duration; for others FFmpeg estimates it."""
TIMED_CONTAINERS = frozenset({"mp4", "matroska", "ogg", "wma", "flv", "mpegts", "mpeg"})
"""Containers with timestamps of their own; for others FFmpeg counts the samples."""
OPUS_INPUT_RATES = frozenset({8000, 12_000, 16_000, 24_000})
BETTER_DECODERS = {"amr_nb": "libopencore_amrnb", "amr_wb": "libopencore_amrwb"}
"""FFmpeg's own decoders refuse frames of discontinuous transmission, and so lose time."""

MIN_GAP_S = 0.1
"""Timestamps are rounded, and some encoders leave out single frames."""
MAX_GAP_S = 6 * 3600.0
"""A longer gap is a damaged timestamp."""


class AvReader:
    """Reader of one audio track. Raises UnsupportedAudio or EmptyRecording.

    `recording` is a file or a part of one; `rate_hz` is the rate to convert to, by default the
    track's own. `raw_demuxer` reads a format without a header. `gap_s` is the silence filled in.
    """

    def __init__(
        self,
        recording: Path | FileWindow,
        *,
        track: int = 0,
        rate_hz: int | None = None,
        raw_demuxer: str | None = None,
        ignores_length: bool = False,
    ) -> None:
        self._container = _open_container(recording, raw_demuxer, ignores_length)
        self.bad_packets, self.gap_s, self.unread_bytes = 0, 0.0, 0
        self._track = track
        self.container = "raw" if raw_demuxer else _container_name(self._container.format.name)
        try:
            self._stream = self._audio_stream()
            self._decoder = self._create_decoder()
            self._frames = self._probed_frames(rate_hz)
        except BaseException:
            self._container.close()
            raise
        self.codec = self._stream.codec_context.codec.canonical_name
        self.declared_s = None if ignores_length else self._declared_s(recording)

    @property
    def track_count(self) -> int:
        return len(self._container.streams.audio)

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, block by block."""
        resampler, layout = None, None
        timeline = Timeline(self._first_time())
        is_timed = self.container in TIMED_CONTAINERS
        for frame in self._frames:
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            gap_s = timeline.gap_before(frame) if is_timed else 0.0
            if resampler is None or key != layout or gap_s:
                # A concatenated MP3 may change its rate or channels midway.
                yield from self._converted(resampler, None)
                resampler, layout = self._resampler(), key
            yield from self._silence(gap_s)
            yield from self._converted(resampler, frame)
        yield from self._converted(resampler, None)

    def _silence(self, gap_s: float) -> Iterator[Block]:
        self.gap_s += gap_s
        missing = round(gap_s * self.sample_rate_hz)
        for at in range(0, missing, BLOCK_SAMPLES):
            length = min(BLOCK_SAMPLES, missing - at)
            yield np.zeros((length, self.channel_count), np.int16)

    def _converted(
        self, resampler: AudioResampler | None, frame: AudioFrame | None
    ) -> Iterator[Block]:
        for converted in resampler.resample(frame) if resampler else ():
            samples = converted.to_ndarray().astype(np.int16, copy=False)
            yield samples.reshape(-1, self.channel_count)

    def _resampler(self) -> AudioResampler:
        return AudioResampler("s16", self._layout, self.sample_rate_hz, BLOCK_SAMPLES)

    def _audio_stream(self) -> AudioStream:
        if not self._container.streams.audio:
            raise UnsupportedAudio("the file has no audio track")
        stream = self._container.streams.audio[self._track]
        if stream.codec_context is None:
            raise UnsupportedAudio("no decoder supports its audio codec")
        return stream

    def _create_decoder(self) -> Any:
        """Create the decoder that is used instead of the track's own, if there is a better one."""
        own = self._stream.codec_context
        name = BETTER_DECODERS.get(own.codec.canonical_name)
        if name is None or name not in av.codec.codecs_available:
            return None
        decoder: Any = av.CodecContext.create(name, "r")
        decoder.sample_rate = 16_000 if name.endswith("wb") else 8000
        decoder.layout = "mono"
        return decoder

    def _probed_frames(self, rate_hz: int | None) -> Iterator[AudioFrame]:
        """Decode the first frame to detect the format: headers of HE-AAC state half the rate."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None and self.bad_packets:
            raise UnsupportedAudio(
                f"too damaged to read: none of its {self.bad_packets} packets can be decoded"
            )
        if first is None:
            raise EmptyRecording(NO_SAMPLES)
        self._layout = first.layout
        self.channel_count = first.layout.nb_channels
        self.sample_rate_hz = rate_hz or self._opus_input_rate() or first.sample_rate
        return chain((first,), frames)

    def _decoded(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, FFmpegError):  # the end, or a truncated container
                return
            try:
                if self._decoder is None:
                    yield from packet.decode()
                elif packet.size:
                    yield from self._decoder.decode(packet)
            except FFmpegError:
                self.bad_packets += 1 if packet.size else 0

    def _first_time(self) -> float | None:
        """Return the time at which the earliest audio track begins, if there are several."""
        streams = self._container.streams.audio
        starts = [
            float(stream.start_time * stream.time_base)
            for stream in streams
            if stream.start_time is not None and stream.time_base is not None
        ]
        return min(starts) if len(streams) > 1 and len(starts) == len(streams) else None

    def _opus_input_rate(self) -> int | None:
        """Return the original rate of Opus, which always decodes to 48 kHz.

        Keeping 48 kHz would mean six times the samples of a telephone call, without any gain.
        """
        header = self._stream.codec_context.extradata or b""
        rate = int.from_bytes(header[12:16], "little") if header[:8] == b"OpusHead" else 0
        return rate if rate in OPUS_INPUT_RATES else None

    def _declared_s(self, recording: Path | FileWindow) -> float | None:
        is_file = isinstance(recording, Path)
        if self.container == "wav":
            return wav_declared_s(recording) if is_file else None
        declares = self.container in DURATION_CONTAINERS
        declares = declares or (
            self.container == "mp3" and is_file and mp3_states_its_length(recording)
        )
        duration = self._container.duration
        return duration / 1_000_000 if declares and duration is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


class Timeline:
    """The position of a track's frames in time; the first frame is at `start_s`, if given."""

    def __init__(self, start_s: float | None) -> None:
        self._expected_s = start_s

    def gap_before(self, frame: AudioFrame) -> float:
        """Return the seconds that are missing before a frame.

        Timestamps that go back, or far ahead, belong to another recording appended to this one.
        """
        if frame.pts is None or frame.time_base is None:
            self._advance(frame)
            return 0.0
        at_s = float(frame.pts * frame.time_base)
        expected_s = at_s if self._expected_s is None else self._expected_s
        gap_s = at_s - expected_s
        is_gap = MIN_GAP_S <= gap_s <= MAX_GAP_S
        is_new = not -1.0 < gap_s <= MAX_GAP_S
        self._expected_s = at_s if is_gap or is_new else expected_s
        self._advance(frame)
        return gap_s if is_gap else 0.0

    def _advance(self, frame: AudioFrame) -> None:
        if self._expected_s is not None:
            self._expected_s += frame.samples / frame.sample_rate


def _open_container(
    recording: Path | FileWindow, raw_demuxer: str | None, ignores_length: bool
) -> av.container.InputContainer:
    demuxers = raw_demuxer or AV_DEMUXERS
    options = {"format_whitelist": demuxers}
    if isinstance(recording, Path):
        # "file:" keeps a name such as "http:x.wav" from being taken for a URL.
        name, options["protocol_whitelist"] = f"file:{recording.absolute()}", "file"
    else:
        name = recording
    if ignores_length:
        options["ignore_length"] = "1"
    try:
        return av.open(
            name, mode="r", format=raw_demuxer, metadata_errors="replace", options=options
        )
    except (FFmpegError, ValueError) as error:
        raise UnsupportedAudio(explain_unreadable(_head_of(recording))) from error


def _head_of(recording: Path | FileWindow) -> bytes:
    if isinstance(recording, Path):
        return read_head(recording)
    recording.seek(0)
    return recording.read(4096) or b""


def _container_name(av_name: str) -> str:
    first = av_name.split(",", maxsplit=1)[0]
    return AV_NAMES.get(first, first)
