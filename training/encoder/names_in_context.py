"""Training data for telling a company's name from an ordinary word by its context.

The name is written with an ordinary word ("we've been with harvest for a year"); the counterpart
marks an ordinary word where it means itself ("the harvest was late"). Sentences that were written
for it, with a name and its label, are in `names`.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from corpora import read_names
from utterances import HERE, NAMES, Turn, Utterance, call_utterances

from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.domain.competitors.words import NUMBER_WORDS, read_data

OTHER_COMPANY = "Amazon"
"""Stands for the name of another competitor, as in the product."""
_STOPS = re.compile(r"[.?!;:]")
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FUNCTION = word_set(
    """
    a an and are as at be been being but by can could did do does for from get go got had has have
    he her him his how i if in into is it its just me my no not of off on or our out she so some
    than that the their them then there they this to too up us very was we were what when where
    which who why will with would you your
    """
)


def _ordinary_words() -> list[str]:
    rows = [line.split("\t") for line in read_data("words.tsv").splitlines()[1:]]
    return [
        word
        for word, lower, _ in rows
        if len(word) > 2 and word.isalpha() and 1 <= int(lower) <= 900 and word not in _FUNCTION
    ]


ORDINARY = _ordinary_words()


def labelled_names() -> list[Utterance]:
    """Return the sentences of `names`."""
    return [each for file in sorted((HERE / "names").glob("*.txt")) for each in read_names(file)]


def name_utterances(
    count: int, sentences: Sequence[Utterance], seed: int, copies: int = 1
) -> list[Utterance]:
    """Return the sentences of `names`, and so many others of frames and `sentences`.

    Half of the others have a company at the mark; none counts for sentiment.
    """
    rng = random.Random(seed)
    written = [_renamed(each, rng) for each in labelled_names() for _ in range(copies)]
    frames = rng.sample(call_utterances(1, seed), count // 2)
    companies = [_with_ordinary_name(each, rng) for each in frames]
    others = [*frames, *rng.sample(sentences, count // 6)]
    words = [each for frame in others for each in _ordinary(frame, rng)]
    return [_as_heard(each, rng) for each in (*written, *companies, *words)]


def _about(left: str, name: str, right: str, *, is_company: bool) -> Utterance:
    return Utterance(
        left, name, right, "customer", "neutral", weight=0.0, source="names", is_company=is_company
    )


def _renamed(each: Utterance, rng: random.Random) -> Utterance:
    """Give a third of the companies another ordinary name."""
    if each.is_company and rng.random() < 0.35:
        return replace(each, name=rng.choice(ORDINARY).capitalize())
    return each


def _with_ordinary_name(frame: Utterance, rng: random.Random) -> Utterance:
    name = rng.choice(NAMES) if rng.random() < 0.2 else rng.choice(ORDINARY)
    made = replace(frame, name=name, weight=0.0, source="names", is_company=True)
    return replace(made, left=_others(made.left, rng), right=_others(made.right, rng))


def _ordinary(frame: Utterance, rng: random.Random) -> Iterator[Utterance]:
    """Yield the utterance with an ordinary word marked; its company is another competitor."""
    text = f"{frame.left}{OTHER_COMPANY}{frame.right}"
    words = [
        word for word in _WORDS.finditer(text)
        if word[0] != OTHER_COMPANY and word[0].lower() not in _FUNCTION and word[0] not in NAMES
        and "'" not in word[0] and (len(word[0]) > 2 or word[0].lower() in NUMBER_WORDS)
    ]  # fmt: skip
    if words:
        word = rng.choice(words)
        made = _about(text[: word.start()], word[0], text[word.end() :], is_company=False)
        yield replace(made, speaker=frame.speaker, before=frame.before[-1:])


def _others(text: str, rng: random.Random) -> str:
    """Write other companies as competitors that are known for sure, or leave them."""
    if rng.random() < 0.5:
        return text
    for name in NAMES:
        if name in text:
            text = re.sub(rf"\b{re.escape(name)}\b", OTHER_COMPANY, text)
    return text


def _as_heard(each: Utterance, rng: random.Random) -> Utterance:
    """Limit an utterance to its sentence, and a third of them to words without punctuation."""
    left, right = each.left, each.right
    if rng.random() < 0.85:
        left, right = _STOPS.split(left)[-1], _STOPS.split(right)[0]
    if rng.random() < 0.35:
        left, right = (" ".join(_WORDS.findall(side)) for side in (left, right))
        left, right = f"{left} ", f" {right}"
    before: tuple[Turn, ...] = each.before[-1:] if rng.random() < 0.5 else ()
    return replace(each, left=left, right=right, before=before, after=(), source="names")
