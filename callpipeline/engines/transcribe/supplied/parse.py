"""Reading of a supplied transcript of any form, and the roles of its speakers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePath

from callpipeline.domain.audio import Channel, Flag, QualityFlag, Speaker, speaker_of
from callpipeline.domain.speaker_roles import agent_voice
from callpipeline.domain.transcripts import (
    SUPPLIED_ENGINE,
    Segment,
    Transcript,
    Voice,
    is_storable,
    number_segments,
)
from callpipeline.domain.voices import VOICES, assign_roles
from callpipeline.engines.transcribe.supplied.captions import lines_of_captions
from callpipeline.engines.transcribe.supplied.documents import lines_of_document, parse_json
from callpipeline.engines.transcribe.supplied.lines import ACCEPTED, Repairs, SuppliedLine, decode
from callpipeline.engines.transcribe.supplied.speakers import SpeakerMap, role_of
from callpipeline.errors import TranscriptIgnored, TranscriptInvalid

SUFFIXES = (".json", ".srt", ".vtt")
_IS_NAMED_TRANSCRIPT = re.compile(r"transcript|caption|subtitle", re.IGNORECASE)
_IS_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\]\"])")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_NO_SPEAKERS: Mapping[str, Speaker] = {}


def parse_supplied(
    name: str,
    content: bytes,
    agent_channel: str,
    speakers: Mapping[str, Speaker] = _NO_SPEAKERS,
) -> tuple[Transcript, ...] | None:
    """Return a transcript per channel with speech; None for JSON that is about something else.

    The first has a flag if the file was repaired. The form is found by the content. A line of the
    agent or the customer is on their channel, any other line on the mixed channel. `speakers` are
    roles by label. Raises TranscriptInvalid with the file and the line or field, never with the
    text; TranscriptIgnored for a text without times in a file that may be about something else.
    """
    repairs, roles = Repairs(), SpeakerMap(speakers)
    try:
        lines = _lines(name, content, roles, repairs)
    except TranscriptInvalid as error:
        is_ignored = isinstance(error, TranscriptIgnored) and not _is_named_transcript(name)
        kind = TranscriptIgnored if is_ignored else TranscriptInvalid
        raise kind(f"{PurePath(name).name}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The structures of tools change: not a reason to lose the call with an internal error.
        raise TranscriptInvalid(
            f"{PurePath(name).name}: its structure is not known. {ACCEPTED}"
        ) from error
    if lines is None:
        if _is_named_transcript(name):
            raise TranscriptInvalid(
                f"{PurePath(name).name}: no list of segments with text and times. {ACCEPTED}"
            )
        return None
    said = [_storable(line, repairs) for line in lines]
    said = [line for line in said if line.text]
    found = _transcripts(said, agent_channel, roles)
    if found and (detail := repairs.describe()):
        flag = QualityFlag(Flag.REPAIRED_TRANSCRIPT, detail)
        return (replace(found[0], flags=(flag,)), *found[1:])
    return found


def _is_named_transcript(name: str) -> bool:
    return _IS_NAMED_TRANSCRIPT.search(PurePath(name).name) is not None


def _storable(line: SuppliedLine, repairs: Repairs) -> SuppliedLine:
    """Remove characters that are not text, such as NUL."""
    if is_storable(line.text):
        return line
    repairs.note("characters that are not text, removed")
    return replace(line, text=" ".join(_NOT_TEXT.sub("", line.text).split()), words=())


def _lines(
    name: str, content: bytes, speakers: SpeakerMap, repairs: Repairs
) -> list[SuppliedLine] | None:
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise TranscriptInvalid(f"a supplied transcript is one of {', '.join(SUFFIXES)}")
    text = decode(content, repairs)
    is_caption = "-->" in text[:2000]
    is_json = _IS_JSON.match(text) is not None
    if (suffix == ".json" and not (is_caption and not is_json)) or (is_json and not is_caption):
        return lines_of_document(parse_json(text.strip()), repairs, speakers.names)
    return lines_of_captions(text, repairs, speakers.names, is_vtt=suffix == ".vtt")


def _transcripts(
    lines: Sequence[SuppliedLine], agent_channel: str, speakers: SpeakerMap
) -> tuple[Transcript, ...]:
    roles = _roles(lines, speakers)
    voices = _voice_numbers(lines, roles)
    segments = [_segment(line, agent_channel, roles, voices) for line in lines]
    in_order = sorted(segments, key=lambda segment: segment.channel.position)
    return tuple(
        _with_voices(
            Transcript(
                channel,
                speaker_of(channel, agent_channel),
                SUPPLIED_ENGINE,
                number_segments(channel_segments),
            )
        )
        for channel, channel_segments in groupby(in_order, lambda segment: segment.channel)
    )


_Who = tuple[str | None, str | None]


def _who(line: SuppliedLine) -> _Who:
    return line.label, line.channel_label


def _roles(lines: Iterable[SuppliedLine], speakers: SpeakerMap) -> dict[_Who, Speaker]:
    """Return the roles by speaker and channel: the source's, else what the label says.

    Of two speakers of which one has a role, the other one has the other role.
    """
    found: dict[_Who, Speaker | None] = {}
    channels: dict[_Who, Channel | None] = {}
    for line in lines:
        who, side = _who(line), line.channel.value if line.channel else None
        stated = (speakers.find(each) for each in (*who, side))
        role = next((each for each in stated if each), None)
        found[who] = role or role_of(line.label) or role_of(line.channel_label)
        channels[who] = line.channel
    known = {role for role in found.values() if role}
    unknown = [who for who, role in found.items() if role is None and who[0] is not None]
    if len(found) == 2 and len(unknown) == 1 and channels[unknown[0]] is None and len(known) == 1:
        others = {Speaker.AGENT: Speaker.CUSTOMER, Speaker.CUSTOMER: Speaker.AGENT}
        found[unknown[0]] = others.get(known.pop())
    return {who: role for who, role in found.items() if role}


def _voice_numbers(lines: Iterable[SuppliedLine], roles: dict[_Who, Speaker]) -> dict[_Who, int]:
    """Number the speakers without a role or channel, if there are two and no others."""
    labels: dict[_Who, None] = {}
    for line in sorted(lines, key=lambda line: line.start_s):
        if line.label is not None and line.channel is None:
            labels[_who(line)] = None
    if len(labels) != len(VOICES) or any(who in roles for who in labels):
        return {}
    return dict(zip(labels, VOICES, strict=True))


def _segment(
    line: SuppliedLine,
    agent_channel: str,
    roles: dict[_Who, Speaker],
    voices: dict[_Who, int],
) -> Segment:
    role = roles.get(_who(line))
    channel = line.channel or _channel_of(role, agent_channel)
    speaker = role or speaker_of(channel, agent_channel)
    voice = voices.get(_who(line)) if channel is Channel.MIXED else None
    return Segment(
        0, line.start_s, line.end_s, channel, speaker, line.text, line.words, voice=voice
    )


def _channel_of(speaker: Speaker | None, agent_channel: str) -> Channel:
    sides = (Channel.LEFT, Channel.RIGHT)
    return next((c for c in sides if speaker_of(c, agent_channel) is speaker), Channel.MIXED)


def _with_voices(transcript: Transcript) -> Transcript:
    """List the two voices of a transcript, and give them roles by what they say."""
    talk_s = dict.fromkeys(VOICES, 0.0)
    for segment in transcript.segments:
        if segment.voice:
            talk_s[segment.voice] += segment.end_s - segment.start_s
    if {segment.voice for segment in transcript.segments} != set(VOICES):
        return transcript
    voices = tuple(Voice(number, seconds) for number, seconds in talk_s.items())
    listed = replace(transcript, voices=voices)
    return assign_roles(listed, agent_voice(listed.segments))
