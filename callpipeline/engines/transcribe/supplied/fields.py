"""Fields of JSON transcripts by their meaning, whatever a tool calls them and its units.

Names are compared in lower case and without `_` and `-`: `StartTime` and `start_time` are one.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from callpipeline.engines.transcribe.supplied.lines import listed
from callpipeline.errors import TranscriptInvalid

Document = Mapping[str, Any]

TEXT = listed(
    "punctuatedword displaytext display transcript text content sentence utterance caption "
    "originaltext spokentext word value lexical message body"
)
START = listed(
    "start starttime startoffset begin begintime beginoffset from startts ts offset starts "
    "segmentstarttime timestart time starttimestamp startdatetime timestamp audiostart absolutetime"
)
END = listed(
    """end endtime endoffset endts to segmentendtime stop stoptime finish timeend endtimestamp
    enddatetime audioend"""
)
DURATION = ("duration", "length", "dur")
SPEAKER = listed(
    "participantrole participantpurpose speakerrole role speakername displayname speakerlabel "
    "speaker segmentspeaker speakertag speakerid participant participantname participantid "
    "username user users author party sender spokenby from name"
)
CHANNEL = listed(
    "channel channellabel channeltag mediachannel channelid channelindex channelnumber track side"
)
WORDS = ["words", "items", "wordconfidence", "elements", "result", "wordtimestamps", "timestamps"]
CONFIDENCE = ["confidence", "probability", "score", "conf", "p", "accuracy"]
ONE_BASED = {"channeltag", "mediachannel"}
"""Fields that count channels from 1."""

_UNITS = (
    ("inmilliseconds", 0.001),
    ("milliseconds", 0.001),
    ("inmillis", 0.001),
    ("millis", 0.001),
    ("inms", 0.001),
    ("ms", 0.001),
    ("inticks", 1e-7),
    ("ticks", 1e-7),
    ("microseconds", 1e-6),
    ("micros", 1e-6),
    ("usec", 1e-6),
    ("nanos", 1e-9),
    ("inseconds", 1.0),
    ("seconds", 1.0),
    ("secs", 1.0),
    ("sec", 1.0),
    ("s", 1.0),
)
EARLIEST_EPOCH_S = 6e8
MAX_NUMBER = 1e18
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d")
_NUMBER = re.compile(r"(-?\d{1,18}(?:\.\d{1,18})?(?:[eE]-?\d{1,3})?) ?(ms|s|sec|seconds)?")
_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:[.,]\d{1,9})?)")
_ISO = re.compile(
    r"P(?:(\d{1,6})D)?T(?:(\d{1,6}(?:\.\d+)?)H)?(?:(\d{1,6}(?:\.\d+)?)M)?(?:(\d{1,9}(?:\.\d+)?)S)?"
)


def folded(document: Document) -> dict[str, Any]:
    """Return the fields by their names in lower case, without `_` and `-`."""
    fields: dict[str, Any] = {}
    for name, value in document.items():
        fields.setdefault(re.sub(r"[^a-z0-9]", "", name.lower()), value)
    return fields


def text_of_fields(fields: Document) -> str | None:
    """Return the first text field; some tools nest it in the best of several alternatives."""
    for name in TEXT:
        if isinstance(fields.get(name), str):
            return cast("str", fields[name])
    best = best_alternative(fields)
    return text_of_fields(best) if best else None


def best_alternative(fields: Document) -> dict[str, Any] | None:
    """Return the alternative of the highest confidence, the first if none states one."""
    for name in ("alternatives", "nbest"):
        found = fields.get(name)
        if isinstance(found, list) and found:
            choices = [folded(each) for each in cast("list[Any]", found) if isinstance(each, dict)]
            return max(choices, key=lambda each: confidence_of(each) or 0.0, default=None)
    return None


def start_of(fields: Document, place: str) -> float | None:
    """Return the start in seconds, None if it is missing. Raises TranscriptInvalid."""
    if (pair := _pair(fields)) is not None:
        return seconds(pair[0], f"{place}.timestamp")
    return _time(fields, START, place)


def end_of(fields: Document, start_s: float | None, place: str) -> float | None:
    """Return the end in seconds, None if it is missing. Raises TranscriptInvalid."""
    if (pair := _pair(fields)) is not None:
        return seconds(pair[1], f"{place}.timestamp")
    end_s = _time(fields, END, place)
    if end_s is None and start_s is not None:
        duration_s = _time(fields, DURATION, place)
        return None if duration_s is None else start_s + duration_s
    return end_s


def has_time(fields: Document) -> bool:
    """Return whether a start or an end is stated, even if it is invalid."""
    return _pair(fields) is not None or any(True for _ in _named(fields, START + END))


def seconds(value: object, place: str, unit_s: float = 1.0) -> float | None:
    """Parse a time in any notation: a number, "1.2s", "PT1.2S", a clock, {"seconds": 1}.

    Raises TranscriptInvalid if it is none of these.
    """
    if value is None or value in ("", {}):
        return None
    if isinstance(value, Mapping):
        parts = folded(cast("Document", value))
        known = [(parts[name], unit) for name, unit in _UNITS if name in parts]
        if known:
            return sum(seconds(part, place, unit) or 0.0 for part, unit in known)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            raise TranscriptInvalid(f"{place} of the transcript: it is not a time")
        return value * unit_s
    if isinstance(value, str):
        found = _seconds_of_text(" ".join(value.split()), unit_s)
        if found is not None:
            return found
    raise TranscriptInvalid(f"{place} of the transcript: it is not a time")


def is_epoch(seconds: float) -> bool:
    """Return whether a time is one of the calendar, in seconds since 1970."""
    return seconds > EARLIEST_EPOCH_S


def _seconds_of_text(text: str, unit_s: float) -> float | None:
    if match := _NUMBER.fullmatch(text):
        return float(match[1]) * ({None: unit_s, "ms": 0.001}.get(match[2], 1.0))
    if match := _CLOCK.fullmatch(text):
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", "."))
    if (match := _ISO.fullmatch(text)) and any(match.groups()):
        days, hours, minutes, rest = (float(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if _DATE.match(text):
        with suppress(ValueError, OverflowError):
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return None


def _time(fields: Document, names: tuple[str, ...], place: str) -> float | None:
    """Return the first of these times; one since the start of the call before a calendar time."""
    on_calendar: float | None = None
    for name, value, unit_s in _named(fields, names):
        found = seconds(value, f"{place}.{name}" if place else name, unit_s)
        if found is not None and not is_epoch(found):
            return found
        on_calendar = found if on_calendar is None else on_calendar
    return on_calendar


def _named(fields: Document, names: tuple[str, ...]) -> Iterator[tuple[str, object, float]]:
    """Yield the fields of these names with the seconds of their unit, the plain names last.

    Where a tool gives a time in two units, the one whose unit is in its name is certain.
    """
    known = _with_units(names)
    for _, field in sorted((known[field][0], field) for field in fields if field in known):
        _, name, unit_s = known[field]
        value = fields[field]
        # "from" and "to" may be people.
        is_text = isinstance(value, str) and _seconds_of_text(value.strip(), unit_s) is None
        is_person = name in ("from", "to") and (is_text or isinstance(value, Mapping))
        if value is not None and not isinstance(value, bool | list) and not is_person:
            yield field, value, unit_s


@cache
def _with_units(names: tuple[str, ...]) -> Mapping[str, tuple[int, str, float]]:
    """Return the possible names of fields, with their precedence, plain name and unit."""
    written: dict[str, tuple[int, str, float]] = {}
    for suffix, unit_s in (*_UNITS, ("", 1.0)):
        for name in names:
            written.setdefault(name + suffix, (len(written), name, unit_s))
    return written


def _pair(fields: Document) -> tuple[object, object] | None:
    """Return the two times that some tools nest, as a list or as `from` and `to`."""
    offsets = fields.get("offsets")
    if isinstance(offsets, Mapping) and {"from", "to"} <= set(cast("Document", offsets)):
        milliseconds = cast("Document", offsets)
        return {"milliseconds": milliseconds["from"]}, {"milliseconds": milliseconds["to"]}
    for name in ("timestamps", "timestamp", "time", "interval", "offset", "range"):
        value = fields.get(name)
        if isinstance(value, Mapping):
            inner = folded(cast("Document", value))
            for first, last in (("from", "to"), ("start", "end")):
                if first in inner:
                    return inner[first], inner.get(last)
        if isinstance(value, list) and len(cast("list[Any]", value)) == 2:
            first, last = cast("list[Any]", value)
            if not isinstance(first, list | Mapping):
                return first, last
    return None


def confidence_of(fields: Document) -> float | None:
    """Return the confidence, None if it is missing or not between 0 and 1."""
    for name in CONFIDENCE:
        value = fields.get(name)
        if isinstance(value, bool | list | Mapping) or value is None:
            continue
        try:
            found = float(value)
        except (TypeError, ValueError):
            continue
        return found if 0 <= found <= 1 else None
    return None


def speaker_label(fields: Document) -> str | None:
    """Return who speaks, as the tool wrote it; the role rather than the name or the number."""
    for name in SPEAKER:
        value = fields.get(name)
        if isinstance(value, list) and value:
            value = cast("list[Any]", value)[0]
        if isinstance(value, Mapping):
            inner = folded(cast("Document", value))
            value = speaker_label(inner) or inner.get("name") or inner.get("id")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and name != "from":
            return f"{value:g}"
        is_time = name == "from" and isinstance(value, str) and _seconds_of_text(value, 1.0)
        if isinstance(value, str) and value.strip() and is_time in (None, False):
            return value.strip()
    return None


def channel_label(fields: Document) -> tuple[str | None, bool]:
    """Return the channel as the tool wrote it, and whether the tool counts from 1."""
    for name in CHANNEL:
        value = fields.get(name)
        if isinstance(value, list) and value:
            value = cast("list[Any]", value)[0]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value), name in ONE_BASED
        if isinstance(value, str) and value.strip():
            return value.strip(), name in ONE_BASED or value.strip().isdigit()
    return None, False
