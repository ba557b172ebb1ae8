"""Findings of `callpipeline doctor`."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from callpipeline.errors import CallpipelineError


class FindingLevel(StrEnum):
    """Severity of a finding: `warn` works but needs attention, `bad` makes the exit code 1."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class DoctorFinding(NamedTuple):
    """Result of one examination; `name` is its subject."""

    name: str
    level: FindingLevel
    detail: str


Examination = Callable[[], Iterable[DoctorFinding] | str]
"""Returns findings, or a sentence if all is well; may raise any error."""


def run_examination(name: str, examination: Examination) -> Iterator[DoctorFinding]:
    """Yield the findings of an examination; an error becomes a bad finding."""
    try:
        result = examination()
        if isinstance(result, str):
            yield DoctorFinding(name, FindingLevel.OK, result)
        else:
            yield from result
    except Exception as error:
        reason = str(error) if isinstance(error, CallpipelineError) else _kind(error)
        yield DoctorFinding(name, FindingLevel.BAD, reason)


def _kind(error: Exception) -> str:
    """Return the class of a foreign error, and the reason if it is from the file system."""
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{reason}"
