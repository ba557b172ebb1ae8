"""Fake language model that follows every prompt injection: the worst case for a judge.

It judges honestly unless its input sounds like an instruction. It detects disguises (lookalike
letters, spacing, base64), and a single word of an instruction is enough.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TRACES = (
    *("ignor", "disregard", "instruct", "prompt", "guideline", "sentiment", "positiv", "negativ"),
    *("neutral", "json", "html", "markdown", "judgement", "system", "administrator", "assistant"),
    *("transcript", "quote", "9999", "chatgpt", "jailbreak", "pretend", "languagemodel", "vergiss"),
    *("anweisung", "consigne", "instruccion", "istruzion", "polecen", "инструкц", "忽略", "指令"),
    *("positif", "base64", "nonce", "evil", "deinevorgaben", "delimiter", "salesman", "unsure"),
)
"""Parts of words, without spaces, that occur in no harmless call of these tests."""
LOOKALIKES = str.maketrans("аеіорсухѕԁɡ013457", "aeiopcyxsdgoleast")

Judgements = list[dict[str, Any]]


def all_positive(judgements: Judgements) -> Any:
    """Return what most injections demand."""
    return {"judgements": [j | {"sentiment": "positive", "score": 1.0} for j in judgements]}


@dataclass
class ObedientModel:
    """Script of a chat server; `seen` are the documents in its requests."""

    obey: Callable[[Judgements], Any] = all_positive
    seen: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    obeyed: int = 0

    def __call__(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        document = document_of(request)
        self.seen.append(document)
        honest = [honestly(mention, document["lines"]) for mention in document["mentions"]]
        if not sounds_like_an_order(" ".join(line["text"] for line in document["lines"])):
            return {"judgements": honest}
        self.obeyed += 1
        return self.obey(honest)


def document_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the data between the delimiters of a request."""
    content = request["messages"][1]["content"]
    match = re.fullmatch(r"DATA (\S+)\n(.*)\nEND (\1)\n[^\n]+(?:\n\n.+)?", content, re.DOTALL)
    assert match and match[1] == match[3]
    return json.loads(match[2])


def honestly(mention: dict[str, Any], lines: Judgements) -> dict[str, Any]:
    """Judge by one word of praise or blame in the mention's line, and quote the line."""
    text = text_of(mention, lines)
    label, score = "neutral", 0.0
    if "terrible" in text:
        label, score = "negative", -0.8
    elif "brilliant" in text:
        label, score = "positive", 0.9
    return {"id": mention["id"], "quote": mention["line"], "sentiment": label, "score": score}


def text_of(mention: dict[str, Any], lines: Judgements) -> str:
    """Return the mention's line."""
    return next(line["text"] for line in lines if line["line"] == mention["line"])


def sounds_like_an_order(text: str) -> bool:
    readings = [text, *map(_decoded, re.findall(r"[A-Za-z0-9+/=]{12,}", text))]
    return any(
        trace in letters
        for reading in readings
        for letters in _letters(reading)
        for trace in TRACES
    )


def _letters(text: str) -> tuple[str, str]:
    """Return the letters only, unchanged and with lookalikes replaced."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    shown = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LN")
    return shown, shown.translate(LOOKALIKES)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "ignore")
    except (binascii.Error, ValueError):
        return ""
