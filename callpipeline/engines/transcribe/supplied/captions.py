"""SRT and WebVTT, read as leniently as players read them.

Blank lines inside a cue, missing numbers, odd times and blocks that are not cues are accepted;
what players would drop or guess is noted as a repair.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import spread_words
from callpipeline.engines.transcribe.supplied import fields as f
from callpipeline.engines.transcribe.supplied.lines import (
    ACCEPTED,
    LINE_BREAK,
    Repairs,
    SuppliedLine,
    require_time,
)
from callpipeline.engines.transcribe.supplied.speakers import (
    IsKnown,
    Piece,
    split_by_speaker,
    states_speaker,
)
from callpipeline.errors import TranscriptInvalid

_STAMP = r"-? ?\d{1,9}(?: ?: ?\d{1,9}){0,3}(?: ?[.,;] ?\d{1,9})?"
_ARROW = r" ?(?:-{1,3} ?-?>|[–—]>|→|=>) ?"
_TIMES = re.compile(rf"({_STAMP}){_ARROW}(?:({_STAMP})(?![\d:.,]))?(.*)")
_LOOKS_LIKE_TIMES = re.compile(rf"-?\d[^a-z]*{_ARROW}", re.IGNORECASE)
_SETTING = re.compile(r"[\w-]+:\S*")
_BRACKETED = re.compile(rf"[\[(]({_STAMP}{_ARROW}{_STAMP})[\])](.*)")
_COMMA = re.compile(r"(\d+(?::\d\d){1,2}\.\d{3}),(\d+(?::\d\d){1,2}\.\d{3})")
"""Times as SubViewer and YouTube's SBV write them."""
_NOT_A_CUE = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)|::cue\b|X-TIMESTAMP-MAP")
_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,99})?(?:\s([^<>]{0,200}))?>|</v>", re.IGNORECASE)
_CLOCK_TAG = re.compile(r"<(\d{1,9}(?::\d{1,9}){1,3}(?:[.,]\d{1,9})?)>")
_READING = re.compile(r"<rt>[^<>]*(?:</rt>)?", re.IGNORECASE)
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff"))
_TAG = re.compile(r"</?[a-z][^<>]*>|<\d[\d:.,]*>|\{\\[^{}]*\}", re.IGNORECASE)
_NAME_TAG = re.compile(r" *<([^<>/]{1,60})>")
_FLASH_S = 0.05
"""Rolling captions show each finished line once more, for about 10 ms."""
_FRAMES_PER_S = 30
MIN_GROWING = 3


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue: its times in seconds, `end_s` None if unreadable, and its lines with their tags."""

    start_s: float
    end_s: float | None
    lines: tuple[str, ...]


def lines_of_captions(
    text: str, repairs: Repairs, is_known: IsKnown, *, is_vtt: bool = False
) -> list[SuppliedLine]:
    """Return the cues in order, one line per speaker. Raises TranscriptInvalid."""
    is_vtt = is_vtt or text.lstrip("\ufeff \t\r\n").startswith("WEBVTT")
    cues = _with_ends(_read_cues(text, repairs, is_vtt=is_vtt), repairs)
    cues = _unroll(cues, repairs)
    pieces = split_by_speaker([list(_voices(cue.lines)) for cue in cues], is_known)
    return [
        line
        for (cue, end_s), own in zip(_timed(cues), pieces, strict=True)
        for line in _in_turn(cue, end_s, [said for said in own if said.text])
    ]


def _in_turn(cue: Cue, end_s: float, said: Sequence[Piece]) -> Iterator[SuppliedLine]:
    """Yield the lines of a cue; its speakers share its time by what they say, in their order."""
    letters = [len(piece.text) for piece in said]
    ends = [sum(letters[: number + 1]) / sum(letters) for number in range(len(said))]
    words = _words(cue, end_s, said)
    for piece, first, last in zip(said, [0.0, *ends], ends, strict=False):
        at_s, until_s = (cue.start_s + (end_s - cue.start_s) * share for share in (first, last))
        yield SuppliedLine(round(at_s, 4), round(until_s, 4), piece.text, piece.label, words=words)


def _read_cues(text: str, repairs: Repairs, *, is_vtt: bool) -> list[Cue]:
    lines = [line.strip() for line in LINE_BREAK.split(text)]
    at = [number for number, line in enumerate(lines) if _is_times(line)]
    _check_start(lines[: at[0]] if at else lines, at, repairs)
    before = (next(filter(None, lines[max(0, n - 4) : n][::-1]), "") for n in at)
    is_numbered = sum(line.isdigit() for line in before) * 2 > len(at)
    cues: list[Cue] = []
    for first, after in pairwise([*at, len(lines)]):
        start_s, end_s, trailing = _times(lines[first], first + 1, repairs)
        own = _without_counter(
            lines[first + 1 : after],
            is_last=after == len(lines),
            is_vtt=is_vtt,
            is_numbered=is_numbered,
        )
        said = _text_of_block(own, repairs, is_vtt=is_vtt)
        if trailing and not said:
            repairs.note("text on the line of its times")
            said = [trailing]
        cues.append(Cue(start_s, end_s, tuple(said)))
    return cues


def _is_times(line: str) -> bool:
    return _LOOKS_LIKE_TIMES.match(_time_line(line)) is not None


def _time_line(line: str) -> str:
    """Return a line with an arrow between its times and without brackets around them."""
    plain = " ".join(line.split())
    if match := _BRACKETED.match(plain):
        return f"{match[1]}{match[2]}"
    return f"{match[1]} --> {match[2]}" if (match := _COMMA.fullmatch(plain)) else plain


def _check_start(before: Sequence[str], at: Sequence[int], repairs: Repairs) -> None:
    """Note text before the first times. Raises TranscriptInvalid if there are no times at all."""
    if at and before and before[-1]:
        before = before[:-1]  # a number or a name of the first cue
    blocks = [block for block in _paragraphs(before) if not _NOT_A_CUE.match(block[0])]
    if at:
        lost = sum(len(block) for block in blocks if not all(map(_is_header, block)))
        repairs.note("text before the first times, left out", lost)
        loose = sum(line.startswith("::cue") for block in _paragraphs(before) for line in block[:1])
        repairs.note("a style outside of a STYLE block", loose)
    elif blocks:
        number = before.index(blocks[0][0]) + 1
        raise TranscriptInvalid(f"line {number} of the transcript has no times. {ACCEPTED}")


def _is_header(line: str) -> bool:
    return re.match(r"[\w-]+ ?[:=]|\d+$|[{}]|WEBVTT", line) is not None


def _without_counter(
    lines: Sequence[str], *, is_last: bool, is_vtt: bool, is_numbered: bool
) -> Sequence[str]:
    """Remove the number or name of the next cue from the end of the lines of this one."""
    if is_last or not lines or not lines[-1]:
        trimmed = list(lines)
        while trimmed and not trimmed[-1]:
            trimmed.pop()
        # A number, and a blank line before its times.
        is_stray = not is_last and is_numbered and trimmed and trimmed[-1].isdigit()
        return trimmed[:-1] if is_stray and (len(trimmed) == 1 or not trimmed[-2]) else trimmed
    if lines[-1].isdigit() and (is_numbered or is_vtt):
        return lines[:-1]
    # A name follows a blank line: a single line is rather the text of this cue.
    is_apart = len(lines) > 1 and not lines[-2]
    is_counter = lines[-1].isdigit() and (is_apart or len(lines) == 1)
    return lines[:-1] if is_counter or (is_apart and is_vtt) else lines


def _text_of_block(lines: Sequence[str], repairs: Repairs, *, is_vtt: bool) -> list[str]:
    """Return the lines of a cue; only the first paragraph may look like another block."""
    said: list[str] = []
    for number, block in enumerate(_paragraphs(lines)):
        is_cue = number == 0 and bool(lines[0])
        if is_vtt and not is_cue and _NOT_A_CUE.match(block[0]):
            continue
        if said:
            repairs.note("a blank line inside a cue")
        said += block
    return said


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in (*lines, ""):
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


def _times(line: str, number: int, repairs: Repairs) -> tuple[float, float | None, str]:
    """Return start, end (None if unreadable), and text behind them. Raises TranscriptInvalid."""
    place = f"line {number} of the transcript"
    match = _TIMES.match(_time_line(line))
    if match is None:
        raise TranscriptInvalid(f"{place}: its times are invalid. {ACCEPTED}")
    start_s = require_time(_seconds(match[1]), place)
    end_s = require_time(_seconds(match[2]), place) if match[2] else None
    if start_s < 0:
        repairs.note("a negative time")
    start_s = max(start_s, 0.0)
    if end_s is None:
        repairs.note("an unreadable end of a cue")
    elif end_s < start_s:
        repairs.note("a cue that ends before it starts")
        end_s = None
    rest = match[3].split() if match[2] else []
    trailing = " ".join(each for each in rest if not _SETTING.fullmatch(each))
    return start_s, end_s, trailing


def _seconds(stamp: str) -> float:
    """Return a time of a cue in seconds; a fourth part is milliseconds or frames."""
    compact = stamp.replace(" ", "")
    sign, compact = (-1, compact[1:]) if compact.startswith("-") else (1, compact)
    whole, _, fraction = re.sub("[,;]", ".", compact).partition(".")
    parts = whole.split(":")
    rest = float(f"0.{fraction}") if fraction else 0.0
    if len(parts) == 4:
        last = parts.pop()
        rest = int(last) / 1000 if len(last) == 3 else int(last) / _FRAMES_PER_S
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return sign * (seconds + rest)


def _with_ends(cues: Sequence[Cue], repairs: Repairs) -> list[Cue]:
    """Let cues without an end last until the next one starts."""
    ended: list[Cue] = []
    for cue, following in pairwise([*cues, None]):
        if cue is None:
            continue
        start_s = following.start_s if following else cue.start_s
        end_s = max(cue.start_s, start_s) if cue.end_s is None else cue.end_s
        ended.append(replace(cue, end_s=end_s))
    if any(later.start_s < earlier.start_s for earlier, later in pairwise(ended)):
        repairs.note("cues that are not in order of time")
    return ended


def _timed(cues: Sequence[Cue]) -> Iterator[tuple[Cue, float]]:
    for cue in cues:
        yield cue, cue.start_s if cue.end_s is None else cue.end_s


def _grown(cues: list[Cue], repairs: Repairs) -> list[Cue]:
    """Join the cues of live captions in which the text grows word by word."""
    words = [" ".join(map(_plain, cue.lines)).split() for cue in cues]
    voices = [{piece.label for piece in _voices(cue.lines)} for cue in cues]
    grows = [
        0 < len(words[n]) < len(words[n + 1])
        and words[n + 1][: len(words[n])] == words[n]
        and voices[n] == voices[n + 1]
        and cues[n + 1].start_s - (cues[n].end_s or 0.0) < 1.0
        for n in range(len(cues) - 1)
    ]
    if sum(grows) < MIN_GROWING or sum(grows) * 2 < len(grows):
        return cues
    repairs.note("text that growing captions repeat", sum(grows))
    start_s, joined = None, list[Cue]()
    for cue, is_growing in zip(cues, [*grows, False], strict=True):
        start_s = cue.start_s if start_s is None else start_s
        if not is_growing:
            joined.append(replace(cue, start_s=start_s))
            start_s = None
    return joined


def _unroll(cues: list[Cue], repairs: Repairs) -> list[Cue]:
    """Remove the lines that rolling captions show again; other repetitions were said."""
    cues = _grown(cues, repairs)
    plain = [[_plain(line) for line in cue.lines] for cue in cues]
    pairs = [
        (earlier, later)
        for earlier, later in pairwise([index for index, lines in enumerate(plain) if any(lines)])
        if cues[later].start_s - (cues[earlier].end_s or 0.0) < 1.0
    ]
    repeated = [(later, _repeated(plain[earlier], plain[later])) for earlier, later in pairs]
    rolled = [(later, count) for later, count in repeated if count]
    is_rolling = len(rolled) * 2 > len(pairs) and any(
        count < len(plain[later]) or (cues[later].end_s or 0.0) - cues[later].start_s <= _FLASH_S
        for later, count in rolled
    )
    if not is_rolling:
        return cues
    repairs.note("a line that rolling captions repeat", len(rolled))
    kept = dict(rolled)
    return [replace(cue, lines=cue.lines[kept.get(index, 0) :]) for index, cue in enumerate(cues)]


def _repeated(earlier: Sequence[str], later: Sequence[str]) -> int:
    """Return how many lines at the start of a cue are those at the end of the one before."""
    most = min(len(earlier), len(later))
    return next((n for n in range(most, 0, -1) if earlier[-n:] == later[:n]), 0)


def _voices(lines: Sequence[str]) -> Iterator[Piece]:
    """Return the lines of a cue, split where a voice tag starts or ends."""
    label: str | None = None
    if (stated := _stated(lines)) is not None:
        yield stated
        return
    for line in lines:
        start = 0
        for tag in _VOICE.finditer(line):
            said = _plain(line[start : tag.start()])
            if said.strip("-–—•>"):  # a dash before a voice is a mark of its turn
                yield Piece(label, said)
            named = " ".join(html.unescape(tag[1] or "").split())
            label, start = named or None, tag.end()
        if said := _plain(line[start:]):
            yield Piece(label, said)


def _stated(lines: Sequence[str]) -> Piece | None:
    """Return who says what in a cue that is a JSON object, None for text."""
    text = " ".join(lines)
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        fields = f.folded(json.loads(text))
    except (RecursionError, ValueError):
        return None
    said = f.text_of_fields(fields)
    return None if said is None else Piece(f.speaker_label(fields), " ".join(said.split()))


def _plain(line: str) -> str:
    """Return the text of a line without tags, escapes and doubled spaces."""
    if (tag := _NAME_TAG.match(line)) and states_speaker(tag[1]):
        line = f"[{tag[1]}] {line[tag.end() :]}"
    tagless = _TAG.sub("", _READING.sub("", line))
    return " ".join(html.unescape(tagless).translate(_INVISIBLE).split())


def _words(cue: Cue, end_s: float, said: Sequence[Piece]) -> tuple[Word, ...]:
    """Return the words of a cue of one speaker in which tags give their times."""
    if len(said) != 1 or not any(_CLOCK_TAG.search(line) for line in cue.lines):
        return ()
    runs: list[tuple[float, list[str]]] = [(cue.start_s, [])]
    for line in cue.lines:
        for number, part in enumerate(_CLOCK_TAG.split(line)):
            if number % 2:
                runs.append((min(max(_seconds(part), runs[-1][0]), end_s), []))
            else:
                runs[-1][1].extend(_plain(part).split())
    timed = [run for run in runs if run[1]]
    words = [
        word
        for (start_s, texts), (until_s, _) in pairwise([*timed, (end_s, [])])
        for word in spread_words(texts, start_s, until_s, None)
    ]
    return tuple(words) if " ".join(word.text for word in words) == said[0].text else ()
