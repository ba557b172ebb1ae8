"""Measuring mentions on labelled occurrences: precision, recall and questions asked in review.

Labels are a CSV file with a row for each occurrence of a name: `name`, `is_company` (1 or 0) and
`context` (the text around it, the name in double square brackets). With `call`, `segment` and
`start`, and a folder of transcripts, whole calls are used instead of the contexts.
"""

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.disambiguation.scoring import (
    ENOUGH_ANSWERS,
    Answer,
    NameAnswers,
)
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention, MentionStatus, follows
from callpipeline.domain.transcripts import SUPPLIED_ENGINE, Segment, Transcript
from callpipeline.errors import LabelsInvalid

APART_S = 100.0
"""Between contexts of one call, which are not consecutive."""
SEGMENT_S = 3.0
Z_95 = 1.96
_OPENING, _CLOSING = "[[", "]]"
_Position = tuple[int, int]
OpenMatcher = Callable[[Catalog], Matcher]


@dataclass(frozen=True, slots=True)
class LabelledName:
    """The labelled occurrences of one name in one call, by segment index and offset."""

    call: str
    name: str
    segments: tuple[Segment, ...]
    labels: Mapping[_Position, bool]


@dataclass(slots=True)
class MentionScore:
    """Counted mentions that were right and wrong, and companies that were not counted."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, *, counts: bool, is_company: bool) -> None:
        self.right += counts and is_company
        self.wrong += counts and not is_company
        self.missed += is_company and not counts

    @property
    def precision(self) -> float | None:
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        return _share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float | None:
        return _share(2 * self.right, 2 * self.right + self.wrong + self.missed)

    def intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the 95 % intervals of precision and recall (Wilson)."""
        return (
            wilson_interval(self.right, self.right + self.wrong),
            wilson_interval(self.right, self.right + self.missed),
        )


@dataclass(slots=True)
class MentionReport:
    """Scores by name and overall, automatic and after review, and the questions that were asked."""

    calls: int = 0
    questions: int = 0
    automatic: dict[str, MentionScore] = field(default_factory=dict[str, MentionScore])
    reviewed: dict[str, MentionScore] = field(default_factory=dict[str, MentionScore])

    @property
    def questions_per_call(self) -> float:
        return self.questions / self.calls if self.calls else 0.0


def overall(scores: Mapping[str, MentionScore]) -> MentionScore:
    listed = scores.values()
    return MentionScore(
        sum(s.right for s in listed), sum(s.wrong for s in listed), sum(s.missed for s in listed)
    )


def wilson_interval(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a share; everything is possible without observations."""
    if not whole:
        return 0.0, 1.0
    share, z2 = part / whole, Z_95**2
    middle = share + z2 / (2 * whole)
    spread = Z_95 * sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    scale = 1 + z2 / whole
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def read_labels(
    path: Path, transcripts: Path | None = None, *, lower_case: bool = False
) -> list[LabelledName]:
    """Read a file of labels. Raises LabelsInvalid."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                _check(row, number)
                rows[row.get("call") or f"line {number}", row["name"]].append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsInvalid(f"{path}: cannot be read as CSV ({error}).") from error
    return [
        _labelled(call, name, listed, transcripts, lower_case)
        for (call, name), listed in sorted(rows.items())
    ]


def _check(row: Mapping[str, str], number: int) -> None:
    missing = [name for name in ("name", "is_company", "context") if not row.get(name)]
    if missing:
        raise LabelsInvalid(f"line {number}: no {', '.join(missing)}. See docs/mentions.md.")
    if row["is_company"] not in ("0", "1"):
        raise LabelsInvalid(f"line {number}: is_company must be 1 or 0.")
    if _OPENING not in row["context"]:
        raise LabelsInvalid(f"line {number}: mark the name in the context: [[{row['name']}]].")


def _labelled(
    call: str, name: str, rows: Sequence[dict[str, str]], folder: Path | None, lower_case: bool
) -> LabelledName:
    whole = _whole_call(folder, call)
    if whole is None:
        texts = [row["context"].replace(_OPENING, "").replace(_CLOSING, "") for row in rows]
        at = [(number, row["context"].index(_OPENING)) for number, row in enumerate(rows)]
        apart_s = APART_S
    else:
        numbers = {number: index for index, (number, _) in enumerate(whole)}
        texts = [text for _, text in whole]
        at = [(numbers[int(row["segment"])], int(row["start"])) for row in rows]
        apart_s = SEGMENT_S
    segments = tuple(
        Segment(
            index, index * apart_s, index * apart_s + SEGMENT_S, Channel.MIXED, Speaker.UNKNOWN,
            text.lower() if lower_case else text,
        )
        for index, text in enumerate(texts)
    )  # fmt: skip
    labels = {where: row["is_company"] == "1" for where, row in zip(at, rows, strict=True)}
    return LabelledName(call, name, segments, labels)


def _whole_call(folder: Path | None, call: str) -> list[tuple[int, str]] | None:
    """Return the segments of a call, by their id, from `<call>.json` or `<call>.*.json`."""
    found = sorted(folder.glob(f"{call}*.json")) if folder else []
    exact = [path for path in found if path.name.split(".")[0] == call]
    if not exact:
        return None
    path = next((path for path in exact if ".human." in path.name), exact[0])
    listed = json.loads(path.read_text(encoding="utf-8"))["segments"]
    return [(int(each.get("id", index)), each["text"]) for index, each in enumerate(listed)]


def labels_from_rows(rows: Iterable[Mapping[str, str]]) -> list[LabelledName]:
    """Return the labels of rows with `call`, `name`, `is_company` and `context`."""
    grouped: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        grouped[row["call"], row["name"]].append(dict(row))
    return [
        _labelled(call, name, listed, None, False)
        for (call, name), listed in sorted(grouped.items())
    ]


def automatic_outcomes(
    labelled: Iterable[LabelledName],
    competitors: Mapping[str, Competitor],
    open_matcher: OpenMatcher = Matcher,
) -> dict[str, tuple[bool, bool]]:
    """Return for each labelled occurrence, by a hash, whether it counts and whether it should.

    Answers of reviewers are left out, since the labels may be these answers. Names that are not in
    the catalog are left out, too.
    """
    outcomes: dict[str, tuple[bool, bool]] = {}
    for each in labelled:
        if (competitor := competitors.get(each.name)) is None or competitor.own:
            continue
        transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, SUPPLIED_ENGINE, each.segments)
        found = find_mentions([transcript], open_matcher(Catalog((competitor,))))
        statuses = {(m.segment_index, m.char_start): m.status for m in found}
        texts = {segment.index: segment.text for segment in each.segments}
        for (segment, start), is_company in each.labels.items():
            label = f"{each.name}\n{texts[segment]}\n{start}"
            name = hashlib.sha256(label.encode("utf-8", "replace")).hexdigest()[:16]
            counts = statuses.get((segment, start)) is MentionStatus.COUNTED
            outcomes[name] = (counts, is_company)
    return outcomes


def measure_mentions(
    labelled: Iterable[LabelledName],
    competitors: Mapping[str, Competitor] | None = None,
    open_matcher: OpenMatcher = Matcher,
) -> MentionReport:
    """Find the labelled names, and review them as a person who knows the labels would.

    Each open name of a call is one question, about its least certain occurrence; the answer
    applies to the others that `follows` names, and teaches about the name in later calls.
    """
    report, calls = MentionReport(), set[str]()
    answers: dict[str, list[Answer]] = defaultdict(list)
    for each in labelled:
        calls.add(each.call)
        competitor = (competitors or {}).get(each.name) or Competitor(each.name, ambiguous=True)
        given = {competitor.name: NameAnswers(tuple(answers[each.name]))}
        transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, SUPPLIED_ENGINE, each.segments)
        matcher = open_matcher(Catalog((competitor,)))
        automatic = find_mentions([transcript], matcher)
        taught = find_mentions([transcript], matcher, answers=given)
        _add(report.automatic, each, automatic)
        asked = _least_certain(each, taught)
        if any(mention.status is MentionStatus.NEEDS_REVIEW for mention in taught):
            report.questions += 1
        if asked is not None and asked.log_odds is not None:
            answer = each.labels[asked.segment_index, asked.char_start]
            answers[each.name].append(Answer(asked.log_odds, answer, asked.phrase))
            _add(report.reviewed, each, taught, asked, answer=answer)
        else:
            _add(report.reviewed, each, taught)
    report.calls = len(calls)
    return report


def measure_taught(
    labelled: Iterable[LabelledName],
    competitors: Mapping[str, Competitor] | None = None,
    open_matcher: OpenMatcher = Matcher,
) -> MentionScore:
    """Find the labelled names after two answers about each, which are about other calls.

    Names in fewer than three calls are left out. The answers are about the next calls, in the order
    of their ids, and in each about the labelled occurrence that is the least certain.
    """
    by_name: dict[str, list[LabelledName]] = defaultdict(list)
    for each in labelled:
        by_name[each.name].append(each)
    total = MentionScore()
    for name, said in by_name.items():
        if len(said) <= ENOUGH_ANSWERS:
            continue
        competitor = (competitors or {}).get(name) or Competitor(name, ambiguous=True)
        matcher = open_matcher(Catalog((competitor,)))
        calls = [
            Transcript(Channel.MIXED, Speaker.UNKNOWN, SUPPLIED_ENGINE, each.segments)
            for each in said
        ]
        asked = [
            _answer(each, find_mentions([call], matcher))
            for each, call in zip(said, calls, strict=True)
        ]
        for at, (each, call) in enumerate(zip(said, calls, strict=True)):
            others = [answer for answer in (*asked[at + 1 :], *asked[:at]) if answer]
            if len(others) >= ENOUGH_ANSWERS:
                given = {competitor.name: NameAnswers(tuple(others[:ENOUGH_ANSWERS]))}
                found = find_mentions([call], matcher, answers=given)
                _add({name: total}, each, found)
    return total


def _answer(each: LabelledName, found: Iterable[Mention]) -> Answer | None:
    """Return a person's answer about the least certain occurrence that has a score."""
    asked = _least_certain(each, found, only_open=False)
    if asked is None or asked.log_odds is None:
        return None
    is_company = each.labels[asked.segment_index, asked.char_start]
    return Answer(asked.log_odds, is_company, asked.phrase)


def _least_certain(
    each: LabelledName, found: Iterable[Mention], *, only_open: bool = True
) -> Mention | None:
    labelled = [
        mention
        for mention in found
        if (mention.status is MentionStatus.NEEDS_REVIEW if only_open else mention.log_odds)
        and (mention.segment_index, mention.char_start) in each.labels
    ]
    return min(labelled, key=lambda mention: abs(mention.log_odds or 0.0), default=None)


def _add(
    scores: dict[str, MentionScore],
    each: LabelledName,
    found: Iterable[Mention],
    asked: Mention | None = None,
    *,
    answer: bool = False,
) -> None:
    """Add the labelled occurrences of a name, with the answer about `asked` where it applies."""
    mentions = {(m.segment_index, m.char_start): m for m in found}
    score = scores.setdefault(each.name, MentionScore())
    for where, is_company in each.labels.items():
        mention = mentions.get(where)
        counts = mention is not None and mention.counts
        if asked is not None and mention is not None and follows(mention, asked):
            counts = answer
        score.add(counts=counts, is_company=is_company)


def rows_of(report: MentionReport) -> Iterator[tuple[str, MentionScore, MentionScore]]:
    """Yield the scores of each name, most occurrences first, and last of all names together."""
    names = sorted(report.automatic, key=lambda name: -_occurrences(report.automatic[name]))
    for name in names:
        yield name, report.automatic[name], report.reviewed[name]
    yield "All names", overall(report.automatic), overall(report.reviewed)


def _occurrences(score: MentionScore) -> int:
    return score.right + score.wrong + score.missed
