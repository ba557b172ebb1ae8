"""Interim results of live recognition, which a final result replaces."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from callpipeline.engines.transcribe.supplied import fields as f

MAX_DEPTH = 12


def without_interim(document: Any) -> Any:
    """Return a document without its interim results, if it has final ones.

    The last interim result stays if no final one follows it: the stream broke off in its words.
    """
    found = list(_results(document, 0))
    finals = [number for number, (_, is_final) in enumerate(found) if is_final]
    if not finals or len(finals) == len(found):
        return document
    last = found[-1][0] if finals[-1] < len(found) - 1 else None
    dropped = {id(result) for result, is_final in found if not is_final and result is not last}
    return _without(document, dropped, 0)


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
        kind = str(fields.get(name)).lower()
        if kind.startswith(("partial", "interim", "final")):
            return kind.startswith("final")
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
