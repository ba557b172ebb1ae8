"""Lines of a supplied transcript, the repairs that reading it took, and its decoding."""

import re
from collections import Counter
from dataclasses import dataclass, field

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.side_files import decode_text
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
    """Return the text of a file, and note if its encoding had to be guessed."""
    text, is_repaired = decode_text(content)
    if is_repaired:
        repairs.note("text in Windows-1252 instead of UTF-8")
    return text


def require_time(seconds: float, place: str) -> float:
    """Return a time in seconds. Raises TranscriptInvalid if no call can be that long."""
    if not -MAX_TIME_S <= seconds <= MAX_TIME_S:
        raise TranscriptInvalid(f"{place}: it is no time of a call")
    return seconds
