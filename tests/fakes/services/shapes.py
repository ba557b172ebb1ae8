"""Valid JSON that is not the answer, for each service: made from the proper answer by one change.

`WRONG_SHAPES[service]` is made for `pytest.mark.parametrize`.
"""

import copy
from typing import Any

from tests.fakes.services.bodies import changed
from tests.fakes.services.faults import Fault

Document = Any
Path = tuple[str | int, ...]

LONG_WORD = "unknown-" * 50
EVERYWHERE = (
    changed("null", lambda _: None),
    changed("a-number", lambda _: 7),
    changed("a-text", lambda _: "done"),
    changed("a-list-of-two", lambda answer: [answer, answer]),
    changed("a-list-in-a-list", lambda answer: [[answer]]),
    changed("an-empty-object", lambda _: {}),
    changed("an-error-with-200", lambda _: {"detail": "Internal Server Error"}),
)


def replaced(name: str, path: Path, value: Document) -> Fault:
    """The proper answer with another value at `path`."""

    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        _parent(document, path)[path[-1]] = value
        return document

    return changed(name, change)


def without(name: str, path: Path) -> Fault:
    """The proper answer without what stands at `path`."""

    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        del _parent(document, path)[path[-1]]
        return document

    return changed(name, change)


def _parent(document: Document, path: Path) -> Document:
    for step in path[:-1]:
        document = document[step]
    return document


AUTH = (
    without("without-access-token", ("access_token",)),
    replaced("access-token-null", ("access_token",), None),
    replaced("access-token-empty", ("access_token",), ""),
    replaced("access-token-a-number", ("access_token",), 12345),
    replaced("access-token-with-newline", ("access_token",), "planted\r\nX-Planted: yes"),
)

SPLIT = (
    changed("an-empty-list", lambda _: []),
    without("without-right-channel", ("right_channel_url",)),
    replaced("channel-url-null", ("left_channel_url",), None),
    replaced("channel-url-empty", ("left_channel_url",), ""),
    replaced("channel-url-a-list", ("left_channel_url",), ["/channels/1/left.flac"]),
    replaced("channel-url-a-file", ("left_channel_url",), "file:///etc/passwd"),
    replaced("channel-url-ftp", ("left_channel_url",), "ftp://127.0.0.1/left.flac"),
    replaced("channel-url-broken", ("left_channel_url",), "http://[::1"),
)

_DATA: Path = ("data",)
_FIRST: Path = ("data", "segments", 0)


def _times(name: str, start: Document, end: Document) -> Fault:
    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        document["data"]["segments"][0].update(start=start, end=end)
        return document

    return changed(name, change)


TRANSCRIPTION = (
    changed("an-empty-list", lambda _: []),
    replaced("data-null", _DATA, None),
    replaced("data-a-list-of-two", _DATA, [{}, {}]),
    without("without-segments", ("data", "segments")),
    replaced("segments-null", ("data", "segments"), None),
    replaced("segments-an-object", ("data", "segments"), {"0": "hello"}),
    replaced("segment-a-text", _FIRST, "hello"),
    without("segment-without-start", (*_FIRST, "start")),
    without("segment-without-text", (*_FIRST, "text")),
    replaced("segment-text-null", (*_FIRST, "text"), None),
    replaced("words-a-text", (*_FIRST, "words"), "hello"),
    without("word-without-start", (*_FIRST, "words", 0, "start")),
    replaced("word-nan", (*_FIRST, "words", 0, "start"), float("nan")),
    _times("times-nan", float("nan"), float("nan")),
    _times("times-infinite", 0.0, float("inf")),
    _times("times-negative", -3.0, -1.0),
    _times("times-reversed", 5.0, 1.0),
    _times("times-texts", "soon", "later"),
    _times("times-a-week-later", 604_800.0, 604_801.0),
    replaced("success-false", ("success",), False),
)
"""With `services.script.bare` off. Words may stand outside their segment by the contract."""

_JUDGED: Path = ("segments", 0)
SENTIMENT = (
    without("without-segments", ("segments",)),
    replaced("segments-null", ("segments",), None),
    replaced("segments-an-object", ("segments",), {"0": "hello"}),
    replaced("segment-null", _JUDGED, None),
    without("segment-without-sentiment", (*_JUDGED, "sentiment")),
    replaced("sentiment-unknown", (*_JUDGED, "sentiment"), "furious"),
    replaced("sentiment-a-long-word", (*_JUDGED, "sentiment"), LONG_WORD),
    replaced("sentiment-null", (*_JUDGED, "sentiment"), None),
    replaced("sentiment-a-number", (*_JUDGED, "sentiment"), 1),
    replaced("segment-times-nan", (*_JUDGED, "start"), float("nan")),
    replaced("segment-id-unknown", (*_JUDGED, "segment-id"), 999),
    replaced("context-of-another", ("context",), "Somebody Else"),
)
"""Needs a transcript that names the competitor: the answer to any other is `[]`."""

SPEECH = (
    without("without-text", ("text",)),
    replaced("text-null", ("text",), None),
    replaced("segments-a-text", ("segments",), "hello"),
    replaced("segment-null", ("segments", 0), None),
    replaced("segment-times-nan", ("segments", 0, "start"), float("nan")),
    replaced("segment-times-reversed", ("segments", 0, "start"), 900.0),
)
"""Of `verbose_json` with segments; its words are left alone."""

_CHOICE: Path = ("choices", 0)
_CONTENT: Path = ("choices", 0, "message", "content")
CHAT = (
    replaced("choices-empty", ("choices",), []),
    replaced("choices-null", ("choices",), None),
    without("choice-without-message", (*_CHOICE, "message")),
    replaced("content-null", _CONTENT, None),
    replaced("content-empty", _CONTENT, ""),
    replaced("content-prose", _CONTENT, "I am sorry, I cannot help with that."),
    replaced("content-cut", _CONTENT, '{"judgements": [{"quote": "I would'),
    replaced("content-a-number", _CONTENT, 7),
    replaced("content-a-json-number", _CONTENT, "7"),
    replaced("content-an-empty-object", _CONTENT, "{}"),
)

WRONG_SHAPES: dict[str, tuple[Fault, ...]] = {
    "auth": (*EVERYWHERE, *AUTH),
    "split": (*EVERYWHERE, *SPLIT),
    "transcription": (*EVERYWHERE, *TRANSCRIPTION),
    "sentiment": (*EVERYWHERE, *SENTIMENT),
    "speech": (*EVERYWHERE, *SPEECH),
    "chat": (*EVERYWHERE, *CHAT),
}
