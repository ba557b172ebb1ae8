"""Loading of recording sources from a YAML file.

Every error names the file, the source and the field, and says what to write instead.
"""

import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import yaml

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import DuplicatePolicy, Lane
from callpipeline.domain.calls.source_audio import RawFormat, parse_raw_format, parse_roles
from callpipeline.domain.calls.sources import MonoFirstSpeaker, Source, UnreadableTranscript
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.objects.urls import bucket_name, local_folder
from callpipeline.storage.sources.patterns import LinearPattern, compile_pattern
from callpipeline.storage.sources.source_tables import (
    parse_metadata,
    parse_patterns,
    parse_redact,
    parse_speakers,
    parse_time_format,
)

Choice = TypeVar("Choice", bound=StrEnum)


def read_sources(path: Path, problems: list[str] | None = None) -> tuple[Source, ...]:
    """Read the sources in a file; relative folders are relative to the file.

    If `problems` is given, invalid sources are left out and described there. Otherwise, and if the
    file itself is invalid, raises SettingsInvalid.
    """
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        sources: list[Source] = []
        for number, entry in enumerate(_entries(content), start=1):
            try:
                sources.append(_source(entry, number, path.absolute().parent))
            except SettingsInvalid as error:
                if problems is None:
                    raise
                problems.append(f"{path}: {error}")
        return tuple(sources)
    except FileNotFoundError:
        raise SettingsInvalid(f"{path}: file not found; create it, with a list.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    except yaml.YAMLError as error:
        raise SettingsInvalid(f"{path}: invalid YAML ({_yaml_error(error)}).") from error
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{path}: {error}") from error


def check_overlap(sources: Sequence[Source], bucket_of: Callable[[Source], str]) -> None:
    """Raise SettingsInvalid if two sources share a name, recordings or a bucket.

    `bucket_of` returns a source's bucket in the identity of its recordings.
    """
    for number, source in enumerate(sources):
        for other in sources[:number]:
            if other.name == source.name:
                raise SettingsInvalid(f"Two sources are named {source.name}: rename one.")
            if is_within(source.url, other.url) or is_within(other.url, source.url):
                raise SettingsInvalid(
                    f"The sources {other.name} and {source.name} share recordings, since the url "
                    "of one is inside that of the other: separate them, or merge them into one "
                    "source."
                )
            if bucket_of(other) == bucket_of(source):
                raise SettingsInvalid(
                    f"The sources {other.name} and {source.name} would have the same bucket, "
                    f"{bucket_of(source)}: rename one of them."
                )


def is_within(url: str, other: str) -> bool:
    """Return whether a location equals `other` or is inside it."""
    return f"{_location(url)}/".startswith(f"{_location(other)}/")


def _location(url: str) -> str:
    folder = local_folder(url)
    if folder:
        # Not resolve(), which raises for a cycle of links: only that source is broken, not all.
        return os.path.realpath(folder).rstrip("/")
    bucket_name(url)
    parts = urlsplit(url)
    return f"s3://{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


def _entries(content: object) -> list[object]:
    mapping = cast("dict[object, object]", content) if isinstance(content, dict) else {}
    if set(mapping) != {"sources"} or not isinstance(mapping["sources"], list | None):
        raise SettingsInvalid(
            "the file must have the single key `sources:` with a list below it; start each source "
            "with a dash and `name:`."
        )
    return cast("list[object]", mapping["sources"] or [])


def _source(entry: object, number: int, folder: Path) -> Source:
    name = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
    try:
        return _parse_source(entry, folder)
    except SettingsInvalid as error:
        title = str(name)[:60] if name is not None else "without a name"
        raise SettingsInvalid(f"source {number} ({title}): {error}") from error


def _parse_source(entry: object, folder: Path) -> Source:
    if not isinstance(entry, dict):
        raise SettingsInvalid("must have fields: write `name:` and `url:` below the dash.")
    fields = cast("dict[Any, object]", entry)
    known = _PARSERS | _TABLES
    unknown = ", ".join(sorted(str(field) for field in set(fields) - set(known)))
    if unknown:
        raise SettingsInvalid(f"unknown field {unknown}: use {', '.join(known)}.")
    for required in ("name", "url"):
        if fields.get(required) is None:
            raise SettingsInvalid(f"has no {required}: add `{required}:`.")
    parsed: dict[str, Any] = {
        field: _TABLES[field](value) if field in _TABLES else _PARSERS[field](_text(value, field))
        for field, value in fields.items()
        if value is not None
    }
    parsed["url"] = _absolute(parsed["url"], folder)
    return Source(**parsed)


def _text(value: object, field: str) -> str:
    # YAML parses a bare 3, no or on as a number or boolean.
    if not isinstance(value, str):
        raise SettingsInvalid(f'`{field}:` must be text: put {value!r} in "quotation marks".')
    if not value.strip():
        raise SettingsInvalid(f"`{field}:` is empty: add a value, or remove the line.")
    return value.strip()


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,60}", text):
        raise SettingsInvalid(
            "`name:` may have lowercase letters, digits and underscores (60 at most), since the "
            "sensor is named after it: for example `contact_centre`."
        )
    return text


def _url(text: str) -> str:
    bucket_name(text)
    return text


def _filename(text: str) -> LinearPattern:
    return compile_pattern(text, "filename")


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        similar = sorted(
            zone for zone in available_timezones() if text.casefold() in zone.casefold()
        )
        hint = f": did you mean {similar[0]}?" if similar else ": use for example Europe/London."
        raise SettingsInvalid(f"`timezone:` {text} is unknown{hint}") from None
    return text


def _agent_channel(text: str) -> str:
    if text not in ("left", "right"):
        raise SettingsInvalid(f"`agent_channel:` must be left or right, not {text}.")
    return text


def _day_folders(text: str) -> str:
    """Check a strftime pattern that names folders by day, and by nothing shorter."""
    days = (datetime(2026, 11, 22, 1), datetime(2026, 11, 22, 23), datetime(2028, 1, 5, 1))  # noqa: DTZ001
    morning, evening, another_day = (day.strftime(text) for day in days)
    climbs = {"", ".", ".."} & set(text.split("/"))
    if morning != evening or morning == another_day or climbs:
        raise SettingsInvalid(
            f"`day_folders:` {text} does not name folders by day: give the pattern of their names "
            "below the url, for example %Y/%m/%d or calls/%Y-%m-%d."
        )
    return text


def _raw(text: str) -> RawFormat:
    try:
        return parse_raw_format(text)
    except ValueError as error:
        raise SettingsInvalid(f"`raw:` {error}") from None


def _channel_roles(text: str) -> tuple[Speaker, ...]:
    try:
        return parse_roles(text)
    except ValueError as error:
        raise SettingsInvalid(f"`channel_roles:` {error}") from None


def _one_of(choices: type[Choice], field: str) -> Callable[[str], Choice]:
    def parse(text: str) -> Choice:
        try:
            return choices(text)
        except ValueError:
            options = ", ".join(choices)
            raise SettingsInvalid(f"`{field}:` must be one of {options}, not {text}.") from None

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "url": _url,
    "filename": _filename,
    "timezone": _timezone,
    "agent_channel": _agent_channel,
    "mono_first_speaker": _one_of(MonoFirstSpeaker, "mono_first_speaker"),
    "duplicates": _one_of(DuplicatePolicy, "duplicates"),
    "lane": _one_of(Lane, "lane"),
    "day_folders": _day_folders,
    "raw": _raw,
    "channel_roles": _channel_roles,
    "time_format": parse_time_format,
    "unreadable_transcript": _one_of(UnreadableTranscript, "unreadable_transcript"),
}
_TABLES: dict[str, Callable[[object], Any]] = {
    "speakers": parse_speakers,
    "metadata": parse_metadata,
    "include": parse_patterns("include"),
    "exclude": parse_patterns("exclude"),
    "redact": parse_redact,
}


def _absolute(url: str, folder: Path) -> str:
    if local_folder(url) is None or "://" in url:
        return url
    return str(folder / Path(url).expanduser())


def _yaml_error(error: yaml.YAMLError) -> str:
    """Return the line and the problem, without the parser's excerpt of the file."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())[:200]
