"""What is wrong with a request, in words that quote nothing of it."""

from collections.abc import Iterable
from typing import Any


def sentence_of(errors: Iterable[Any]) -> str:
    """What is wrong with a request and where, without the values."""
    said = [f"{_place(error)}: {_rule(error['msg'])}" for error in errors]
    more = f" … and {len(said) - 5} more" if len(said) > 5 else ""
    return "The request cannot be used. " + "; ".join(said[:5]) + more + "."


def _place(error: Any) -> str:
    """Of a body that is no JSON the place has a number, which tells nobody anything."""
    where = () if error["type"] == "json_invalid" else error["loc"]
    parts = [str(part) for part in where if part not in ("body", "query", "path")]
    return ".".join(parts) or "the body"


def _rule(message: str) -> str:
    plain = message.removeprefix("Value error, ")
    return plain if plain[:2].isupper() else plain[:1].lower() + plain[1:]
