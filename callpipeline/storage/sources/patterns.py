"""Regular expressions of operators, matched by RE2 in time linear in the text.

Python's `re` backtracks: a name of 40 letters can keep it busy for hours, and a running match
cannot be interrupted. RE2 has no look-around and no backreferences, which need backtracking.
Patterns are checked as Python's first, and translated where RE2 means something else: its classes
know only ASCII.
"""

import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

from callpipeline.domain.calls.sources import MAX_SEARCHED_CHARS
from callpipeline.errors import SettingsInvalid

MAX_PATTERN_CHARS = 2000
MAX_PROGRAM_BYTES = 1024 * 1024
"""Limit of RE2 for a compiled pattern: repetitions of repetitions multiply."""
MAX_MATCH_S = 0.05

_WORD = r"\p{L}\p{N}_"
_SPACE = r"\s\x0b\x1c-\x1f\x{85}\p{Z}"
_OUTSIDE = {
    "w": f"[{_WORD}]",
    "W": f"[^{_WORD}]",
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "s": f"[{_SPACE}]",
    "S": f"[^{_SPACE}]",
    "Z": r"\z",
}
_IN_CLASS = {"w": _WORD, "d": r"\p{Nd}", "D": r"\P{Nd}", "s": _SPACE}
_CLASS = re.compile(r"\[\^?\]?")
_NEGATED = "use a class without it, such as [^_] instead of [\\W\\d]"
_UNSUPPORTED = {
    "(?=": "look-ahead",
    "(?!": "look-ahead",
    "(?<=": "look-behind",
    "(?<!": "look-behind",
    "(?(": "conditions",
    "(?P=": "references to groups",
    "(?>": "atomic groups",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_HOSTILE = ("a", "A1", "_", "a_", "-", "1", "a1-", "0", ".", " ", "\u00e4", "\U0001f3a7", "/a")
_LITERAL = re.compile(r"[A-Za-z0-9_./ -]{2,}")


@dataclass(frozen=True, slots=True)
class LinearPattern:
    """A pattern with named groups, searched in text; equal if its text is."""

    text: str
    _compiled: Any = field(repr=False, compare=False)

    def groups(self, text: str) -> Mapping[str, str] | None:
        """Return the named groups of the first match, None without one."""
        # RE2 needs UTF-8, which has no lone surrogates; values are cleaned of their replacement.
        found = self._compiled.search(_SURROGATE.sub("\ue000", text))
        return found.groupdict("") if found else None

    def __reduce__(self) -> Any:
        return compile_pattern, (self.text, "pattern")


@lru_cache(maxsize=256)
def compile_pattern(text: str, field_name: str) -> LinearPattern:
    """Compile the pattern of a setting, and try it. Raises SettingsInvalid, naming the setting."""
    groups = _check_python(text, field_name)
    options = re2.Options()
    options.max_mem = MAX_PROGRAM_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(_translate(text, field_name), options=options)
    except re2.error as error:
        raise SettingsInvalid(f"`{field_name}:` {_explain(text, error)}") from None
    if not groups:
        raise SettingsInvalid(
            f"`{field_name}:` has no named groups: name the parts to extract, as in "
            "AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)."
        )
    pattern = LinearPattern(text, compiled)
    _try_hostile_names(pattern, field_name)
    return pattern


def _check_python(text: str, field_name: str) -> Mapping[str, int]:
    """Return the groups. Raises SettingsInvalid for a pattern that Python does not accept."""
    if len(text) > MAX_PATTERN_CHARS:
        raise SettingsInvalid(
            f"`{field_name}:` has {len(text)} characters; the limit is {MAX_PATTERN_CHARS}."
        )
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return re.compile(text).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        where = getattr(error, "pos", None)
        position = "" if where is None else f" at character {where + 1}"
        raise SettingsInvalid(
            f"`{field_name}:` is not a valid regular expression{position} "
            f"({getattr(error, 'msg', error)}). In YAML, put it in 'single quotation marks', which "
            "leave backslashes unchanged."
        ) from None


def _explain(text: str, error: Exception) -> str:
    used = next((name for sign, name in _UNSUPPORTED.items() if sign in text), None)
    if used is None and re.search(r"(?<!\\)(\\\\)*\\[1-9]", text):
        used = "references to groups"
    if used:
        return (
            f"uses {used}, which can take forever on some names and is not supported: write the "
            "pattern without."
        )
    reason = error.args[0] if error.args else error
    reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if "too large" in reason:
        return "is too large when its repetitions are multiplied out: use smaller ones, or + or *."
    return f"is not supported by RE2, which matches it in linear time ({reason})."


def _translate(text: str, field_name: str) -> str:
    """Return the pattern for RE2, with the meaning that it has in Python."""
    parts: list[str] = []
    position, in_class = 0, False
    while position < len(text):
        rest = text[position:]
        if text[position] == "\\":
            part, used = _escape(rest, in_class, field_name)
        elif in_class:
            part, used = (r"\[" if rest[0] == "[" else rest[0]), 1
            in_class = rest[0] != "]"
        elif opened := _CLASS.match(rest):
            # Python allows `]` as the first member.
            part, used, in_class = opened[0].replace("]", r"\]"), opened.end(), True
        elif at_most := re.match(r"\{,(\d+)\}", rest):
            part, used = f"{{0,{at_most[1]}}}", at_most.end()
        else:
            part, used = rest[0], 1
        parts.append(part)
        position += used
    return "".join(parts)


def _escape(rest: str, in_class: bool, field_name: str) -> tuple[str, int]:
    """Return the translation of an escape at the beginning of `rest`, and its length."""
    letter = rest[1]
    if letter in "uU":
        digits = 4 if letter == "u" else 8
        return f"\\x{{{rest[2 : 2 + digits]}}}", 2 + digits
    if in_class and letter in "WS":
        raise SettingsInvalid(f"`{field_name}:` has \\{letter} between brackets: {_NEGATED}.")
    return (_IN_CLASS if in_class else _OUTSIDE).get(letter, rest[:2]), 2


def _try_hostile_names(pattern: LinearPattern, field_name: str) -> None:
    """Raise SettingsInvalid if a name that almost matches takes long."""
    literals = [*dict.fromkeys(_LITERAL.findall(pattern.text))][:5]
    starts = ["", "".join(literals), *literals]
    for start in starts:
        for repeated in _HOSTILE:
            name = (start + repeated * MAX_SEARCHED_CHARS)[: MAX_SEARCHED_CHARS - 1] + "\n"
            begin = time.thread_time()
            pattern.groups(name)
            took_s = time.thread_time() - begin
            if took_s > MAX_MATCH_S:
                raise SettingsInvalid(
                    f"`{field_name}:` takes {took_s * 1000:.0f} ms on a name of "
                    f"{MAX_SEARCHED_CHARS} characters: use smaller repetitions, or + or *."
                )
