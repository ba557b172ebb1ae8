"""Lines of a supplied transcript, the repairs that reading it took, and its decoding."""

import re
from collections import Counter
from dataclasses import dataclass, field

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Word
from callpipeline.errors import TranscriptInvalid

ACCEPTED = (
    "Accepted are SRT, WebVTT, and JSON with a list of segments that have a start, an end and a "
    "text, as AWS, Azure, AssemblyAI, Deepgram, Genesys, Google, OpenAI, Twilio, Vosk and Whisper "
    "write it."
)
"""Forms of transcripts, for messages."""
MAX_TIME_S = 1_000 * 3600.0
"""Times beyond this are not times of a call."""
LINE_BREAK = re.compile(r"\r\n|\r|\n")
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True, slots=True)
class SuppliedLine:
    """Line of a supplied transcript.

    `label` is its speaker as the tool wrote it, `channel_label` its channel; None if they are not
    stated. `channel` is the channel of the recording that is meant.
    """

    start_s: float
    end_s: float
    text: str
    label: str | None = None
    channel: Channel | None = None
    channel_label: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(slots=True)
class Repairs:
    """Counts of what was repaired, by a phrase that says what."""

    counts: Counter[str] = field(default_factory=Counter[str])

    def note(self, what: str, times: int = 1) -> None:
        if times:
            self.counts[what] += times

    def describe(self) -> str | None:
        """Return a phrase for people; None if nothing was repaired."""
        if not self.counts:
            return None
        found = (f"{what} ({times} times)" if times > 1 else what for what, times in self.ordered())
        return f"the supplied transcript was repaired: {'; '.join(found)}"

    def ordered(self) -> list[tuple[str, int]]:
        return self.counts.most_common()


def listed(words: str) -> tuple[str, ...]:
    """Return words that are written with spaces between them."""
    return tuple(words.split())


def decode(content: bytes, repairs: Repairs) -> str:
    """Return the text of a file in UTF-8 or UTF-16; lines in neither are read as Windows-1252."""
    if encoding := _UTF_16.get(content[:2]) or _unmarked_utf_16(content):
        return content.decode(encoding, "replace").removeprefix("\ufeff")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode()
    except UnicodeDecodeError:
        lines = content.split(b"\n")
        decoded = [_decode_line(line) for line in lines]
        repairs.note("text in Windows-1252 instead of UTF-8")
        return "\n".join(decoded)


def _unmarked_utf_16(content: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: every other byte of ASCII text is zero."""
    head = content[:200]
    if len(head) < 4 or head.count(0) < len(head) // 3:
        return None
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def require_time(seconds: float, place: str) -> float:
    """Return a time in seconds. Raises TranscriptInvalid if no call can be that long."""
    if not -MAX_TIME_S <= seconds <= MAX_TIME_S:
        raise TranscriptInvalid(f"{place}: it is no time of a call")
    return seconds
