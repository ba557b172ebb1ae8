"""Ids of calls in texts that others wrote."""

import re
from collections.abc import Collection

CALL_ID = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}(?![0-9a-f])", re.ASCII)


def ids_in(text: str | None) -> set[str]:
    """The ids of calls that a text names; one pass, however many one looks for."""
    return set(CALL_ID.findall(text or ""))


def is_call_id(text: str) -> bool:
    return CALL_ID.fullmatch(text) is not None


def masked(text: str, call_ids: Collection[str], by: str) -> str:
    """The text with `by` in place of these ids."""
    return CALL_ID.sub(lambda found: by if found[0] in call_ids else found[0], text)
