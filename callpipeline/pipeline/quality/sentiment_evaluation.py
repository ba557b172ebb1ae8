"""Evaluation of a sentiment judge on labelled utterances; docs/sentiment.md has the format."""

import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import TargetContexts
from callpipeline.engines.ports import Conversation, SentimentJudge
from callpipeline.errors import MissingObject, PermanentError, SettingsInvalid

SCORED = (Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.POSITIVE)
"""Labels over which macro-F1 is the mean; a judgement `mixed` is right for no other label."""
NOT_JUDGED = "not judged:"
CONFIDENCE_EDGES = (0.0, 0.4, 0.6, 0.8, 0.9, 1.01)
RESAMPLES = 1000
SECONDS_PER_WORD = 0.3
PAUSE_S = 0.4
_MARK = re.compile(r"\[\[(.+?)\]\]")
_CHANNELS = {Speaker.AGENT: Channel.LEFT}
_OPPOSITE = {
    Sentiment.POSITIVE: Sentiment.NEGATIVE,
    Sentiment.NEGATIVE: Sentiment.POSITIVE,
}


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """Words of a speaker in one turn; `[[…]]` may mark the company."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class LabelledUtterance:
    """Turns of a conversation in which one company is marked, and the sentiment towards it."""

    turns: tuple[SpokenTurn, ...]
    label: Sentiment

    @property
    def text(self) -> str:
        """The turn with the mark."""
        return self.turns[self.marked].text

    @property
    def marked(self) -> int:
        return next(n for n, turn in enumerate(self.turns) if _MARK.search(turn.text))


@dataclass(frozen=True, slots=True)
class JudgedUtterance:
    """A labelled utterance and its judgement."""

    utterance: LabelledUtterance
    sentiment: Sentiment
    rule: str = ""
    confidence: float | None = None

    @property
    def is_right(self) -> bool:
        return self.sentiment is self.utterance.label

    @property
    def is_turned_round(self) -> bool:
        """Return true for praise judged as blame, and blame as praise."""
        return _OPPOSITE.get(self.utterance.label) is self.sentiment


@dataclass(frozen=True, slots=True)
class EvaluationScores:
    """Scores over one set; the interval is the middle 95 % of bootstrap samples."""

    count: int
    macro_f1: float
    interval: tuple[float, float]
    accuracy: float
    turned_round: float
    precision: Mapping[Sentiment, float]
    recall: Mapping[Sentiment, float]
    confusion: Mapping[tuple[Sentiment, Sentiment], int]


@dataclass(frozen=True, slots=True)
class SentimentEvaluation:
    """Results of a judge on utterances, whole and cut in two, and CPU time for a mention."""

    engine: str
    whole: tuple[JudgedUtterance, ...]
    cut: tuple[JudgedUtterance, ...]
    cpu_ms: float


def read_utterances(file: Path) -> tuple[LabelledUtterance, ...]:
    """Return the utterances of a JSON lines file. Raises SettingsInvalid with the line."""
    found: list[LabelledUtterance] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} can't be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(_utterance(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsInvalid(f"{file}, line {number}: {error}.") from error
    if not found:
        raise SettingsInvalid(f"{file} has no utterances.")
    return tuple(found)


def utterance_rows(
    corrected: Iterable[tuple[str, Mention, Sentiment]],
    segments_of: Callable[[str], Sequence[Segment]],
) -> Iterator[dict[str, Any]]:
    """Yield corrected mentions as rows of a file of utterances, as the judge sees them.

    Mentions whose transcript was deleted or replaced are left out.
    """
    for call_id, mention, sentiment in corrected:
        try:
            context = TargetContexts(segments_of(call_id)).of(mention)
        except MissingObject:
            continue
        yield {
            "text": f"{context.left}[[{context.name}]]{context.right}",
            "speaker": str(context.speaker),
            "label": str(sentiment),
            "before": [{"speaker": str(t.speaker), "text": t.text} for t in context.before],
            "after": [{"speaker": str(t.speaker), "text": t.text} for t in context.after],
        }


def utterances_of_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[LabelledUtterance, ...]:
    """Return the utterances of rows; those with other marks in their text are left out."""
    found: list[LabelledUtterance] = []
    for row in rows:
        with suppress(ValueError):
            found.append(_utterance(row))
    return tuple(found)


def _utterance(row: Mapping[str, Any]) -> LabelledUtterance:
    before, after = ([_turn(turn) for turn in row.get(side, ())] for side in ("before", "after"))
    turns = (*before, _turn(row), *after)
    marks = sum(len(_MARK.findall(turn.text)) for turn in turns)
    if marks != 1:
        raise ValueError(f"{marks} companies are marked with [[…]] instead of one")
    return LabelledUtterance(turns, Sentiment(row["label"]))


def _turn(row: Mapping[str, Any]) -> SpokenTurn:
    return SpokenTurn(Speaker(row.get("speaker", "customer")), str(row["text"]))


def cut_in_two(utterance: LabelledUtterance) -> LabelledUtterance:
    """Return the utterance with its marked turn in two, near the middle, outside the mark."""
    marked = utterance.turns[utterance.marked]
    mark = _MARK.search(marked.text)
    assert mark is not None
    spaces = [
        at.start()
        for at in re.finditer(r"\s+", marked.text)
        if not mark.start() <= at.start() < mark.end()
    ]
    if not spaces:
        return utterance
    middle = min(spaces, key=lambda at: abs(at - len(marked.text) / 2))
    halves = [replace(marked, text=t.strip()) for t in (marked.text[:middle], marked.text[middle:])]
    at = utterance.marked
    turns = (*utterance.turns[:at], *(h for h in halves if h.text), *utterance.turns[at + 1 :])
    return replace(utterance, turns=turns)


def as_conversation(utterance: LabelledUtterance) -> tuple[Conversation, Mention]:
    """Return the turns as segments, and the mention of the marked company."""
    segments: list[Segment] = []
    mention: Mention | None = None
    clock_s, counts = 0.0, Counter[Channel]()
    for turn in utterance.turns:
        channel = _CHANNELS.get(turn.speaker, Channel.RIGHT)
        text = _MARK.sub(r"\1", turn.text)
        end_s = clock_s + SECONDS_PER_WORD * len(text.split())
        index = counts[channel]
        segments.append(Segment(index, clock_s, end_s, channel, turn.speaker, text))
        if mark := _MARK.search(turn.text):
            where = (channel, turn.speaker, index, mark.start(), mark.start() + len(mark[1]))
            mention = Mention(
                mark[1], mark[1], mark[1], *where, clock_s, end_s, None,
                MentionStatus.COUNTED, "marked",
            )  # fmt: skip
        counts[channel] += 1
        clock_s = end_s + PAUSE_S
    assert mention is not None
    return Conversation(tuple(segments)), mention


async def judge_utterances(
    judge: SentimentJudge, utterances: Sequence[LabelledUtterance]
) -> tuple[JudgedUtterance, ...]:
    """Judge each utterance once; one that the judge refuses is left out.

    Raises TransientError.
    """
    judged: list[JudgedUtterance] = []
    for each in utterances:
        try:
            found = await _judge_one(judge, each)
        except PermanentError:
            continue
        if not found.rule.startswith(NOT_JUDGED):
            judged.append(found)
    return tuple(judged)


async def evaluate_judge(
    judge: SentimentJudge, utterances: Sequence[LabelledUtterance]
) -> SentimentEvaluation:
    """Judge the utterances, whole and cut. Raises what the judge raises."""
    await _judge_one(judge, utterances[0])  # loads what it needs
    started_s = time.process_time()
    whole = [await _judge_one(judge, each) for each in utterances]
    cpu_ms = 1000 * (time.process_time() - started_s) / len(utterances)
    cut = [
        replace(await _judge_one(judge, cut_in_two(each)), utterance=each) for each in utterances
    ]
    return SentimentEvaluation(judge.name, tuple(whole), tuple(cut), cpu_ms)


async def _judge_one(judge: SentimentJudge, utterance: LabelledUtterance) -> JudgedUtterance:
    conversation, mention = as_conversation(utterance)
    (result,) = await judge.judge(conversation, [mention])
    if not isinstance(result, Judgement):
        return JudgedUtterance(utterance, Sentiment.MIXED, f"{NOT_JUDGED} {result.reason}")
    return JudgedUtterance(utterance, result.sentiment, result.rule, result.confidence)


def judge_texts(
    utterances: Sequence[LabelledUtterance], judge_text: Callable[[str], Sentiment]
) -> tuple[JudgedUtterance, ...]:
    """Judge each marked turn by its text alone, for comparison."""
    return tuple(
        JudgedUtterance(each, judge_text(_MARK.sub(r"\1", each.text))) for each in utterances
    )


def judge_as_majority(utterances: Sequence[LabelledUtterance]) -> tuple[JudgedUtterance, ...]:
    """Give each utterance the most frequent label, for comparison."""
    ((label, _),) = Counter(each.label for each in utterances).most_common(1)
    return tuple(JudgedUtterance(each, label) for each in utterances)


def measure(judged: Sequence[JudgedUtterance], seed: int = 0) -> EvaluationScores:
    """Return the scores; the same for the same judgements."""
    pairs = [(each.utterance.label, each.sentiment) for each in judged]
    confusion = Counter(pairs)
    rng = random.Random(seed)
    samples = sorted(_macro_f1(Counter(rng.choices(pairs, k=len(pairs)))) for _ in range(RESAMPLES))
    interval = (samples[int(0.025 * RESAMPLES)], samples[int(0.975 * RESAMPLES)])
    opinions = [each for each in judged if each.utterance.label in _OPPOSITE]
    turned = sum(each.is_turned_round for each in opinions) / max(1, len(opinions))
    right = sum(each.is_right for each in judged) / len(judged)
    said, true = Counter(s for _, s in pairs), Counter(t for t, _ in pairs)
    precision = {s: confusion[s, s] / max(1, said[s]) for s in SCORED}
    recall = {s: confusion[s, s] / max(1, true[s]) for s in SCORED}
    counts = (len(judged), _macro_f1(confusion), interval, right, turned)
    return EvaluationScores(*counts, precision, recall, confusion)


def _macro_f1(confusion: Counter[tuple[Sentiment, Sentiment]]) -> float:
    scores: list[float] = []
    for label in SCORED:
        total = sum(n * ((t is label) + (s is label)) for (t, s), n in confusion.items())
        scores.append(2 * confusion[label, label] / total if total else 0.0)
    return sum(scores) / len(scores)


Groups = Sequence[tuple[str, Sequence[JudgedUtterance]]]


def by_rule(judged: Sequence[JudgedUtterance]) -> Groups:
    """Return the judgements by what decided: the first word of the rule."""
    groups: dict[str, list[JudgedUtterance]] = {}
    for each in judged:
        groups.setdefault(each.rule.partition(":")[0], []).append(each)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def by_confidence(judged: Sequence[JudgedUtterance]) -> Groups:
    """Return the judgements with a confidence, by its range."""
    return list(_confidence_groups(judged))


def _confidence_groups(
    judged: Sequence[JudgedUtterance],
) -> Iterator[tuple[str, Sequence[JudgedUtterance]]]:
    for low, high in itertools.pairwise(CONFIDENCE_EDGES):
        group = [e for e in judged if e.confidence is not None and low <= e.confidence < high]
        if group:
            yield f"{low:.1f} to {min(high, 1.0):.1f}", group


def worst(judged: Sequence[JudgedUtterance], count: int) -> list[JudgedUtterance]:
    """Return wrong judgements, those turned round and the most confident ones first."""
    wrong = [each for each in judged if not each.is_right]
    wrong.sort(key=lambda each: (not each.is_turned_round, -(each.confidence or 0.0)))
    return wrong[:count]
