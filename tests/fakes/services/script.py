"""Script of the regular responses: speech, labels, channel files and tokens."""

import base64
import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.services.records import RecordedRequest, RecordedUpload

Segments = Sequence[Mapping[str, Any]]
WORD_S = 0.3


def scripted_segments(*sentences: str, start_s: float = 0.5) -> Segments:
    """Return segments like those of the transcription service: one per sentence, 0.3 s per word."""
    segments = []
    for number, sentence in enumerate(sentences):
        words = [_word(w, start_s + i * WORD_S) for i, w in enumerate(sentence.split())]
        end_s = words[-1]["end"] if words else start_s
        segments.append(
            {"id": number, "start": start_s, "end": end_s, "text": f" {sentence}", "words": words}
        )
        start_s = round(end_s + WORD_S, 3)
    return segments


def _word(text: str, start_s: float) -> dict[str, Any]:
    times = {"start": round(start_s, 3), "end": round(start_s + WORD_S, 3)}
    return {"word": f" {text}", **times, "probability": 0.9}


DEFAULT_SPEECH = {
    "left": scripted_segments("Thank you for calling.", "How can I help?"),
    "right": scripted_segments("I would rather go to Vodafone."),
}


ChannelPair = tuple[bytes, bytes]
"""Files of the left and the right channel."""
MakeChannels = Callable[[RecordedUpload], ChannelPair]

RATE_HZ = 8000
DURATION_S = 4
APPLICATION_BLOCK = 2


def small_channels(recording: RecordedUpload) -> ChannelPair:
    """Return four seconds of different tones, neither silence nor speech, unique per recording."""
    stamp = recording.sha256.encode()
    return _stamped(_tone(220.0), stamp), _stamped(_tone(330.0), stamp)


def channels_from(folder: Path) -> MakeChannels:
    """Serve the files `<folder>/<stem of the recording>/left.*` and `right.*`."""

    def channels(recording: RecordedUpload) -> ChannelPair:
        return tuple(  # pyright: ignore[reportReturnType] - one for each of two names
            next((folder / Path(recording.name).stem).glob(f"{side}.*")).read_bytes()
            for side in ("left", "right")
        )

    return channels


class ChannelFiles:
    """Channel files by path, and their sides by content."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._sides: dict[str, str] = {}

    def put(self, sides: ChannelPair) -> list[str]:
        """Store two files and return their paths."""
        number = len(self._files) // 2 + 1
        paths = [f"/channels/{number}/{side}.flac" for side in ("left", "right")]
        for path, content in zip(paths, sides, strict=True):
            self._files[path] = content
            self._sides[hashlib.sha256(content).hexdigest()] = Path(path).stem
        return paths

    def get(self, path: str) -> bytes | None:
        return self._files.get(path)

    def side_of(self, request: RecordedRequest) -> str:
        """Return `left` or `right` by the content of the upload, else by its name."""
        file = request.files[0]
        return self._sides.get(file.sha256) or ("left" if "left" in file.name else "right")


@cache
def _tone(pitch_hz: float) -> bytes:
    import numpy as np
    import soundfile

    at_s = np.arange(RATE_HZ * DURATION_S) / RATE_HZ
    loudness = 0.2 + 0.1 * np.sin(2 * np.pi * 3 * at_s)
    file = io.BytesIO()
    sound = loudness * np.sin(2 * np.pi * pitch_hz * at_s)
    soundfile.write(file, sound, RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _stamped(flac: bytes, stamp: bytes) -> bytes:
    """Add a metadata block with a stamp after the first block."""
    after_stream_info = 4 + 4 + 34
    content = b"test" + stamp
    block = bytes([APPLICATION_BLOCK]) + len(content).to_bytes(3, "big") + content
    # The first block is never the last one: libsndfile adds a comment block.
    assert not flac[4] & 0x80
    return flac[:after_stream_info] + block + flac[after_stream_info:]


@dataclass
class Tokens:
    """Issues and validates tokens, by `time.time()` plus `ahead_s`."""

    lifetime_s: float = 3600.0
    uses: int | None = None
    """Number of times a token is accepted (None: unlimited)."""
    opaque: bool = False
    """If false, a token is a JWT with the claim `exp`."""
    ahead_s: float = 0.0
    issued: list[str] = field(default_factory=list)
    refused: int = 0
    _good_until: dict[str, float] = field(default_factory=dict)
    _used: Counter[str] = field(default_factory=Counter)

    def issue(self) -> str:
        until = self._now + self.lifetime_s
        token = self._write(len(self.issued) + 1, until)
        self.issued.append(token)
        self._good_until[token] = until
        return token

    def take(self, token: str | None) -> bool:
        """Return whether the token is valid, and count its use."""
        good = token is not None and self._good_until.get(token, 0.0) > self._now
        if good and token is not None:
            self._used[token] += 1
            good = self.uses is None or self._used[token] <= self.uses
        self.refused += not good
        return good

    def expire(self) -> None:
        """Reject all tokens issued so far, whatever their `exp`."""
        self._good_until.clear()

    def advance(self, seconds: float) -> None:
        """Advance the clock of the tokens."""
        self.ahead_s += seconds

    @property
    def _now(self) -> float:
        return time.time() + self.ahead_s

    def _write(self, number: int, until: float) -> str:
        if self.opaque:
            return f"planted-token-{number}"
        head = _part({"alg": "HS256", "typ": "JWT"})
        payload = _part({"sub": f"planted-user-{number}", "exp": int(until)})
        sign = hashlib.sha256(f"{head}.{payload}".encode()).digest()
        return f"{head}.{payload}.{base64.urlsafe_b64encode(sign).decode().rstrip('=')}"


def _part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


@dataclass
class Script:
    """Regular behaviour of the services, which tests can change.

    `recognise` returns the segments of a request; if None, `speech` maps the sha256 or the name of
    the upload to segments. `labels` maps a competitor to the sentiment of each segment with its
    name. `chat` gets the JSON of a request and returns the content: a text, or a document for JSON.
    """

    speech: dict[str, Segments] = field(default_factory=dict)
    recognise: Callable[[RecordedRequest], Segments | None] = lambda _: None
    labels: dict[str, str] = field(default_factory=dict)
    chat: Callable[[dict[str, Any]], Any] = lambda _: {"scripted": "answer"}
    channels: MakeChannels = small_channels
    absolute_urls: bool = False
    """Return absolute URLs to the server `channel` instead of relative ones."""
    words: bool = True
    segments: bool = True
    """If false, `verbose_json` of the OpenAI-compatible server only has a text."""
    bare: bool = False
    """Return the `data` of a transcription only, without `success` and `message`."""
    credentials: tuple[str, str] | None = None
    """User and password that the auth service requires (None: accepts any)."""
    api_key: str | None = None
    """Key that the OpenAI-compatible server requires (None: accepts any)."""
    delays_s: dict[str, float] = field(default_factory=dict)
    """Delay of regular responses, by service."""
