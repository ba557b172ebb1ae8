"""Sources of recordings, and the call attributes parsed from the names of recordings."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol
from zoneinfo import ZoneInfo

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import DuplicatePolicy, Lane
from callpipeline.domain.calls.side_files import MetadataTable
from callpipeline.domain.calls.source_audio import RawFormat, SourceAudio
from callpipeline.domain.redaction.tokens import Kind

MAX_SEARCHED_CHARS = 1024
"""Only this many characters at the end of a key are searched for a pattern."""
MAX_VALUE_CHARS = 200

_TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")
TIME_GROUPS = frozenset({"started_at", "date", "time", *_TIME_PARTS})
"""Groups of a source's pattern that contain the time of the call."""

MAX_FILENAME_BYTES = 220
"""File systems allow 255; the name of a transcript beside the recording is longer."""
MAX_EXTENSION_BYTES = 20
DEFAULT_FILENAME = "recording"
JOINERS = "\u200c\u200d"
"""Invisible characters that are part of Persian words and of emoji."""

_SIDES = {"left": "left", "l": "left", "0": "left", "right": "right", "r": "right", "1": "right"}
_DIRECTIONS = {
    **dict.fromkeys(("in", "inbound", "incoming", "ib", "i", "received"), "inbound"),
    **dict.fromkeys(("out", "outbound", "outgoing", "ob", "o", "dialled", "dialed"), "outbound"),
}
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(
    r"""(\d{4})[-_./]?(\d{2})[-_./]?(\d{2})             # 2025-02-19, 20250219
        (?:[T _-]*(\d{2})[-:._]?(\d{2})                  # T06-01, _0601
           (?:[-:._]?(\d{2})(?:[.,]\d+)?)?               # -22, 22.123
        )?
        \s*(Z|[+-]\d{2}(?::?\d{2})?)?                    # Z, +01:00, -0500, +01
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_EPOCH = re.compile(r"(\d{9,10})(?:\.\d+)?|(\d{13}|\d{16})", re.ASCII)
"""Seconds, milliseconds or microseconds since 1970; digits after a point are a counter in
Asterisk's names."""
_HALF_OF_DAY = re.compile(r"\b([ap])\.m\.", re.IGNORECASE)
_FRACTION = re.compile(r"(:\d\d)[.,]\d{1,9}(?!\d)", re.ASCII)
_IS_UTC = re.compile(r"\b(?:UTC|GMT)\b")
_MAIL_DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d", re.ASCII)
_DROPPED_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp"))
"""Control, format, unassigned, surrogate and private-use characters, and line separators."""


class MonoFirstSpeaker(StrEnum):
    """The role of the voice that speaks first in the mono recordings of a source."""

    AUTO = "auto"
    AGENT = "agent"
    CUSTOMER = "customer"


class NamePattern(Protocol):
    """A pattern that an operator wrote, matched in linear time."""

    def groups(self, text: str) -> Mapping[str, str] | None:
        """Return the named groups of the first match in a text, None without one."""
        ...


class UnreadableTranscript(StrEnum):
    """Treatment of a call whose supplied transcript can't be read."""

    FAIL = "fail"
    TRANSCRIBE = "transcribe"


@dataclass(frozen=True, slots=True)
class CallAttributes:
    """Attributes of a call that are available before it is processed."""

    metadata: dict[str, str] = field(default_factory=dict[str, str])
    started_at: datetime | None = None
    agent_channel: str | None = "left"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or bucket where recordings arrive; its sensor and bucket are named after it.

    `filename` is a pattern, searched in an object's key. Its named groups become the
    call's metadata. `started_at` (or `date` and `time`, or `year`, `month`, `day`, `hour`,
    `minute`, `second`) is the time of the call, in `timezone` unless it has an offset;
    `agent_channel` is the agent's channel, for sources where it varies by call.

    `mono_first_speaker` speaks first in mono recordings; AUTO leaves that to what is said. `raw` is
    the format of recordings without a header, `channel_roles` the roles of channels in order, for
    recordings with more than an agent's and a customer's channel.

    `speakers` are roles by the labels of supplied transcripts. A call whose transcript can't be
    read fails, or its recording is transcribed, as `unreadable_transcript` says.

    `metadata` maps the fields of side files to those of calls. `time_format` is how the source
    writes times, such as `%d/%m/%Y %I:%M %p`.

    `include` and `exclude` are patterns of keys, such as `*.dat` or `archive/*`, in any case; a
    pattern without a slash is one of file names. Without `include`, a source takes audio files.

    `day_folders` is the pattern of folders named after days, such as `%Y/%m/%d`; a scan for new
    recordings then lists only the newest. If `lane` is None, a call's age decides. `redact` are the
    kinds of numbers that are masked; None for those of the settings.
    """

    name: str
    url: str
    filename: NamePattern | None = None
    timezone: str = "UTC"
    agent_channel: str = "left"
    mono_first_speaker: MonoFirstSpeaker = MonoFirstSpeaker.AUTO
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    lane: Lane | None = None
    day_folders: str | None = None
    speakers: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker], hash=False)
    unreadable_transcript: UnreadableTranscript = UnreadableTranscript.FAIL
    metadata: MetadataTable | None = field(default=None, hash=False)
    time_format: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    raw: RawFormat | None = None
    channel_roles: tuple[Speaker, ...] = ()
    redact: frozenset[Kind] | None = None

    @property
    def audio(self) -> SourceAudio:
        return SourceAudio(self.raw, self.channel_roles)

    def includes(self, key: str) -> bool:
        return _matches_any(self.include, key)

    def excludes(self, key: str) -> bool:
        return _matches_any(self.exclude, key)

    def call_attributes(
        self, key: str, *, now: datetime | None = None, metadata: Mapping[str, str] | None = None
    ) -> CallAttributes:
        """Parse an object's key; an invalid time stays in the metadata as text.

        `metadata` supplied by the sender takes precedence over the groups of the same names.
        """
        fields = _matched_groups(self.filename, key) | _clean_values(metadata or {})
        return self.attributes_of(fields, now=now, default_channel=self.agent_channel)

    def attributes_of(
        self,
        metadata: Mapping[str, str],
        *,
        now: datetime | None = None,
        default_channel: str | None = None,
    ) -> CallAttributes:
        """Parse fields of a call; without `default_channel`, that of the agent may be unknown."""
        fields = _clean_values(metadata)
        started_at = parse_started_at(
            fields, self.timezone, now or datetime.now(UTC), self.time_format
        )
        if started_at:
            fields = {name: value for name, value in fields.items() if name not in TIME_GROUPS}
        side = _SIDES.get(fields.get("agent_channel", "").casefold())
        if side:
            del fields["agent_channel"]
        if direction := _DIRECTIONS.get(fields.get("direction", "").casefold()):
            fields["direction"] = direction
        return CallAttributes(fields, started_at, side or default_channel)


def _matches_any(patterns: tuple[str, ...], key: str) -> bool:
    folded = key.casefold()
    name = folded.rpartition("/")[2]
    return any(
        fnmatchcase(folded if "/" in pattern else name, pattern.casefold().removeprefix("/"))
        for pattern in patterns
    )


def parse_started_at(
    fields: Mapping[str, str], timezone: str, now: datetime, time_format: str | None = None
) -> datetime | None:
    """Return the time of the call (UTC) by the time groups of a name.

    `time_format` is tried first, then dates that begin with the year.
    None if it can't be parsed, is before 1990, or more than a day in the future. A date alone
    means the start of that day. A time that a clock change repeats means its first occurrence; one
    that a clock change skips is read with the offset before the change.
    """
    text = _timestamp_text(fields)
    try:
        started_at = _parse_formatted(text, fields, time_format, _zone(timezone))
        if started_at is None and text:
            started_at = _parse_timestamp(text, _zone(timezone))
        if started_at and _EARLIEST <= started_at <= now + timedelta(days=1):
            return started_at
    except (ValueError, OverflowError):
        pass
    return None


def clean_filename(sent: str) -> str:
    """Make a name that is safe in folders, buckets and pages; never empty.

    Removes folders, invisible characters and leading dots, normalises accents, and shortens long
    names in the middle. A sender may be a browser that sends a path, or an attacker trying `../`.
    """
    last = re.split(r"[/\\]", sent)[-1]
    visible = "".join(filter(_is_visible, unicodedata.normalize("NFC", last)))
    # Normalise again: a removed character may have separated two that compose.
    name = unicodedata.normalize("NFC", " ".join(visible.split())).lstrip(". ").rstrip(". ")
    return _shorten_filename(name) or DEFAULT_FILENAME


def _matched_groups(pattern: NamePattern | None, key: str) -> dict[str, str]:
    found = pattern.groups(key[-MAX_SEARCHED_CHARS:]) if pattern else None
    return _clean_values(found or {})


def _clean_values(fields: Mapping[str, str]) -> dict[str, str]:
    cleaned = {name: _clean_value(value) for name, value in fields.items()}
    return {name: value for name, value in cleaned.items() if value}


def _clean_value(value: str) -> str:
    """Remove control, invisible and undecodable characters, and limit the length."""
    visible = "".join(c for c in value if not unicodedata.category(c).startswith("C"))
    return visible.strip()[:MAX_VALUE_CHARS].strip()


def _timestamp_text(fields: Mapping[str, str]) -> str | None:
    if "started_at" in fields:
        return fields["started_at"]
    if "date" in fields:
        return f"{fields['date']}T{fields['time']}" if "time" in fields else fields["date"]
    if not {"year", "month", "day"} <= fields.keys():
        return None
    # A two-digit year belongs to this century: there are no recordings from 1925.
    year, *others = (fields.get(part, "0").zfill(2) for part in _TIME_PARTS)
    return f"{'20' + year if len(year) == 2 else year}{''.join(others)}"


def _parse_formatted(
    text: str | None, fields: Mapping[str, str], time_format: str | None, zone: tzinfo
) -> datetime | None:
    """Parse a time in the format of the source; date and time may be separate fields."""
    if not text or not time_format:
        return None
    pair = " ".join(fields[name] for name in ("date", "time") if name in fields)
    formats = [time_format]
    if "%S" not in time_format and "%M" in time_format:
        formats.append(time_format.replace("%M", "%M:%S"))
    for written in dict.fromkeys((text, pair)):
        plain = _HALF_OF_DAY.sub(r"\1m", " ".join(written.split()))
        for each in formats:
            try:
                local = datetime.strptime(_FRACTION.sub(r"\1", plain), each)  # noqa: DTZ007
            except ValueError:
                continue
            if "%Z" in each and _IS_UTC.search(plain):
                zone = UTC
            return (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)
    return None


def _parse_timestamp(text: str, zone: tzinfo) -> datetime | None:
    if epoch := _EPOCH.fullmatch(text):
        seconds, smaller = epoch.groups()
        return datetime.fromtimestamp(int(seconds or smaller[:10]), UTC)
    if not (timestamp := _TIMESTAMP.fullmatch(text)):
        return _parse_mail_date(text)
    *parts, offset = timestamp.groups()
    if offset and len(offset) == 3 and ":" not in text:  # rather a counter behind a time
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    local_zone = _parse_offset(offset) if offset else zone
    local = datetime(year, month, day, hour, minute, second, tzinfo=local_zone)
    return local.astimezone(UTC)


def _parse_mail_date(text: str) -> datetime | None:
    """Parse a date as in mails and in HTTP: Sun, 05 Jul 2026 15:04:05 +0200."""
    if not _MAIL_DATE.match(text):
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def _parse_offset(text: str) -> tzinfo:
    if text.upper() == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + (int(text[-2:]) if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _zone(name: str) -> tzinfo:
    """Return the zone; UTC works on machines without a time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _is_visible(char: str) -> bool:
    if char in JOINERS or char in "\t\n\r":  # white space separates words
        return True
    return unicodedata.category(char) not in _DROPPED_CATEGORIES


def _shorten_filename(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_FILENAME_BYTES - len(f"…{dot}{extension}".encode())
    cut = stem.encode()[:room].decode(errors="ignore")
    return f"{cut.rstrip()}…{dot}{extension}"
