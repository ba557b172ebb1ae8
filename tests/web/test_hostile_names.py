"""Hostile names are plain text in pages and files."""

import csv
import io
import os
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.sentiment import Sentiment
from callpipeline.web.pages.rendering import printable
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web import calls_by_state
from tests.web.served import Served

LARGE = "LARGE" in os.environ
AT_ONCE = 25 if LARGE else 6
FORMULA = ("=", "+", "-", "@", "\t", "\r")
PIECES = [
    *("'", '"', "<script>alert(1)</script>", "</title>", "<!--", "]]>", "&lt;", "&", "{{7*7}}"),
    *("\u202e", "\u2066", "\u200d", "👩‍👩‍👧", "e\u0301", "é", "ש", "العربية", "\n", "\r\n", "\t"),
    *("\x7f", "%00", "%2e%2e%2f", "..", "\\", ";", ",", "=cmd|' /C calc'!A0", "@SUM(1)", "-1"),
    *("+1", "⟦", "⟧", "\u2028", "\ufeff", "\ue000", "\U0010ffff", "n" * 300, "javascript:alert(1)"),
]


def names_of(seed: int) -> list[str]:
    """Names of objects in a bucket, which are not sanitized.

    Not by hypothesis, which takes what the app's threads do with `random` for its strategies'.
    """
    chance = random.Random(seed)
    single = [*PIECES, *PIECES[:9]]
    longer = ["".join(chance.choices(PIECES, k=chance.randint(2, 6))) for _ in range(AT_ONCE)]
    anything = [
        "".join(chr(chance.choice((chance.randint(1, 0x2FF), chance.randint(0x300, 0xD7FF)))))
        + chance.choice(PIECES)
        for _ in range(AT_ONCE)
    ]
    return list(dict.fromkeys([*single, *longer, *anything]))


VOID = {*("meta", "link", "input", "br", "hr", "img", "source", "wbr", "col")}
EVIL = re.compile(r"alert\(1\)")


class Read(HTMLParser):
    """Return a page's texts; raise if its elements are not nested properly."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, (tag, self._open)

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open[-1:] == ["script"] else self.texts).append(data)

    def shows(self, text: str) -> bool:
        return any(printable(text) in each for each in self.texts)


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def read(client: httpx.Client, path: str) -> Read:
    reply = client.get(path, headers={"Accept": "text/html"})
    assert reply.status_code == 200, (path, reply.text[:300])
    page = Read(reply.text)
    assert not any(EVIL.search(script) for script in page.scripts)
    for name, value in page.attributes:
        assert not name.startswith("on"), (name, value)
        if name in {"href", "src", "action"}:
            assert re.match(r"(/(?!/)|#|\?|http://127\.0\.0\.1)", value), (name, value)
    return page


def called(storage: Storage, name: str, folder: Path) -> str:
    """Create a call whose recording, agent and competitor have this name."""
    key = f"in/{name}"
    [call_id] = enter(storage, key, metadata={"agent": name})
    storage.claims.claim([call_id], calls_by_state.RUN)
    storage.claims.begin(call_id, calls_by_state.RUN)
    calls_by_state.split(storage, call_id, folder)
    calls_by_state.find(storage, call_id, **{name: Sentiment.POSITIVE})
    storage.claims.complete(call_id, calls_by_state.RUN)
    return call_id


def test_invisible_characters_are_shown_and_joiners_kept() -> None:
    assert printable("a\u202eb\n") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert printable("👩\u200d👧 می\u200cخواهم") == "👩\u200d👧 می\u200cخواهم"


@pytest.mark.parametrize("seed", range(100 if LARGE else 1))
def test_no_name_breaks_a_page_or_a_file(
    client: httpx.Client, storage: Storage, tmp_path: Path, seed: int
) -> None:
    names = [name for name in names_of(seed) if name.strip("/ ")]
    calls = {called(storage, name, tmp_path / "sound"): name for name in names}
    lists = [
        read(client, path) for path in ("/calls", "/analytics?agents=all", "/search?words=want")
    ]
    read(client, "/")
    read(client, "/review")
    for call_id, name in calls.items():
        last = f"in/{name}".rpartition("/")[2]
        assert lists[0].shows(last) or not last, name
        assert read(client, f"/calls/{call_id}").shows(last) or not last, name
        _files(client, call_id)
    for what in ("calls", "mentions", "segments"):
        _no_formula(client.get(f"/export/{what}.csv").text)


def _files(client: httpx.Client, call_id: str) -> None:
    for path in ("call.json", "segments.csv", "transcript.srt", "transcript.vtt"):
        reply = client.get(f"/calls/{call_id}/{path}")
        assert reply.status_code == 200, path
        told = reply.headers["Content-Disposition"]
        assert told.startswith("attachment; filename=")
        assert told.isascii() and told.isprintable()
        plain_name = re.match(r'attachment; filename="([^"\\]*)"', told)
        assert plain_name and not re.search(r"[/\\]", plain_name[1]), told
        if path.endswith(".csv"):
            _no_formula(reply.text)


def _no_formula(text: str) -> None:
    """Minus and plus can start a number."""
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not cell.startswith(FORMULA) or re.fullmatch(r"[-+]?[\d.e-]+", cell), cell
