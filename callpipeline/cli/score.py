"""How what was found compares with what was truly said, for samples that come with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOLERANCE_S = 3.0
"""The truth's times are those of a sentence spread over its letters, so they are that rough."""

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over one or more calls; `agreed` are true mentions whose sentiment is right too."""

    spoken: int = 0
    found: int = 0
    true: int = 0
    agreed: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.spoken + other.spoken,
            self.found + other.found,
            self.true + other.true,
            self.agreed + other.agreed,
        )

    @property
    def recall(self) -> float:
        return self.true / self.spoken if self.spoken else 1.0

    @property
    def precision(self) -> float:
        return self.true / self.found if self.found else 1.0


def compare(found: Sequence[Found], truth: Sequence[Found]) -> Score:
    """Match each true mention with the nearest found one of the same competitor and channel."""
    left = list(found)
    true = agreed = 0
    for spoken in truth:
        near = [mention for mention in left if _same(mention, spoken)]
        if not near:
            continue
        match = min(near, key=lambda mention: _distance_s(mention, spoken))
        left.remove(match)
        true += 1
        agreed += match["sentiment"]["sentiment"] == spoken["sentiment"]
    return Score(len(truth), len(found), true, agreed)


def _same(mention: Found, spoken: Found) -> bool:
    here = mention["competitor"] == spoken["competitor"] and mention["channel"] == spoken["channel"]
    return here and _distance_s(mention, spoken) <= TOLERANCE_S


def _distance_s(mention: Found, spoken: Found) -> float:
    return abs(mention["start_s"] - spoken["start_s"])
