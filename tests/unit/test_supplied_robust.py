"""Supplied transcripts that are damaged, hostile or large."""

import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from callpipeline.domain.transcripts import Transcript, is_storable
from callpipeline.engines.transcribe.supplied import SUFFIXES, parse_supplied
from callpipeline.errors import TranscriptInvalid

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(
    path
    for folder in ("transcripts", "supplied")
    for path in (DATA / folder).iterdir()
    if path.suffix in SUFFIXES
)
JUNK: list[Any] = [None, True, 0, -1, float("nan"), "x", "", "-5", [], {}, [1], {"a": 1}, 10**30]
JUNK += ["00:00:01", "PT5S", 1e12, "2024-01-01T00:00:00Z", "\ud800"]
PIECES = [b"\n", b"-->", b"\n\n", b">> ", b"<v A>", b"[", b"0", b":", b"\0", b"<00:00:0>"]


def damaged_document(document: Any, chance: random.Random) -> Any:
    """Replace something in a document, at any depth."""
    if not document or not isinstance(document, dict | list) or chance.random() < 0.2:
        return copy.deepcopy(chance.choice(JUNK))
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = chance.choice(keys)
    document[key] = damaged_document(document[key], chance)
    return document


def damaged_text(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    if chance.random() < 0.4:
        return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
    if chance.random() < 0.5:
        return content[:at] + content[at + chance.randint(1, 10) :]
    return content[:at] + chance.choice(PIECES) + content[at:]


def check(name: str, content: bytes) -> None:
    """Parse a transcript, which must be valid or refused with a reason."""
    refused = ""
    found: tuple[Transcript, ...] = ()
    try:
        found = parse_supplied(name, content, "left") or ()
    except TranscriptInvalid as error:
        refused = str(error)
    assert "structure is not known" not in refused, "known causes have messages of their own"
    for segment in (segment for transcript in found for segment in transcript.segments):
        assert 0 <= segment.start_s <= segment.end_s
        assert segment.text and is_storable(segment.text)
        assert not segment.words or " ".join(w.text for w in segment.words) == segment.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_damaged_transcript_is_read_or_refused_with_a_reason(path: Path) -> None:
    chance = random.Random(path.name)
    content = path.read_bytes()
    is_document = path.suffix == ".json" and path.name != "vosk-lines.json"
    for _ in range(60):
        if is_document:
            document = damaged_document(json.loads(content), chance)
            check(path.name, json.dumps(document).encode())
        check(path.name, damaged_text(content, chance))


CUE = "1\n00:00:00,100 --> 00:00:01,000\n"
MANY = 50_000


@pytest.mark.parametrize(
    "text",
    [
        " " * MANY + "\n" + "0" * MANY + "-->" + "1" * MANY,
        "0:" * MANY + "-->",
        "1 " * MANY + "-->x",
        *(CUE + part * MANY for part in ("<", "<a", "<v ", "{\\", ">> A", "[", "A ", "A:", "\n")),
    ],
    ids=lambda text: repr(text[:8] + text[-4:]),
)
def test_hostile_captions_take_linear_time(text: str) -> None:
    began = time.process_time()
    check("a.srt", text.encode())
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "document",
    [
        {f"k{n}": [{"text": "a", "start": 1}] for n in range(20_000)},
        {"words": [{"word": "a", "start": n, "end": n + 0.5} for n in range(20_000)]},
        {"segments": [{"text": "a b", "start": n, "end": n + 0.5} for n in range(10_000)]},
    ],
    ids=["many lists", "many words", "many segments"],
)
def test_large_documents_take_linear_time(document: object) -> None:
    began = time.process_time()
    check("a.json", json.dumps(document).encode())
    assert time.process_time() - began < 10
