"""Train the disambiguation of ambiguous names: callpipeline/domain/competitors/data.

The labelled occurrences of ordinary words that are also names come from a folder of training data
(`training/ordinary_word_names.csv`, whole calls in `transcripts/earnings21`; CC BY-SA 4.0) and from
sentences of our own in `tests/data`. Names, not occurrences, are held out for the figures that
are printed; the sentences in `tests/data/names/telecom.txt` and `other.txt` are only tested on.

Coefficients are fitted twice: with the encoder's judgement of the sentence, and without.

    python training/disambiguation.py FOLDER
"""

import csv
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import yaml
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.disambiguation.context import MentionContext, mention_context
from callpipeline.domain.competitors.disambiguation.features import (
    features,
    is_cased_text,
    name_usage,
)
from callpipeline.domain.competitors.disambiguation.scoring import (
    Answer,
    Coefficients,
    Disambiguation,
    NameAnswers,
    disambiguate,
)
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import MAX_COVERED_LOG_ODDS, MentionStatus
from callpipeline.domain.transcripts import Segment
from callpipeline.wiring import company_slots

ROOT = Path(__file__).parent.parent
DATA = ROOT / "callpipeline" / "domain" / "competitors" / "data"
SENTENCES = ROOT / "tests" / "data"
VERSION = 4
WEIGHTS = {"calls": 1.5, "fit": 1.5, "conversations": 1.0}
"""Of one group: few of our own sentences stand for many of telephone calls."""
FIXED = {
    "rule own_evidence": 4.0,
    "near what it sells": 1.2,
    "rule collocation": -6.0,
    "rule bare_one": -2.0,
    "plural of capitals": -3.0,
}
"""Weights of what training text has too little of: a catalog, fixed phrases, "our ATMs"."""
ADDED = {"company rule": 1.0, "before person's place": -1.5}
"""Added to learned weights: business calls seldom speak of switching companies, and more people
come "from the line of" than companies."""
PENALTY = 2.0
ACCEPT, REJECT, REJECT_COMMON, OTHERS = 1.5, -0.5, -2.5, 0.3
MIN_OCCURRENCES = 4
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[.?!:;\"“”]")
_PUNCTUATION = re.compile(r"[.,?!;-]+")
Vector = NDArray[np.float64]
Casing = Callable[[str], str]


def as_transcribed(text: str) -> str:
    """Format like a recogniser: no capitals, no punctuation."""
    return _PUNCTUATION.sub(" ", text).lower()


CASINGS: tuple[Casing, ...] = (str, as_transcribed)


@dataclass
class Group:
    """The occurrences of one name in one call; labels are None where nobody labelled."""

    source: str
    call: str
    name: str
    contexts: list[MentionContext]
    labels: list[int | None]
    is_cased: bool
    slots: list[float] = field(default_factory=list)

    def found(self, *, with_slots: bool) -> list[dict[str, float]]:
        """Return the features of each occurrence."""
        usage = name_usage(self.contexts, is_cased=self.is_cased)
        if with_slots and not self.slots:
            self.slots = company_slots()(self.contexts)
        slots = self.slots if with_slots else [None] * len(self.contexts)
        return [
            features(*each) for each in zip(self.contexts, [usage] * len(slots), slots, strict=True)
        ]


def segments(texts: Iterable[str]) -> list[Segment]:
    return [
        Segment(at, float(at), at + 1.0, Channel.MIXED, Speaker.UNKNOWN, text)
        for at, text in enumerate(texts)
    ]


def groups_of_calls(folder: Path, casing: Casing) -> Iterator[Group]:
    labelled: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (folder / "training" / "ordinary_word_names.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            labelled[row["call"], row["name"]].append(row)
    for (call, name), rows in sorted(labelled.items()):
        path = folder / "transcripts" / "earnings21" / f"{call}.human.json"
        lower = str.lower if casing is as_transcribed else str
        yield (group_of_call if path.exists() else group_of_excerpts)(path, name, rows, lower)


def group_of_call(path: Path, name: str, rows: list[dict[str, str]], casing: Casing) -> Group:
    labels = {(int(r["segment"]), int(r["start"])): int(r["is_company"]) for r in rows}
    listed = json.loads(path.read_text(encoding="utf-8"))["segments"]
    conversation = segments(casing(each["text"]) for each in listed)
    matcher = Matcher(Catalog((Competitor(name, ambiguous=True),)))
    contexts: list[MentionContext] = []
    found: list[int | None] = []
    for at, segment in enumerate(conversation):
        matches = matcher.find(segment.text)
        for match in matches:
            contexts.append(mention_context(conversation, at, matches=matches, match=match))
            found.append(labels.get((listed[at]["id"], match.char_start)))
    is_cased = is_cased_text(segment.text for segment in conversation)
    return Group("calls", path.stem, name, contexts, found, is_cased)


def group_of_excerpts(path: Path, name: str, rows: list[dict[str, str]], casing: Casing) -> Group:
    contexts: list[MentionContext] = []
    labels: list[int | None] = []
    for row in rows:
        context = context_of(name, casing(row["context"]), "[[", "]]")
        contexts.append(context)
        labels.append(int(row["is_company"]))
    return Group("calls", path.stem, name, contexts, labels, casing is str)


def context_of(
    name: str, marked: str, opening: str, closing: str, asked: str = ""
) -> MentionContext:
    """Return the context of the marked name, with three unambiguous competitors in the catalog."""
    start = marked.index(opening)
    text = marked.replace(opening, "").replace(closing, "")
    others = (Competitor("Vodafone"), Competitor("Plusnet"), Competitor("IONOS"))
    matches = Matcher(Catalog((Competitor(name, ambiguous=True), *others))).find(text)
    match = next(each for each in matches if each.char_start == start)
    said = Segment(0, 3.0, 5.0, Channel.RIGHT, Speaker.CUSTOMER, text)
    question = Segment(0, 0.0, 2.0, Channel.LEFT, Speaker.AGENT, asked)
    conversation = [question, said] if asked else [said]
    return mention_context(conversation, len(conversation) - 1, matches=matches, match=match)


def groups_of_sentences(path: Path, source: str, casing: Casing) -> Iterator[Group]:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, label, text = line.split("|")
        if f"[{name.casefold()}" in text.casefold():
            context = context_of(name, casing(text), "[", "]")
            is_cased = is_cased_text([casing(re.sub(r"[\[\]]", "", text))])
            yield Group(source, text, name, [context], [int(label)], is_cased)


def groups_of_conversations(casing: Casing) -> Iterator[Group]:
    path = SENTENCES / "ambiguous_sentences.yaml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8")).values()
    for entry in (entry for entries in listed for entry in entries):
        if entry["status"] == "needs_review" or (entry.get("cased") and casing is not str):
            continue
        text, asked = casing(entry["text"]), casing(entry.get("asked", ""))
        name = text[text.index("[") + 1 : text.index("]")]
        context = context_of(name, text, "[", "]", asked)
        label = int(entry["status"] == "counted")
        plain = re.sub(r"[\[\]]", "", text)
        is_cased = is_cased_text([plain, asked])
        yield Group("conversations", text, name, [context], [label], is_cased)


def matrix(found: Iterable[dict[str, float]], columns: dict[str, int]) -> Vector:
    rows = list(found)
    values = np.zeros((len(rows), len(columns) + 1))
    values[:, -1] = 1
    for at, row in enumerate(rows):
        for name, value in row.items():
            if name in columns:
                values[at, columns[name]] = value
    return values


def fit(groups: Iterable[Group], *, with_slots: bool) -> tuple[dict[str, int], Vector]:
    """Fit a logistic regression by Newton's method, with an L2 penalty on all but the intercept."""
    rows, labels, weights = list[dict[str, float]](), list[int](), list[float]()
    for group in groups:
        features_found = group.found(with_slots=with_slots)
        known = [(f, y) for f, y in zip(features_found, group.labels, strict=True) if y is not None]
        for found, label in known:
            rows.append({k: v for k, v in found.items() if k.removeprefix("uncased ") not in FIXED})
            labels.append(label)
            weights.append(WEIGHTS[group.source] / len(known) ** 0.5)
    counts = Counter(name for row in rows for name in row)
    names = sorted(name for name, count in counts.items() if count >= MIN_OCCURRENCES)
    columns = {name: at for at, name in enumerate(names)}
    x, y, w = matrix(rows, columns), np.array(labels, float), np.array(weights)
    penalty = np.full(x.shape[1], PENALTY)
    penalty[-1] = 1e-3
    beta = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (w * (p - y)) + penalty * beta
        hessian = (x.T * (w * p * (1 - p))) @ x + np.diag(penalty)
        beta -= np.linalg.solve(hessian, gradient)
    return columns, beta


def held_out_scores(calls: list[list[Group]], others: list[Group], *, with_slots: bool) -> None:
    """Print precision and recall of automatic decisions, with the names held out in five parts."""
    names = sorted({group.name for group in calls[0]})
    random.Random(3).shuffle(names)
    seen = names_looked_at(names)
    for title, groups in zip(("cased", "lower case"), calls, strict=True):
        hits, wrong, missed = 0, 0, 0
        models: dict[str, Coefficients] = {}
        for part in range(5):
            held = set(names[part::5])
            kept = [g for each in calls for g in each if g.name not in held]
            columns, beta = fit(kept + others, with_slots=with_slots)
            models |= dict.fromkeys(held, coefficients_of(columns, beta))
            for group in (group for group in groups if group.name in held):
                scores = matrix(group.found(with_slots=with_slots), columns) @ beta
                for score, label in zip(scores, group.labels, strict=True):
                    hits += bool(label) and score >= ACCEPT
                    missed += bool(label) and score < ACCEPT
                    wrong += label == 0 and score >= ACCEPT
        print(
            f"{title}: precision {hits / (hits + wrong):.3f}, recall {hits / (hits + missed):.3f}"
        )
        if with_slots:
            print_decisions(f"{title}, whole calls, all names", groups, models)
            unseen = [group for group in groups if group.name not in seen]
            print_decisions(f"{title}, names never looked at", unseen, models)


def names_looked_at(names: Iterable[str]) -> set[str]:
    """Return the half of the names whose errors were looked at while features were chosen."""
    listed = sorted(names)
    random.Random(11).shuffle(listed)
    return set(listed[::2])


def coefficients_of(columns: dict[str, int], beta: Vector) -> Coefficients:
    weights = {name: float(beta[at]) + ADDED.get(name, 0.0) for name, at in columns.items()}
    return Coefficients(float(beta[-1]), ACCEPT, REJECT, REJECT_COMMON, OTHERS, weights | FIXED)


def print_decisions(title: str, groups: list[Group], models: dict[str, Coefficients]) -> None:
    """Print precision and recall by themselves, with a person's answers, and after two answers."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    scores: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    questions = 0
    for group in sorted(groups, key=lambda each: (each.call, each.name)):
        given, model = answers[group.name], models[group.name]
        alone, taught = (decided(group, model, each) for each in ([], given))
        questions += any(each.status is MentionStatus.NEEDS_REVIEW for each in taught)
        asked = most_uncertain(group, taught, only_open=True)
        if asked:
            given.append(asked)
        for before, after, label in zip(alone, taught, group.labels, strict=True):
            if label is None:
                continue
            counts = after.status is MentionStatus.COUNTED
            scores["automatic"].append((before.status is MentionStatus.COUNTED, bool(label)))
            follows = asked is not None and is_covered(after, asked)
            is_company = asked.is_company if asked and follows else counts
            scores["reviewed"].append((is_company, bool(label)))
    scores["after two answers"] = list(taught_scores(groups, models))
    for kind, pairs in scores.items():
        hits = sum(counts and label for counts, label in pairs)
        precision = hits / max(1, sum(counts for counts, _ in pairs))
        companies = sum(label for _, label in pairs)
        recall = hits / max(1, companies)
        print(f"{title}, {kind}: precision {precision:.3f}, recall {recall:.3f} of {companies}")
    calls = len({group.call for group in groups})
    print(f"{title}: {questions / calls:.2f} questions a call")


def taught_scores(
    groups: list[Group], models: dict[str, Coefficients]
) -> Iterator[tuple[bool, bool]]:
    """Yield what is decided in each call, and the label, after answers about two other calls.

    The answers are about the next calls that say the name, in the order of their ids, and in each
    about the labelled occurrence that is the least certain.
    """
    of_name: dict[str, list[Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda each: each.call):
        of_name[group.name].append(group)
    for name, said in of_name.items():
        model = models[name]
        asked = [most_uncertain(each, decided(each, model, [])) for each in said]
        for at, group in enumerate(said):
            others = [each for each in (*asked[at + 1 :], *asked[:at]) if each]
            if len(others) < 2:
                continue
            outcomes = decided(group, model, others[:2])
            for outcome, label in zip(outcomes, group.labels, strict=True):
                if label is not None:
                    yield outcome.status is MentionStatus.COUNTED, bool(label)


def most_uncertain(
    group: Group, outcomes: list[Disambiguation], *, only_open: bool = False
) -> Answer | None:
    """Return a person's answer about the least certain labelled occurrence that has a score."""
    scored = [
        (abs(outcome.score), at)
        for at, outcome in enumerate(outcomes)
        if outcome.score is not None
        and group.labels[at] is not None
        and (outcome.status is MentionStatus.NEEDS_REVIEW or not only_open)
    ]
    if not scored:
        return None
    at = min(scored)[1]
    return Answer(outcomes[at].score or 0.0, bool(group.labels[at]), outcomes[at].phrase)


def decided(group: Group, model: Coefficients, answers: list[Answer]) -> list[Disambiguation]:
    slots = {id(context): slot for context, slot in zip(group.contexts, group.slots, strict=True)}
    return disambiguate(
        group.contexts,
        is_cased=group.is_cased,
        answers=NameAnswers(tuple(answers)),
        slots=lambda contexts: [slots[id(context)] for context in contexts],
        model=model,
    )


def is_covered(outcome: Disambiguation, asked: Answer) -> bool:
    """Return whether the answer holds, as `domain.competitors.mentions.follows` does."""
    is_open = outcome.status is MentionStatus.NEEDS_REVIEW
    is_moderate = outcome.score is not None and abs(outcome.score) < MAX_COVERED_LOG_ODDS
    return is_open or (is_moderate and asked.phrase in ("", outcome.phrase))


def write_words(folder: Path) -> None:
    """Count words in lower case, and with a capital inside a sentence."""
    lower, capital = Counter[str](), Counter[str]()
    for text in general_text(folder):
        starts = True
        for word in _WORD.findall(text):
            if word[0].isalpha() and word.islower():
                lower[word] += 1
            elif word[0].isalpha() and not starts and word != "I":
                capital[word.lower()] += 1
            starts = not word[0].isalpha()
    total = (lower.total() + capital.total()) / 1e6
    words = sorted(word for word in {*lower, *capital} if lower[word] or capital[word] > 1)
    rows = (f"{word}\t{lower[word] / total:.0f}\t{capital[word] / total:.0f}\n" for word in words)
    heading = "# word, occurrences per million words in lower case, and capitalised in a sentence\n"
    (DATA / "words.tsv").write_text(heading + "".join(rows), encoding="utf-8")


def general_text(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "transcripts" / "earnings21").glob("*.human.json")):
        yield from (each["text"] for each in json.loads(path.read_text("utf-8"))["segments"])
    news = folder / "training" / "newsmtsc_train.jsonl"
    for line in news.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)["sentence_normalized"]
    reviews = ElementTree.parse(folder / "training" / "mams_train.xml")
    yield from (each.text or "" for each in reviews.iter("text"))


def main() -> None:
    folder = Path(sys.argv[1])
    write_words(folder)
    calls = [list(groups_of_calls(folder, casing)) for casing in CASINGS]
    others = [
        group
        for casing in CASINGS
        for group in (
            *groups_of_sentences(SENTENCES / "names" / "fit.txt", "fit", casing),
            *groups_of_conversations(casing),
        )
    ]
    models: dict[str, object] = {"version": VERSION}
    for kind, with_slots in (("with slots", True), ("without slots", False)):
        print(kind)
        held_out_scores(calls, others, with_slots=with_slots)
        columns, beta = fit([*calls[0], *calls[1], *others], with_slots=with_slots)
        weights = {
            name: round(float(beta[at]) + ADDED.get(name, 0.0), 3) for name, at in columns.items()
        }
        models[kind] = {
            "intercept": round(float(beta[-1]), 3),
            "accept": ACCEPT,
            "reject": REJECT,
            "reject_common": REJECT_COMMON,
            "others": OTHERS,
            "weights": {n: value for n, value in weights.items() if abs(value) >= 0.01} | FIXED,
        }
    path = DATA / "disambiguation.json"
    path.write_text(json.dumps(models, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
