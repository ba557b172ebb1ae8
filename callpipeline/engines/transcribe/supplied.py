"""A transcript that comes beside a recording, as JSON, SRT or WebVTT."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import PurePath

from callpipeline.domain.audio import Channel, Speaker, speaker_of
from callpipeline.domain.transcript import SUPPLIED, Segment, Transcript, is_storable, numbered
from callpipeline.engines.transcribe.supplied_cues import lines_of_cues
from callpipeline.engines.transcribe.supplied_json import lines_of_json
from callpipeline.engines.transcribe.supplied_line import Line
from callpipeline.errors import TranscriptInvalid

READERS = {".json": lines_of_json, ".srt": lines_of_cues, ".vtt": lines_of_cues}


def parse(name: str, content: bytes, agent_channel: str) -> tuple[Transcript, ...]:
    """A transcript for each channel that is spoken on, so none where nothing is said.

    The suffix of `name` says which form it is. A line that names the agent or the customer is on
    their channel, a line that names nobody on the mixed one. Raises TranscriptInvalid with a
    sentence that names the line or field, never the words.
    """
    read = READERS.get(PurePath(name).suffix.lower())
    if read is None:
        raise TranscriptInvalid(f"a supplied transcript is one of {', '.join(READERS)}")
    lines = [line for line in read(_decoded(content)) if line.text]
    if any(not is_storable(line.text) for line in lines):
        raise TranscriptInvalid("the transcript holds characters that are no text, such as NUL")
    segments = (_segment(line, agent_channel) for line in lines)
    return _by_channel(segments, agent_channel)


def _by_channel(segments: Iterable[Segment], agent_channel: str) -> tuple[Transcript, ...]:
    in_order = sorted(segments, key=lambda segment: list(Channel).index(segment.channel))
    return tuple(
        Transcript(channel, speaker_of(channel, agent_channel), SUPPLIED, numbered(of_channel))
        for channel, of_channel in groupby(in_order, lambda segment: segment.channel)
    )


def _segment(line: Line, agent_channel: str) -> Segment:
    channel = line.channel or _channel_of(line.speaker, agent_channel)
    speaker = line.speaker or speaker_of(channel, agent_channel)
    return Segment(0, line.start_s, line.end_s, channel, speaker, line.text, line.words)


def _channel_of(speaker: Speaker | None, agent_channel: str) -> Channel:
    sides = (Channel.LEFT, Channel.RIGHT)
    return next((c for c in sides if speaker_of(c, agent_channel) is speaker), Channel.MIXED)


def _decoded(content: bytes) -> str:
    utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TranscriptInvalid(f"line {line} of the transcript is not UTF-8 text") from error
