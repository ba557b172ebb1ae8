"""Evaluations of mentions and sentiment on labels, compared with the one before.

A change of the list, the rules or an engine is evaluated once, on the labels of the settings and on
those that people gave in review. The result is worse if more labels became wrong than right.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.engines.ports import SentimentJudge
from callpipeline.pipeline.quality.mention_labels import (
    LabelledName,
    MentionScore,
    OpenMatcher,
    automatic_outcomes,
    labels_from_rows,
    read_labels,
)
from callpipeline.pipeline.quality.sentiment_evaluation import (
    LabelledUtterance,
    judge_utterances,
    measure,
    read_utterances,
)
from callpipeline.storage.ports.results import (
    EvaluationStore,
    ReviewedMention,
    StoredEvaluation,
)

MENTIONS, SENTIMENT = "mentions", "sentiment"
LABEL_COLUMNS: Sequence[str] = ("name", "is_company", "context", "call")
SIGNIFICANT = 0.05
"""Probability of so many more wrong labels by chance, below which the check is an error."""


@dataclass(frozen=True, slots=True)
class Regression:
    """An evaluation and its comparison with the one before, on the labels that both have."""

    now: StoredEvaluation
    before: StoredEvaluation | None = None

    @property
    def newly_wrong(self) -> int:
        return self._changed(was_right=True)

    @property
    def newly_right(self) -> int:
        return self._changed(was_right=False)

    @property
    def is_worse(self) -> bool:
        return self.newly_wrong > self.newly_right

    @property
    def is_significant(self) -> bool:
        """Return true if chance hardly explains the newly wrong labels (sign test)."""
        changed = self.newly_wrong + self.newly_right
        tail = sum(comb(changed, count) for count in range(self.newly_wrong, changed + 1))
        return self.is_worse and tail / 2**changed < SIGNIFICANT

    def describe(self) -> str:
        """Return the comparison in a sentence."""
        count = len(self.now.outcomes)
        if not count:
            return "There are no labels: review mentions, or name a file in the settings."
        right = sum(self.now.outcomes.values())
        text = f"{right:,} of {count:,} labels are right under {self.now.versions}"
        if self.before is None:
            return f"{text}; nothing to compare with yet."
        return (
            f"{text}; compared with {self.before.versions}, {self.newly_wrong:,} became wrong and "
            f"{self.newly_right:,} right."
        )

    def _changed(self, *, was_right: bool) -> int:
        before: Mapping[str, bool] = self.before.outcomes if self.before else {}
        return sum(
            before[label] is was_right and right is not was_right
            for label, right in self.now.outcomes.items()
            if label in before
        )


def reviewed_rows(reviewed: Sequence[ReviewedMention]) -> list[dict[str, str]]:
    """Return reviewed mentions as rows of a file of labels (docs/mentions.md)."""
    return [
        {
            "name": each.competitor,
            "is_company": "1" if each.is_company else "0",
            "context": f"{each.text[: each.start]}[[{each.text[each.start : each.end]}]]"
            f"{each.text[each.end :]}",
            "call": each.call_id,
        }
        for each in reviewed
    ]


def evaluate_mentions(
    store: EvaluationStore,
    catalog: Catalog,
    open_matcher: OpenMatcher,
    engine: str | None,
    file: Path | None,
) -> Regression:
    """Evaluate the list and the rules on labels. Raises LabelsInvalid.

    An evaluation of the same versions and labels is not repeated.
    """
    labelled = labels_from_rows(reviewed_rows(store.reviewed_mentions()))
    labelled += read_labels(file) if file else []
    versions = f"list {catalog.version}, rules {RULE_VERSION}, {engine or 'no encoder'}"
    labels = _hash(_texts(labelled))
    if (known := _known(store, MENTIONS, versions, labels)) is not None:
        return known
    competitors = {each.name: each for each in catalog.competitors}
    outcomes = automatic_outcomes(labelled, competitors, open_matcher)
    score = MentionScore()
    for counts, is_company in outcomes.values():
        score.add(counts=counts, is_company=is_company)
    calls, questions = store.questions_per_call()
    numbers = {
        "labels": len(outcomes),
        "precision": score.precision,
        "recall": score.recall,
        "questions_per_call": questions if calls else None,
        "estimated_recall": store.estimated_recall(),
    }
    right = {label: counts == is_company for label, (counts, is_company) in outcomes.items()}
    return _stored(store, MENTIONS, versions, labels, right, numbers)


async def evaluate_sentiment(
    store: EvaluationStore,
    judge: SentimentJudge,
    file: Path | None,
    corrected: Sequence[LabelledUtterance] = (),
) -> Regression:
    """Evaluate a judge on the utterances of a file and on those that people `corrected`.

    An evaluation of the same engine and labels is not repeated: a judge may cost money. Raises
    SettingsInvalid, and what the judge raises.
    """
    utterances = (*(read_utterances(file) if file else ()), *corrected)
    labels = _hash([_text(each) for each in utterances])
    if (known := _known(store, SENTIMENT, judge.name, labels)) is not None:
        return known
    if not utterances:
        return Regression(StoredEvaluation(judge.name, labels, {}, {}))
    judged = await judge_utterances(judge, utterances)
    if not judged:
        return Regression(StoredEvaluation(judge.name, labels, {}, {}))
    scores = measure(judged)
    numbers: dict[str, float | None] = {
        "labels": scores.count,
        "macro_f1": scores.macro_f1,
        "accuracy": scores.accuracy,
        "turned_round": scores.turned_round,
    }
    right = {_hash([_text(each.utterance)]): each.is_right for each in judged}
    return _stored(store, SENTIMENT, judge.name, labels, right, numbers)


def _known(store: EvaluationStore, subject: str, versions: str, labels: str) -> Regression | None:
    last = store.last(subject)
    if last is None or (last.versions, last.labels) != (versions, labels):
        return None
    return Regression(last, store.before(subject, versions))


def _stored(
    store: EvaluationStore,
    subject: str,
    versions: str,
    labels: str,
    right: Mapping[str, bool],
    numbers: Mapping[str, float | None],
) -> Regression:
    known = {name: number for name, number in numbers.items() if number is not None}
    now = StoredEvaluation(versions, labels, right, known)
    if right:
        store.save(subject, now)
    return Regression(now, store.before(subject, versions))


def _texts(labelled: Sequence[LabelledName]) -> list[str]:
    return [
        f"{each.name} {sorted(each.labels.items())} {[s.text for s in each.segments]}"
        for each in labelled
    ]


def _text(utterance: LabelledUtterance) -> str:
    turns = [f"{turn.speaker}: {turn.text}" for turn in utterance.turns]
    return "\n".join([*turns, str(utterance.label)])


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:16]
