"""What an examination of `callpipeline doctor` finds."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from callpipeline.errors import CallpipelineError


class Level(StrEnum):
    """`ok`, `warn` (works, and should be looked at), `bad` (calls are not processed as they are
    to be); only the last one makes the doctor end with exit code 1."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(NamedTuple):
    """A fact, and what it means; `name` is what was looked at."""

    name: str
    level: Level
    detail: str


Examination = Callable[[], Iterable[Finding] | str]
"""Findings, or a sentence where all is well; raises what it meets."""


def found(name: str, examination: Examination) -> Iterator[Finding]:
    """What an examination finds; one that cannot be made is a bad finding with its reason."""
    try:
        told = examination()
        yield from [Finding(name, Level.OK, told)] if isinstance(told, str) else list(told)
    except Exception as error:
        said = str(error) if isinstance(error, CallpipelineError) else _kind(error)
        yield Finding(name, Level.BAD, said)


def _kind(error: Exception) -> str:
    """Of an error that is not ours the kind, and of the file system's also the reason."""
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{reason}"
