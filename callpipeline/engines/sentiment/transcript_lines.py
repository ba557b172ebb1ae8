"""Transcripts as numbered lines for a language model, and its answers.

Answers are parsed strictly, and their quotes verified against the transcript.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.competitors.spellings import is_accent
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import Segment

MAX_LINE_WORDS, MAX_LINE_CHARS = 60, 400
"""Limits of a line: recognisers without punctuation and imported text have no sentence ends."""
LINES_BEFORE, LINES_AFTER = 3, 5
"""Lines of the same speaker that are visible before and after the line of a mention."""

HiddenTokens = Collection[tuple[int, int]]
"""Tokens that the model does not see, as (line number, token number)."""

_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.?!][\"'”’)]*$")
_LETTERS = re.compile(r"[^\W_]+")

DEFAULT_SCORES = {Sentiment.POSITIVE: 0.7, Sentiment.NEGATIVE: -0.7}
"""Scores of an opinion if the model's own score is missing or contradicts its label."""
MAX_QUOTE_DISTANCE = 30
"""Words between the mention and its quote."""
MAX_QUOTE_WORDS = 60

_REASONING = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_REASONING = re.compile(r"^\s*<think(?:ing)?>", re.IGNORECASE)
_HIDDEN = "\0"


@dataclass(frozen=True, slots=True)
class LineToken:
    """A word as written, and its character range in the segment's text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """A sentence, or the part of one that fits the limits of a line."""

    channel: Channel
    speaker: Speaker
    segment_index: int
    tokens: tuple[LineToken, ...]


@dataclass(frozen=True, slots=True)
class MentionPosition:
    """The number of the mention's line, and its tokens `first` to `last` (inclusive)."""

    line: int
    first: int
    last: int


def split_lines(
    segments: Sequence[Segment], mentions: Sequence[Mention]
) -> tuple[TranscriptLine, ...]:
    """Split segments into lines in order of time, without splitting a mention."""
    by_segment: dict[tuple[Channel, int], list[Mention]] = {}
    for mention in mentions:
        by_segment.setdefault((mention.channel, mention.segment_index), []).append(mention)
    return tuple(
        TranscriptLine(segment.channel, segment.speaker, segment.index, tokens)
        for segment in segments
        for tokens in _split(segment.text, by_segment.get((segment.channel, segment.index), ()))
    )


def locate_mentions(
    lines: Sequence[TranscriptLine], mentions: Sequence[Mention]
) -> dict[str, MentionPosition]:
    """Return the positions of the mentions by id, without those that are in no line."""
    numbers: dict[tuple[Channel, int], list[int]] = {}
    for number, line in enumerate(lines):
        numbers.setdefault((line.channel, line.segment_index), []).append(number)
    positions: dict[str, MentionPosition] = {}
    for mention in mentions:
        for number in numbers.get((mention.channel, mention.segment_index), ()):
            if position := _position(mention, number, lines[number]):
                positions[mention.mention_id] = position
    return positions


def visible_lines(lines: Sequence[TranscriptLine], position: MentionPosition) -> frozenset[int]:
    """Return the numbers of the lines that the model sees for a mention."""
    channel = lines[position.line].channel
    own = [number for number, line in enumerate(lines) if line.channel is channel]
    at = own.index(position.line)
    return frozenset(own[max(at - LINES_BEFORE, 0) : at + LINES_AFTER + 1])


def fold(text: str) -> str:
    """Return the text in lower case, without accents and invisible characters."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(
        letter
        for letter in folded
        if not is_accent(letter) and unicodedata.category(letter) != "Cf"
    )


def fold_words(text: str) -> list[str]:
    """Return the runs of letters and digits of the folded text."""
    return _LETTERS.findall(fold(text))


def _split(text: str, mentions: Sequence[Mention]) -> Iterator[tuple[LineToken, ...]]:
    line: list[LineToken] = []
    for word in _WORD.finditer(text):
        token = LineToken(word[0], word.start(), word.end())
        in_mention = any(m.char_start < token.start < m.char_end for m in mentions)
        if line and _is_complete(line) and not in_mention:
            yield tuple(line)
            line = []
        line.append(token)
    if line:
        yield tuple(line)


def _is_complete(line: Sequence[LineToken]) -> bool:
    too_long = len(line) >= MAX_LINE_WORDS or line[-1].end - line[0].start >= MAX_LINE_CHARS
    return too_long or bool(_SENTENCE_END.search(line[-1].text))


def _position(mention: Mention, number: int, line: TranscriptLine) -> MentionPosition | None:
    tokens = [
        at
        for at, token in enumerate(line.tokens)
        if token.start < mention.char_end and token.end > mention.char_start
    ]
    return MentionPosition(number, tokens[0], tokens[-1]) if tokens else None


class InvalidAnswer(Exception):
    """An answer that cannot be used; the message quotes nothing of it."""


class CompletionMessage(BaseModel):
    content: Any = None
    refusal: str | None = None


class CompletionChoice(BaseModel):
    message: CompletionMessage
    finish_reason: str | None = None


class ChatCompletion(BaseModel):
    """Response of `POST /v1/chat/completions`."""

    choices: list[CompletionChoice] = Field(min_length=1)

    def text(self) -> str:
        """Return the model's text. Raises InvalidAnswer if it is truncated, refused or empty."""
        choice = self.choices[0]
        if choice.finish_reason == "length":
            raise InvalidAnswer("the answer was truncated")
        if choice.finish_reason == "content_filter" or choice.message.refusal:
            raise InvalidAnswer("the model refused to answer")
        text = _join_parts(choice.message.content)
        if not text.strip():
            raise InvalidAnswer("the answer is empty")
        return text


@dataclass(frozen=True, slots=True)
class ModelJudgement:
    """The model's judgement of one mention, with a quote that is not verified yet."""

    sentiment: Sentiment
    score: float
    quote: int | str
    """Number of a line, or, from models that don't follow the schema, words."""


def parse_answer(text: str, requested: Collection[int]) -> dict[int, ModelJudgement]:
    """Return the well-formed judgements by the numbers of their mentions.

    Raises InvalidAnswer for the whole answer if it is not JSON, or if it judges a mention that was
    not requested, or one twice: the model then did not follow its instructions.
    """
    found: dict[int, ModelJudgement | None] = {}
    for item in _items(text):
        number = _number(item)
        if number is None or number not in requested:
            raise InvalidAnswer("the answer judges a mention that was not requested")
        if number in found:
            raise InvalidAnswer("the answer judges a mention twice")
        found[number] = _judgement(item)
    return {number: judgement for number, judgement in found.items() if judgement}


@dataclass(frozen=True, slots=True)
class SpeakerText:
    """Words of one speaker in the visible lines, and their folded letters as one string.

    `starts` and `ends` map an offset in `letters` to the number of the word that starts or ends
    there; `name` is the range of words, first to last, that name the competitor.
    """

    words: tuple[str, ...]
    letters: str
    starts: dict[int, int]
    ends: dict[int, int]
    name: tuple[int, int]

    def find(self, quote: str) -> tuple[int, int] | None:
        """Return the first and last word of the quote's occurrence nearest to the name."""
        letters = "".join(fold_words(quote))
        if not letters or _HIDDEN in letters:
            return None
        found = [
            (self.starts[at], self.ends[at + len(letters)])
            for at in _offsets(letters, self.letters)
            if at in self.starts and at + len(letters) in self.ends
        ]
        return min(found, key=self.distance, default=None)

    def distance(self, words: tuple[int, int]) -> int:
        """Count the words between the name and these; 0 if they touch or overlap."""
        return max(self.name[0] - words[1] - 1, words[0] - self.name[1] - 1, 0)

    def exceeds_name(self, words: tuple[int, int]) -> bool:
        """Return True if the words are more than the name itself."""
        return words[0] < self.name[0] or words[1] > self.name[1]

    def original(self, words: tuple[int, int]) -> str:
        """Return the words as the transcript has them."""
        return " ".join(self.words[words[0] : words[1] + 1])


def speaker_text(
    lines: Sequence[TranscriptLine],
    visible: Collection[int],
    position: MentionPosition,
    hidden: HiddenTokens = (),
) -> SpeakerText:
    """Return the words of the mention's speaker in the visible lines."""
    channel = lines[position.line].channel
    words: list[str] = []
    letters = ""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    name = (0, 0)
    for number in sorted(n for n in visible if lines[n].channel is channel):
        if number == position.line:
            name = (len(words) + position.first, len(words) + position.last)
        for at, token in enumerate(lines[number].tokens):
            for part in [_HIDDEN] if (number, at) in hidden else fold_words(token.text):
                starts[len(letters)] = len(words)
                letters += part
                ends[len(letters)] = len(words)
            words.append(token.text)
    return SpeakerText(tuple(words), letters, starts, ends, name)


def verify_quote(quote: str, text: SpeakerText, *, is_opinion: bool) -> str | None:
    """Return the quote as the transcript has it; None if it does not support a judgement."""
    found = text.find(quote)
    if found is None or text.distance(found) > MAX_QUOTE_DISTANCE:
        return None
    if found[1] - found[0] >= MAX_QUOTE_WORDS or (is_opinion and not text.exceeds_name(found)):
        return None
    return text.original(found)


def _join_parts(content: Any) -> str:
    """Return the content as text; some servers send it in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _items(text: str) -> list[Any]:
    """Return the items of the answer, which may follow reasoning or be in a code fence."""
    answer = _REASONING.sub("", text, count=1)
    if _OPEN_REASONING.match(answer):
        raise InvalidAnswer("the model did not finish its reasoning")
    starts = [at for at in (answer.find("{"), answer.find("[")) if at >= 0]
    if not starts:
        raise InvalidAnswer("the answer is not JSON")
    try:
        decoder = json.JSONDecoder(object_pairs_hook=_without_repetition)
        document, _ = decoder.raw_decode(answer, min(starts))
    except (ValueError, RecursionError):
        raise InvalidAnswer("the answer is not JSON") from None
    items = document.get("judgements") if isinstance(document, dict) else document
    if isinstance(items, dict):
        return [(each if isinstance(each, dict) else {}) | {"id": n} for n, each in items.items()]
    if not isinstance(items, list):
        raise InvalidAnswer("the answer has no judgements")
    return items


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidAnswer("the answer judges a mention twice")
    return found


def _number(item: Any) -> int | None:
    number = item.get("id") if isinstance(item, dict) else None
    if isinstance(number, str) and re.fullmatch(r"[0-9]{1,9}", number):
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _judgement(item: dict[str, Any]) -> ModelJudgement | None:
    label, quote = item.get("sentiment"), _quote(item.get("quote"))
    if not isinstance(label, str) or quote is None:
        return None
    try:
        sentiment = Sentiment(label.strip().lower())
    except ValueError:
        return None
    return ModelJudgement(sentiment, _score(sentiment, item.get("score")), quote)


def _quote(quote: Any) -> int | str | None:
    if isinstance(quote, str):
        return int(quote) if re.fullmatch(r"[0-9]{1,4}", quote.strip()) else quote
    return quote if isinstance(quote, int) and not isinstance(quote, bool) else None


def _score(sentiment: Sentiment, score: Any) -> float:
    """Return the model's score if it has the sign of the label; 0 for neutral and mixed."""
    default = DEFAULT_SCORES.get(sentiment, 0.0)
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if default and is_number and abs(score) <= 1 and score * default > 0:
        return round(float(score), 4)
    return default


def _offsets(wanted: str, letters: str) -> Iterator[int]:
    at = letters.find(wanted)
    while at >= 0:
        yield at
        at = letters.find(wanted, at + 1)
