"""Training utterances: hand-written frames, filled with names and varied as people speak.

A frame is a line of a file in `frames`: label and speaker, the utterance with slots, and
neighbouring turns, as in `n a | and how was {N}? | >c: dreadful`. `{N}` is the marked company.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
LABELS = {"n": "negative", "p": "positive", "0": "neutral", "m": "mixed"}
SPEAKERS = {"c": "customer", "a": "agent"}
NAMES = sorted({name.strip() for name in (HERE / "names.txt").read_text().split(",")})


@dataclass(frozen=True, slots=True)
class Turn:
    """What a speaker says in one turn."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """Text around a company's name, with its neighbouring turns and its label."""

    left: str
    name: str
    right: str
    speaker: str
    label: str
    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()
    weight: float = 1.0
    source: str = "calls"
    is_company: bool | None = True
    """Whether the marked name is a company's; None if it doesn't count."""


_AROUND: dict[str, list[str]] = json.loads((HERE / "surroundings.json").read_text())
_ERRORS = (
    ("you're", "your"), ("they're", "their"), ("there", "their"), ("it's", "its"), ("to", "too"),
    ("don't", "dont"), ("can't", "cant"), ("didn't", "didnt"), ("won't", "wont"), ("we're", "were"),
    ("I've", "I"), ("I'd", "I"), ("a", ""), ("the", ""), ("were", "was"), ("of", "a"),
    ("wouldn't", "wouldnt"), ("for", "four"), ("our", "are"), ("have", "of"), ("than", "then"),
)  # fmt: skip
_MONEY = ("{} quid", "{} pounds", "£{}", "${}", "{} dollars", "{} bucks", "{}", "{} euros")
_TENS = [
    "ten",
    "fifteen",
    "twenty",
    "twenty-five",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
]


def frames(files: str = "*.txt") -> Iterator[Utterance]:
    """Yield the frames with their slots."""
    for file in sorted((HERE / "frames").glob(files)):
        for line in file.read_text(encoding="utf-8").splitlines():
            head, text, *turns = line.split(" | ")
            label, speaker = head.split()
            sides: dict[str, list[Turn]] = {"<": [], ">": []}
            for turn in turns:
                sides[turn[0]].append(Turn(SPEAKERS[turn[1]], turn[3:].strip()))
            left, _, right = text.partition("{N}")
            about = (left, "{N}", right, SPEAKERS[speaker], LABELS[label])
            yield Utterance(*about, tuple(sides["<"]), tuple(sides[">"]))


def call_utterances(variants: int, seed: int, files: str = "*.txt") -> list[Utterance]:
    """Return each frame so many times, with other names and in other words around it."""
    rng = random.Random(seed)
    return [_vary(_fill(frame, rng), rng) for frame in frames(files) for _ in range(variants)]


def lexicon_utterances(count: int, seed: int) -> list[Utterance]:
    """Return utterances of one word with a strong valence in VADER's lexicon."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    rng = random.Random(seed)
    lexicon: dict[str, float] = SentimentIntensityAnalyzer().lexicon  # pyright: ignore
    words = sorted(w for w, v in lexicon.items() if w.isalpha() and len(w) > 3 and abs(v) >= 1.6)
    patterns = [
        ("", " are {}"), ("", " is {}"), ("honestly ", ", {}"), ("I'd call ", " {}"),
        ("", " was so {}"), ("{} people, ", ""), ("that's {} of ", ""), ("I found ", " {}"),
    ]  # fmt: skip
    made: list[Utterance] = []
    for word in rng.sample(words, min(count, len(words))):
        left, right = rng.choice(patterns)
        label = "positive" if lexicon[word] > 0 else "negative"
        about = (left.format(word), rng.choice(NAMES), right.format(word), "customer", label)
        made.append(Utterance(*about, weight=0.5))
    return made


def _fill(frame: Utterance, rng: random.Random) -> Utterance:
    name, other, third = rng.sample(NAMES, 3)
    low = rng.randint(1, 9)
    money = rng.choice(_MONEY)
    tens = rng.choice((_TENS, [str(10 * (n + 1)) for n in range(len(_TENS))]))
    slots = {
        "N": name, "O": other, "Q": third, "min": rng.choice(_TENS), "pct": rng.choice(_TENS),
        "amt": money.format(rng.choice(tens)), "lo": money.format(tens[low - 1]),
        "hi": money.format(tens[low + rng.randint(0, len(tens) - 1 - low)]),
    }  # fmt: skip

    def put(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda slot: slots[slot[1]], text)

    return replace(
        frame,
        left=put(frame.left),
        name=name.lower() if rng.random() < 0.3 else name,
        right=put(frame.right),
        before=tuple(Turn(turn.speaker, put(turn.text)) for turn in frame.before),
        after=tuple(Turn(turn.speaker, put(turn.text)) for turn in frame.after),
    )


def _vary(utterance: Utterance, rng: random.Random) -> Utterance:
    left, right = utterance.left, utterance.right
    if rng.random() < 0.35:
        left = f"{rng.choice(_AROUND['openings'])}{rng.choice((', ', ' '))}{left}"
    ends_in_question = right.rstrip().endswith("?")
    if rng.random() < 0.2 and not ends_in_question:
        right = f"{right}{rng.choice((', ', ' '))}{rng.choice(_AROUND['endings'])}"
    if rng.random() < 0.15:
        left = f"{rng.choice(_AROUND['facts'])} {left}"
    elif rng.random() < 0.15:
        right = f"{right}. {rng.choice(_AROUND['facts'])}"
    if utterance.speaker == "customer" and rng.random() < 0.06:
        link = rng.choice(("and", "anyway", "now", "but"))
        left = f"{rng.choice(_AROUND['own company'])}, {link} {left}"
    before, after = utterance.before, utterance.after
    if not before and rng.random() < 0.35:
        before = (_turn(rng.choice(_AROUND["turns before"])),)
    if not after and rng.random() < 0.35:
        after = (_turn(rng.choice(_AROUND["turns after"])),)
    return _misheard(replace(utterance, left=left, right=right, before=before, after=after), rng)


def _turn(text: str) -> Turn:
    speaker, _, said = text.strip().partition(":")
    return Turn(SPEAKERS[speaker], said)


def _misheard(utterance: Utterance, rng: random.Random) -> Utterance:
    if rng.random() < 0.4:  # a cut: what was one sentence becomes two
        return replace(utterance, left=_cut(utterance.left, rng), right=_cut(utterance.right, rng))
    if rng.random() < 0.5:
        return utterance
    return replace(
        utterance,
        left=_unpunctuated(utterance.left, rng),
        right=_unpunctuated(utterance.right, rng),
    )


def _cut(text: str, rng: random.Random) -> str:
    spaces = [at.start() for at in re.finditer(r"(?<=\w) (?=\w)", text)]
    if not spaces or rng.random() < 0.5:
        return text
    at = rng.choice(spaces)
    return text[:at] + rng.choice((".", ",", "...", " um", " uh")) + text[at:]


def _unpunctuated(text: str, rng: random.Random) -> str:
    kept: list[str] = []
    for word in re.sub(r"(?<!\d)[.,;:?!](?!\d)", "", text.lower()).split(" "):
        swap = dict(_ERRORS).get(word) if rng.random() < 0.06 else None
        kept.append(word if swap is None else swap)
        if word and rng.random() < 0.03:
            kept.append(rng.choice(("um", "uh", "er", "like", word)))
    return " ".join(kept)
