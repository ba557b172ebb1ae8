"""Interim results of live recognition, which a final result replaces."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any, NamedTuple, cast

from callpipeline.engines.transcribe.supplied import fields as f
from callpipeline.errors import TranscriptInvalid

MAX_DEPTH = 12
MAX_TIME_DEPTH = 4
MIN_SPAN_S = 0.001
_KIND = re.compile(
    r"(partial|interim|final)[ _-]?(?:transcript|transcription|result|recognition|utterance)?s?",
    re.IGNORECASE,
)


class _Result(NamedTuple):
    """A result, number `at` of the document; `span` is None if it has no time."""

    at: int
    value: Any
    is_final: bool
    channel: str | None
    speaker: str | None
    span: tuple[float, float] | None


def without_interim(document: Any) -> Any:
    """Return a document without its interim results that others replace, if it has final ones.

    One replaces them that is final, or a later interim one, of the same channel and speaker at the
    same time. Interim results without times go if a final one follows.
    """
    found = [_result(at, *each) for at, each in enumerate(_results(document, 0))]
    if all(each.is_final for each in found) or not any(each.is_final for each in found):
        return document
    timed = [(each.span, each) for each in found if each.span is not None]
    timed.sort(key=lambda one: one[0])
    starts = [span[0] for span, _ in timed]
    latest = list(accumulate((span[1] for span, _ in timed), max))
    last_final = max(each.at for each in found if each.is_final)

    def is_replaced(one: _Result) -> bool:
        if one.span is None:
            return one.at < last_final
        at = bisect_left(starts, one.span[1]) - 1
        while at >= 0 and latest[at] > one.span[0]:
            span, other = timed[at]
            if span[1] > one.span[0] and _replaces(other, one):
                return True
            at -= 1
        return False

    dropped = {id(each.value) for each in found if not each.is_final and is_replaced(each)}
    return _without(document, dropped, 0)


def _result(at: int, value: Any, is_final: bool) -> _Result:
    fields = f.folded(cast("f.Document", value))
    starts, ends = list[float](), list[float]()
    for start_s, end_s in _times(value, 0):
        starts.append(start_s)
        ends.append(max(end_s, start_s + MIN_SPAN_S))
    span = (min(starts), max(ends)) if starts else None
    speaker = f.speaker_label(fields)
    return _Result(at, value, is_final, f.channel_label(fields)[0], speaker, span)


def _times(value: Any, depth: int) -> Iterator[tuple[float, float]]:
    """Yield the start and the end of a result, or those of what is in it."""
    inner: Sequence[Any] = cast("Sequence[Any]", value) if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        fields = f.folded(cast("f.Document", value))
        with suppress(TranscriptInvalid):
            start_s = f.start_of(fields, "")
            if start_s is not None:
                yield start_s, f.end_of(fields, start_s, "") or start_s
                return
        inner = list(fields.values())
    if depth < MAX_TIME_DEPTH:
        for each in inner:
            yield from _times(each, depth + 1)


def _replaces(other: _Result, one: _Result) -> bool:
    if other.at == one.at or not (other.is_final or other.at > one.at):
        return False
    sides = ((one.channel, other.channel), (one.speaker, other.speaker))
    return all(mine is None or theirs is None or mine == theirs for mine, theirs in sides)


def _results(value: Any, depth: int) -> Iterator[tuple[Any, bool]]:
    """Yield the objects that say whether they are final, in order."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        fields = f.folded(cast("f.Document", value))
        if (is_final := _is_final(fields)) is not None:
            yield cast("Any", value), is_final
            return
        value = list(fields.values())
    if isinstance(value, list):
        for inner in cast("list[Any]", value):
            if isinstance(inner, list | Mapping):
                yield from _results(inner, depth + 1)


def _is_final(fields: f.Document) -> bool | None:
    """Return whether a result is final, None if it doesn't say."""
    for name, means in (("isfinal", True), ("final", True), ("ispartial", False)):
        if isinstance(fields.get(name), bool):
            return fields[name] is means
    for name in ("messagetype", "type", "event"):
        if kind := _KIND.fullmatch(str(fields.get(name)).strip()):
            return kind[1].lower() == "final"
    if set(fields) == {"partial"} or set(fields) == {"partial", "partialresult"}:
        return False
    return True if isinstance(fields.get("result"), list) and "text" in fields else None


def _without(value: Any, dropped: set[int], depth: int) -> Any:
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        kept = (each for each in cast("list[Any]", value) if id(each) not in dropped)
        return [_without(each, dropped, depth + 1) for each in kept]
    if isinstance(value, Mapping):
        document = cast("f.Document", value)
        return {name: _without(inner, dropped, depth + 1) for name, inner in document.items()}
    return value
