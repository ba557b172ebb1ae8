"""What a check finds: whether it passes, how grave it is if not, in words and in numbers.

Nothing here names a recording or holds what was said: findings are shown in Dagster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callpipeline.domain.notification import Severity

ENOUGH = 20
"""Of fewer calls one or two are a large share: then a check only warns."""


CALL = "call"
"""The heading of a column that holds ids of calls."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for a person to read."""

    headings: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


Row = Mapping[str, Any]
Fact = int | float | str | Table


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `is_news` is False where people are told of the same by another way."""

    passed: bool
    severity: Severity
    description: str
    facts: Mapping[str, Fact]
    is_news: bool = True

    @property
    def is_alarm(self) -> bool:
        """Whether people are told, wherever they look."""
        return not self.passed and self.severity is Severity.ERROR and self.is_news


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares up to which all is well, and up to which somebody should look at leisure."""

    warning: float
    error: float | None = None

    def severity(self, found: int, looked: int) -> Severity | None:
        """How grave it is that so many were found; None where it is as usual."""
        if looked == 0 or found / looked <= self.warning:
            return None
        is_grave = self.error is not None and looked >= ENOUGH and found / looked > self.error
        return Severity.ERROR if is_grave else Severity.WARNING


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted, of what, and what to do about it: `3 of 200 <units> <what>. <advice>`."""

    limits: Limits
    units: str
    what: str
    advice: str

    def finding(self, row: Row, facts: Mapping[str, Fact], *, grave: int | None = None) -> Finding:
        """By how many were found of those looked at; only where `grave` many are too many is it
        an error, and that is all that were found where it is not given."""
        looked, found = row["looked"], row["found"]
        worst = self.limits.severity(found, looked)
        gravest = self.limits.severity(found if grave is None else grave, looked)
        is_error = worst is gravest is Severity.ERROR
        severity = Severity.ERROR if is_error else Severity.WARNING
        numbers = {self.units: looked, "found": found, "percent": share(found, looked)}
        return Finding(
            worst is None, severity, self._in_words(looked, found, worst), numbers | dict(facts)
        )

    def _in_words(self, looked: int, found: int, severity: Severity | None) -> str:
        if not looked:
            return f"In the last 24 hours there were no {self.units} to look at."
        if not found:
            return f"None of {looked:,} {self.units} {self.what}."
        said = f"{found:,} of {looked:,} {self.units} {self.what}"
        if severity is None:
            return f"{said}: no more than the usual {self.limits.warning:.0%}."
        return f"{said}, {share(found, looked):g} %. {self.advice}"


def in_calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def share(found: int, looked: int) -> float:
    """In percent, as people and plots want it."""
    return round(100 * found / looked, 2) if looked else 0.0


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Rows of a query as a table; `columns` maps each column to its heading."""
    cells = (tuple(_cell(row[name]) for name in columns) for row in rows)
    return Table(tuple(columns.values()), tuple(cells))


def _cell(value: Any) -> object:
    if isinstance(value, float):
        return round(value, 2)
    return ", ".join(map(str, value)) if isinstance(value, list) else value
