"""Reading the list of places where recordings arrive from a YAML file.

Every complaint names the file, the source, the field and what to write instead.
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

from callpipeline.domain.call import DuplicatePolicy, Lane
from callpipeline.domain.source import Source
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.objects import bucket_name, folder_at

Choice = TypeVar("Choice", bound=StrEnum)


def read_sources(path: Path) -> tuple[Source, ...]:
    """The sources in `path`; folders that are not absolute lie beside the file."""
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        entries = enumerate(_entries(content), start=1)
        return tuple(_explained(entry, number, path.absolute().parent) for number, entry in entries)
    except FileNotFoundError:
        raise SettingsInvalid(f"{path}: there is no such file; make it, with a list.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    except yaml.YAMLError as error:
        raise SettingsInvalid(f"{path}: is not YAML ({_first_line(error)}).") from error
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{path}: {error}") from error


def refuse_overlap(sources: Sequence[Source], bucket_of: Callable[[Source], str]) -> None:
    """Raises SettingsInvalid where two sources would make two calls of one recording, or mix them.

    `bucket_of` is a source's bucket in the identity of its recordings.
    """
    for number, source in enumerate(sources):
        for other in sources[:number]:
            if other.name == source.name:
                raise SettingsInvalid(f"Two sources are named {source.name}: rename one.")
            if lies_in(source.url, other.url) or lies_in(other.url, source.url):
                raise SettingsInvalid(
                    f"The sources {other.name} and {source.name} share recordings, since the url "
                    "of one lies in that of the other: give them places of their own, or make "
                    "them one source."
                )
            if bucket_of(other) == bucket_of(source):
                raise SettingsInvalid(
                    f"The recordings of the sources {other.name} and {source.name} would have the "
                    f"same bucket, {bucket_of(source)}: rename one of these sources."
                )


def lies_in(url: str, other: str) -> bool:
    """Whether the place at `url` is the place at `other`, or inside it."""
    return f"{_place(url)}/".startswith(f"{_place(other)}/")


def _place(url: str) -> str:
    folder = folder_at(url)
    if folder:
        # Not resolve(), which raises where links lead in a circle: one source, not all, is broken.
        return os.path.realpath(folder).rstrip("/")
    bucket_name(url)
    parts = urlsplit(url)
    return f"s3://{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


def _entries(content: object) -> list[object]:
    mapping = cast("dict[object, object]", content) if isinstance(content, dict) else {}
    if set(mapping) != {"sources"} or not isinstance(mapping["sources"], list | None):
        raise SettingsInvalid(
            "the file must hold the one key `sources:` with a list below it; begin each source "
            "with a dash and `name:`."
        )
    return cast("list[object]", mapping["sources"] or [])


def _explained(entry: object, number: int, folder: Path) -> Source:
    name = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
    try:
        return _source(entry, folder)
    except SettingsInvalid as error:
        told = str(name)[:60] if name is not None else "without a name"
        raise SettingsInvalid(f"source {number} ({told}): {error}") from error


def _source(entry: object, folder: Path) -> Source:
    if not isinstance(entry, dict):
        raise SettingsInvalid("must have fields: write `name:` and `url:` below the dash.")
    fields = cast("dict[Any, object]", entry)
    unknown = ", ".join(sorted(str(field) for field in set(fields) - set(_READ)))
    if unknown:
        raise SettingsInvalid(f"unknown field {unknown}: use {', '.join(_READ)}.")
    for needed in ("name", "url"):
        if fields.get(needed) is None:
            raise SettingsInvalid(f"has no {needed}: add `{needed}:`.")
    told = {field: _text(value, field) for field, value in fields.items() if value is not None}
    read: dict[str, Any] = {field: _READ[field](value) for field, value in told.items()}
    read["url"] = _beside(read["url"], folder)
    return Source(**read)


def _text(value: object, field: str) -> str:
    """YAML reads a bare 3, no or on as a number or a truth value: those need quotation marks."""
    if not isinstance(value, str):
        raise SettingsInvalid(f'`{field}:` must be text: put {value!r} in "quotation marks".')
    if not value.strip():
        raise SettingsInvalid(f"`{field}:` is empty: write it, or remove the line.")
    return value.strip()


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,60}", text):
        raise SettingsInvalid(
            "`name:` may have small letters, digits and underscores (60 at most), since its "
            "sensor is named after it: write for example `contact_centre`."
        )
    return text


def _url(text: str) -> str:
    bucket_name(text)
    return text


def _filename(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise SettingsInvalid(
            f"`filename:` is no regular expression{place} ({error.msg}). In YAML put it in 'single "
            "quotation marks', in which a backslash is a backslash."
        ) from None
    if not groups:
        raise SettingsInvalid(
            "`filename:` names nothing: put what you want to know into named groups, as in "
            "AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)."
        )
    return text


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        known = sorted(zone for zone in available_timezones() if text.casefold() in zone.casefold())
        hint = f": did you mean {known[0]}?" if known else ": write for example Europe/London."
        raise SettingsInvalid(f"`timezone:` {text} is not known{hint}") from None
    return text


def _agent_channel(text: str) -> str:
    if text not in ("left", "right"):
        raise SettingsInvalid(f"`agent_channel:` must be left or right, not {text}.")
    return text


def _day_folders(text: str) -> str:
    """Only what a day decides: with an hour in it, each look would be for another folder."""
    days = (datetime(2026, 11, 22, 1), datetime(2026, 11, 22, 23), datetime(2028, 1, 5, 1))  # noqa: DTZ001
    morning, evening, another_day = (day.strftime(text) for day in days)
    climbs = {"", ".", ".."} & set(text.split("/"))
    if morning != evening or morning == another_day or climbs:
        raise SettingsInvalid(
            f"`day_folders:` {text} does not name folders after days: write how they are named "
            "below the url, for example %Y/%m/%d or calls/%Y-%m-%d."
        )
    return text


def _one_of(choices: type[Choice], field: str) -> Callable[[str], Choice]:
    def read(text: str) -> Choice:
        try:
            return choices(text)
        except ValueError:
            told = ", ".join(choices)
            raise SettingsInvalid(f"`{field}:` must be one of {told}, not {text}.") from None

    return read


_READ: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "url": _url,
    "filename": _filename,
    "timezone": _timezone,
    "agent_channel": _agent_channel,
    "duplicates": _one_of(DuplicatePolicy, "duplicates"),
    "lane": _one_of(Lane, "lane"),
    "day_folders": _day_folders,
}


def _beside(url: str, folder: Path) -> str:
    if folder_at(url) is None or "://" in url:
        return url
    return str(folder / Path(url).expanduser())


def _first_line(error: yaml.YAMLError) -> str:
    """Where and what, in the words of the parser but without its picture of the line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())[:200]
