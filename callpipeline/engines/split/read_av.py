"""Anything that a telephone system writes, by FFmpeg (PyAV).

It runs in this process, releases the GIL and streams: memory does not grow with the recording.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Self

import av
import av.container
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError

from callpipeline.engines.split.blocks import BLOCK_SAMPLES, Block
from callpipeline.engines.split.probe import (
    head_of,
    mp3_states_its_length,
    wav_declared_s,
    why_unreadable,
)
from callpipeline.errors import EmptyRecording, UnsupportedAudio

AV_DEMUXERS = (
    "wav,w64,rf64,mp3,aac,ac3,eac3,flac,ogg,mov,mp4,matroska,webm,asf,avi,flv,mpeg,mpegts,au,aiff,"
    "caf,amr,amrnb,amrwb,gsm,wv,ape,tta,voc,sln,rm"
)
"""No playlist, no image, no network: a recording must never make FFmpeg open anything else."""
AV_NAMES = {"mov": "mp4", "matroska": "matroska", "asf": "wma"}
DECLARING = frozenset({"mp4", "matroska", "flac", "wma", "avi", "au", "aiff", "caf", "w64"})
"""Containers whose header states a duration; for others FFmpeg reports a guess."""
OPUS_INPUT_RATES = frozenset({8000, 12_000, 16_000, 24_000})


class AvReader:
    """Everything else by FFmpeg. Raises UnsupportedAudio or EmptyRecording."""

    def __init__(self, path: Path) -> None:
        self._container = _opened(path)
        self.bad_packets = 0
        self.container = _container_name(self._container.format.name)
        try:
            self._stream = self._audio_stream()
            self._frames = self._from_the_first_frame()
        except BaseException:
            self._container.close()
            raise
        self.codec = self._stream.codec_context.codec.canonical_name
        self.declared_s = self._declared_s(path)

    def blocks(self) -> Iterator[Block]:
        resampler, layout = None, None
        for frame in self._frames:
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is None or key != layout:
                # An MP3 put together from pieces changes its rate or channels on the way.
                yield from self._converted(resampler, None)
                resampler, layout = self._resampler(), key
            yield from self._converted(resampler, frame)
        yield from self._converted(resampler, None)

    def _converted(
        self, resampler: AudioResampler | None, frame: AudioFrame | None
    ) -> Iterator[Block]:
        for converted in resampler.resample(frame) if resampler else ():
            samples = converted.to_ndarray().astype(np.int16, copy=False)
            yield samples.reshape(-1, self.channel_count)[:, :2]

    def _resampler(self) -> AudioResampler:
        return AudioResampler("s16", self._layout, self.sample_rate_hz, BLOCK_SAMPLES)

    def _audio_stream(self) -> AudioStream:
        if not self._container.streams.audio:
            raise UnsupportedAudio("the file has no audio track")
        stream = self._container.streams.audio[0]
        if stream.codec_context is None:
            raise UnsupportedAudio("its audio is of a kind that no decoder here reads")
        return stream

    def _from_the_first_frame(self) -> Iterator[AudioFrame]:
        """Decode one frame, which alone says what the audio is: headers of HE-AAC state half the
        rate."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None and self.bad_packets:
            raise UnsupportedAudio(
                f"damaged beyond reading: none of its {self.bad_packets} packets can be decoded"
            )
        if first is None:
            raise EmptyRecording("no samples: a header and nothing behind it")
        self._layout = first.layout
        self.channel_count = first.layout.nb_channels
        self.sample_rate_hz = self._opus_input_rate() or first.sample_rate
        return chain((first,), frames)

    def _decoded(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (
                StopIteration,
                FFmpegError,
            ):  # the end, or a cut in the container's structure
                return
            try:
                yield from packet.decode()
            except FFmpegError:
                self.bad_packets += 1 if packet.size else 0

    def _opus_input_rate(self) -> int | None:
        """Opus always decodes to 48 kHz; its header says from which rate it was made, and six
        times the samples of a telephone call tell nobody anything."""
        header = self._stream.codec_context.extradata or b""
        rate = int.from_bytes(header[12:16], "little") if header[:8] == b"OpusHead" else 0
        return rate if rate in OPUS_INPUT_RATES else None

    def _declared_s(self, path: Path) -> float | None:
        if self.container == "wav":
            return wav_declared_s(path)
        declares = self.container in DECLARING
        declares = declares or (self.container == "mp3" and mp3_states_its_length(path))
        duration = self._container.duration
        return duration / 1_000_000 if declares and duration is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _opened(path: Path) -> av.container.InputContainer:
    try:
        # "file:" keeps a name like "http:x.wav" a name; tags in odd encodings are not our business.
        return av.open(
            f"file:{path.absolute()}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": AV_DEMUXERS},
        )
    except (FFmpegError, ValueError) as error:
        raise UnsupportedAudio(why_unreadable(head_of(path))) from error


def _container_name(av_name: str) -> str:
    first = av_name.split(",", maxsplit=1)[0]
    return AV_NAMES.get(first, first)
