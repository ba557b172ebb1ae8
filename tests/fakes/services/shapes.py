"""Valid JSON that doesn't match the contract: the regular response with one change.

`WRONG_SHAPES[service]` is meant for `pytest.mark.parametrize`.
"""

import copy
from typing import Any

from tests.fakes.services.bodies import with_change
from tests.fakes.services.faults import Fault

Document = Any
Path = tuple[str | int, ...]

LONG_WORD = "unknown-" * 50
EVERYWHERE = (
    with_change("null", lambda _: None),
    with_change("a-number", lambda _: 7),
    with_change("a-text", lambda _: "done"),
    with_change("a-list-of-two", lambda answer: [answer, answer]),
    with_change("a-list-in-a-list", lambda answer: [[answer]]),
    with_change("an-empty-object", lambda _: {}),
    with_change("an-error-with-200", lambda _: {"detail": "Internal Server Error"}),
)


def with_value(name: str, path: Path, value: Document) -> Fault:
    """Return a fault with another value at `path`."""

    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        _parent(document, path)[path[-1]] = value
        return document

    return with_change(name, change)


def without_field(name: str, path: Path) -> Fault:
    """Return a fault without the field at `path`."""

    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        del _parent(document, path)[path[-1]]
        return document

    return with_change(name, change)


def _parent(document: Document, path: Path) -> Document:
    for step in path[:-1]:
        document = document[step]
    return document


AUTH = (
    without_field("without-access-token", ("access_token",)),
    with_value("access-token-null", ("access_token",), None),
    with_value("access-token-empty", ("access_token",), ""),
    with_value("access-token-a-number", ("access_token",), 12345),
    with_value("access-token-with-newline", ("access_token",), "planted\r\nX-Planted: yes"),
)

SPLIT = (
    with_change("an-empty-list", lambda _: []),
    without_field("without-right-channel", ("right_channel_url",)),
    with_value("channel-url-null", ("left_channel_url",), None),
    with_value("channel-url-empty", ("left_channel_url",), ""),
    with_value("channel-url-a-list", ("left_channel_url",), ["/channels/1/left.flac"]),
    with_value("channel-url-a-file", ("left_channel_url",), "file:///etc/passwd"),
    with_value("channel-url-ftp", ("left_channel_url",), "ftp://127.0.0.1/left.flac"),
    with_value("channel-url-broken", ("left_channel_url",), "http://[::1"),
)

_DATA: Path = ("data",)
_FIRST: Path = ("data", "segments", 0)


def _times(name: str, start: Document, end: Document) -> Fault:
    def change(answer: Document) -> Document:
        document = copy.deepcopy(answer)
        document["data"]["segments"][0].update(start=start, end=end)
        return document

    return with_change(name, change)


TRANSCRIPTION = (
    with_change("an-empty-list", lambda _: []),
    with_value("data-null", _DATA, None),
    with_value("data-a-list-of-two", _DATA, [{}, {}]),
    without_field("without-segments", ("data", "segments")),
    with_value("segments-null", ("data", "segments"), None),
    with_value("segments-an-object", ("data", "segments"), {"0": "hello"}),
    with_value("segment-a-text", _FIRST, "hello"),
    without_field("segment-without-start", (*_FIRST, "start")),
    without_field("segment-without-text", (*_FIRST, "text")),
    with_value("segment-text-null", (*_FIRST, "text"), None),
    with_value("words-a-text", (*_FIRST, "words"), "hello"),
    without_field("word-without-start", (*_FIRST, "words", 0, "start")),
    with_value("word-nan", (*_FIRST, "words", 0, "start"), float("nan")),
    _times("times-nan", float("nan"), float("nan")),
    _times("times-infinite", 0.0, float("inf")),
    _times("times-negative", -3.0, -1.0),
    _times("times-reversed", 5.0, 1.0),
    _times("times-texts", "soon", "later"),
    _times("times-a-week-later", 604_800.0, 604_801.0),
    with_value("success-false", ("success",), False),
)
"""For `services.script.bare = False`. The contract allows words outside of their segment."""

_JUDGED: Path = ("segments", 0)
SENTIMENT = (
    without_field("without-segments", ("segments",)),
    with_value("segments-null", ("segments",), None),
    with_value("segments-an-object", ("segments",), {"0": "hello"}),
    with_value("segment-null", _JUDGED, None),
    without_field("segment-without-sentiment", (*_JUDGED, "sentiment")),
    with_value("sentiment-unknown", (*_JUDGED, "sentiment"), "furious"),
    with_value("sentiment-a-long-word", (*_JUDGED, "sentiment"), LONG_WORD),
    with_value("sentiment-null", (*_JUDGED, "sentiment"), None),
    with_value("sentiment-a-number", (*_JUDGED, "sentiment"), 1),
    with_value("segment-times-nan", (*_JUDGED, "start"), float("nan")),
    with_value("segment-id-unknown", (*_JUDGED, "segment-id"), 999),
    with_value("context-of-another", ("context",), "Somebody Else"),
)
"""For a transcript with the competitor: the response to any other is `[]`."""

SPEECH = (
    without_field("without-text", ("text",)),
    with_value("text-null", ("text",), None),
    with_value("segments-a-text", ("segments",), "hello"),
    with_value("segment-null", ("segments", 0), None),
    with_value("segment-times-nan", ("segments", 0, "start"), float("nan")),
    with_value("segment-times-reversed", ("segments", 0, "start"), 900.0),
)
"""For `verbose_json` with segments; its words are unchanged."""

_CHOICE: Path = ("choices", 0)
_CONTENT: Path = ("choices", 0, "message", "content")
CHAT = (
    with_value("choices-empty", ("choices",), []),
    with_value("choices-null", ("choices",), None),
    without_field("choice-without-message", (*_CHOICE, "message")),
    with_value("content-null", _CONTENT, None),
    with_value("content-empty", _CONTENT, ""),
    with_value("content-prose", _CONTENT, "I am sorry, I cannot help with that."),
    with_value("content-cut", _CONTENT, '{"judgements": [{"quote": "I would'),
    with_value("content-a-number", _CONTENT, 7),
    with_value("content-a-json-number", _CONTENT, "7"),
    with_value("content-an-empty-object", _CONTENT, "{}"),
)

WRONG_SHAPES: dict[str, tuple[Fault, ...]] = {
    "auth": (*EVERYWHERE, *AUTH),
    "split": (*EVERYWHERE, *SPLIT),
    "transcription": (*EVERYWHERE, *TRANSCRIPTION),
    "sentiment": (*EVERYWHERE, *SENTIMENT),
    "speech": (*EVERYWHERE, *SPEECH),
    "chat": (*EVERYWHERE, *CHAT),
}
