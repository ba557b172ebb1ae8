"""How erased calls are named in texts of others: by id, by key, by the name of the file."""

import json
import re
from collections.abc import Iterable

import ahocorasick

SHORTEST = 6


class Names:
    """Ids, keys and file names, looked for as whole words; all of them in one pass.

    `a`, or `call` without an ending, tells of no call: such names are looked for only where a whole
    field is one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._exactly = set(names)
        self._forms = ahocorasick.Automaton()
        for name in filter(_is_distinct, self._exactly):
            for form in _written(name):
                self._forms.add_word(form, form)
        self._forms.make_automaton()

    def __bool__(self) -> bool:
        return bool(self._exactly)

    def stand_in(self, text: str, file_name: str | None) -> bool:
        """Whether a text, or the name of a file, tells of one of the calls."""
        if file_name in self._exactly:
            return True
        if not len(self._forms):
            return False
        return any(
            _is_word(text, end + 1 - len(form), end + 1) for end, form in self._forms.iter(text)
        )


def _is_distinct(name: str) -> bool:
    return len(name) >= SHORTEST and re.search(r"[\d./_-]", name) is not None


def _written(name: str) -> set[str]:
    """A name as it stands in text, and in JSON with ASCII characters or any."""
    return {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether what stands between is no part of a longer word."""
    around = text[start - 1 : start] if start else "", text[end : end + 1]
    return not any(each.isalnum() or each == "_" for each in around)
