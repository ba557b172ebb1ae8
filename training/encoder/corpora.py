"""Training data in other formats: MAMS, NewsMTSC, and the utterances of this folder."""

import json
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utterances import Turn, Utterance

_NEWS_LABELS = {2.0: "negative", 4.0: "neutral", 6.0: "positive"}


def read_mams(file: Path) -> list[list[Utterance]]:
    """Return the aspect terms of each sentence as targets."""
    return [
        [
            _cut(sentence.findtext("text", ""), int(term.attrib["from"]), int(term.attrib["to"]),
                 term.attrib["polarity"], "mams")
            for term in sentence.iter("aspectTerm")
        ]
        for sentence in ET.parse(file).getroot()
    ]  # fmt: skip


def read_news(file: Path) -> list[list[Utterance]]:
    """Return the targets of each sentence."""
    rows: list[list[Utterance]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        text = row["sentence_normalized"]
        rows.append([
            _cut(text, target["from"], target["to"], _NEWS_LABELS[target["polarity"]], "news")
            for target in row["targets"]
            if target["polarity"] in _NEWS_LABELS
        ])  # fmt: skip
    return rows


def read_calls(file: Path) -> list[Utterance]:
    """Return utterances in the format of `heldout.jsonl`."""
    return [_call(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def read_names(file: Path) -> list[Utterance]:
    """Return sentences with a name in brackets: NAME|1 or 0|TEXT."""
    found: list[Utterance] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        _, label, text = line.split("|")
        left, name, right = re.split(r"[\[\]]", text)
        about = (left, name, right, "customer", "neutral")
        found.append(Utterance(*about, weight=0.0, source="names", is_company=label == "1"))
    return found


def split_sentences(
    sentences: Iterable[list[Utterance]], validation: int, seed: int = 0
) -> tuple[list[Utterance], list[Utterance]]:
    """Return the targets for training, and those of so many other sentences for validation."""
    rows = list(sentences)
    random.Random(seed).shuffle(rows)
    train, held = rows[validation:], rows[:validation]
    return [u for row in train for u in row], [u for row in held for u in row]


def _cut(text: str, start: int, end: int, label: str, source: str) -> Utterance:
    return Utterance(
        text[:start], text[start:end], text[end:], "customer", label,
        source=source, is_company=False if source == "mams" else None,
    )  # fmt: skip


def _call(row: dict[str, Any]) -> Utterance:
    before, after = ([Turn(**turn) for turn in row.get(side, ())] for side in ("before", "after"))
    turns = [*before, Turn(row["speaker"], row["text"]), *after]
    at = next(i for i, turn in enumerate(turns) if "[[" in turn.text)
    left, name, right = re.split(r"\[\[|\]\]", turns[at].text)
    about = (left, name, right, turns[at].speaker, row["label"])
    return Utterance(*about, tuple(turns[:at]), tuple(turns[at + 1 :]))
