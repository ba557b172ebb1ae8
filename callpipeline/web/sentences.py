"""What is wrong with a request, in words that quote nothing of it."""

from collections.abc import Iterable
from typing import Any


def sentence_of(errors: Iterable[Any]) -> str:
    """What is wrong with a request and where, without the values."""
    said = [f"{_place(error['loc'])}: {_rule(error['msg'])}" for error in errors]
    more = f" … and {len(said) - 5} more" if len(said) > 5 else ""
    return "The request cannot be used. " + "; ".join(said[:5]) + more + "."


def _place(loc: Iterable[str | int]) -> str:
    parts = [str(part) for part in loc if part not in ("body", "query", "path")]
    return ".".join(parts) or "the body"


def _rule(message: str) -> str:
    plain = message.removeprefix("Value error, ")
    return plain[:1].lower() + plain[1:]
