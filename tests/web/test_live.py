"""What open pages are told while calls go on, over sockets as browsers hear it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.call import Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.reading.following import Following
from callpipeline.web.live import stream as streams
from callpipeline.web.live.watch import Watch
from callpipeline.web.opened import Opened
from callpipeline.web.pages.standing import pieces_of, standing
from callpipeline.wiring import Storage
from tests.builders import a_write, some_metrics
from tests.integration.calls import enter
from tests.web import standing_calls
from tests.web.app_server import serving

LONGEST_S = 10.0


class Page:
    """An open stream, read as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.kind = response.headers["content-type"]
        self._lines = response.iter_lines()

    def block(self) -> str:
        """The next event or comment, up to its empty line."""
        lines = list[str]()
        for line in self._lines:
            if not line:
                return "\n".join(lines)
            lines.append(line)
        raise EOFError

    def told(self, text: str) -> str:
        """The first event from now on that has this text in it."""
        while text not in (block := self.block()):
            pass
        return block


@pytest.fixture
def app(settings: Settings, database_url: str) -> Iterator[str]:
    with serving(settings.model_copy(update={"database_url": SecretStr(database_url)})) as at:
        yield at


@contextmanager
def listening(at: str, path: str) -> Iterator[Page]:
    with (
        httpx.Client(base_url=at, timeout=LONGEST_S) as client,
        client.stream("GET", path) as response,
    ):
        page = Page(response)
        if page.status == 200:
            assert page.block().endswith("event: listening\ndata:")
        yield page


def bar(block: str) -> int:
    return int(block.partition('progress value="')[2].partition('"')[0])


def test_a_change_arrives_at_once_and_progress_only_grows(
    app: str, storage: Storage, tmp_path: Path
) -> None:
    call_id = standing_calls.claimed(storage, "a.wav")
    with listening(app, f"/events/calls/{call_id}?mark=") as page:
        assert page.kind.startswith("text/event-stream")
        seen = [bar(page.told(f"state-{call_id}"))]
        standing_calls.split(storage, call_id, tmp_path)
        began = time.monotonic()
        seen.append(bar(page.told(f"state-{call_id}")))
        assert time.monotonic() - began < 3
        storage.results.save_metrics(
            a_write(call_id, Stage.CALL_METRICS, standing_calls.RUN), some_metrics()
        )
        seen.append(bar(page.told(f"state-{call_id}")))
        standing_calls.find(storage, call_id, Vodafone=Sentiment.POSITIVE)
        storage.claims.complete(call_id, standing_calls.RUN)
        assert page.told("event: ended").endswith(call_id)
    assert seen == sorted(seen) and seen[0] < seen[1] < seen[2]


def test_what_a_page_shows_already_is_not_told_again(app: str, storage: Storage) -> None:
    first, second = enter(storage, "a.wav", "b.wav")
    html = httpx.get(f"{app}/calls", headers={"Accept": "text/html"}).text
    marks = {row.split(".")[0]: row.split(".")[1] for row in _rows_in(html)}
    rows = f"row={first}.{marks[first]}&row={second}.an0ther"
    with listening(app, f"/events/calls?{rows}") as page:
        told = page.told("hx-partial")
    assert f"#row-{second}" in told and f"#row-{first}" not in told


def _rows_in(html: str) -> list[str]:
    address = html.partition('hx-sse:connect="')[2].partition('"')[0]
    pairs = address.partition("?")[2].split("&amp;")
    return [pair.removeprefix("row=") for pair in pairs if pair.startswith("row=")]


def test_pages_hear_of_newer_calls(app: str, storage: Storage) -> None:
    [first] = enter(storage, "a.wav")
    with (
        listening(app, f"/events/calls?row={first}.x&top={first}") as page,
        listening(app, "/events/newest") as home,
    ):
        home.told(f"row-{first}")
        [second] = enter(storage, "b.wav")
        assert page.told("event: newer").endswith("data: 1")
        assert f'id="row-{second}"' in home.told("#newest")


def test_a_file_name_cannot_end_an_event(app: str, storage: Storage) -> None:
    [call_id] = enter(storage, "a\r\ndata: x\n\nevent: ended\ndata: y\u2028.wav")
    with listening(app, f"/events/calls?row={call_id}.x") as page:
        told = page.told("hx-partial")
    assert all(line.startswith("data: ") for line in told.splitlines())


def test_a_server_stops_at_once_though_pages_listen(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    [call_id] = enter(storage)
    options = settings.model_copy(update={"database_url": SecretStr(database_url)})
    ends = list[bool]()

    def listen(at: str, ready: threading.Barrier) -> None:
        with listening(at, f"/events/calls/{call_id}?mark=") as page:
            page.told("state-")
            ready.wait()
            with pytest.raises(EOFError):
                page.told("nothing like this")
            ends.append(True)

    ready = threading.Barrier(4)
    with serving(options) as at:
        pages = [threading.Thread(target=listen, args=(at, ready)) for _ in range(3)]
        for page in pages:
            page.start()
        ready.wait(LONGEST_S)
        began = time.monotonic()
    took_s = time.monotonic() - began
    for page in pages:
        page.join()
    assert len(ends) == 3
    assert took_s < 1.5


def test_two_hundred_pages_cost_one_look_a_second(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    call_ids = enter(storage, *(f"{number}.wav" for number in range(20)))
    counted = CountedLooks(Following(storage.database))
    with serving(_options(settings, database_url), lambda o: _watched_by(o, counted)) as at:
        with ExitStack() as stack:
            limits = httpx.Limits(max_connections=None)
            client = stack.enter_context(
                httpx.Client(base_url=at, timeout=LONGEST_S, limits=limits)
            )
            rows = "&".join(f"row={call_id}.x" for call_id in call_ids)
            for _ in range(200):
                stack.enter_context(client.stream("GET", f"/events/calls?{rows}"))
            counted.looks = 0
            began = time.monotonic()
            time.sleep(2.0)
            most = (time.monotonic() - began) / 1.0 + 1
            assert 1 <= counted.looks <= most
            assert client.get("/calls").status_code == 200
        asked = counted.looks
        time.sleep(2.2)
        assert counted.looks <= asked + 1, "nobody listens, and it is looked on"


def test_more_pages_than_can_be_told_ask_by_themselves(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    [call_id] = enter(storage)
    few = CountedLooks(Following(storage.database))
    options = _options(settings, database_url)
    path = f"/events/calls/{call_id}?mark="
    with serving(options, lambda o: _watched_by(o, few, most=1)) as at, listening(at, path) as page:
        page.told("state-")
        reply = httpx.get(f"{at}{path}")
    assert (reply.status_code, "retry-after" in reply.headers) == (503, True)


@pytest.mark.parametrize("path", ["/events/calls?row=nonsense.x", "/events/calls/nonsense"])
def test_what_is_no_call_cannot_be_listened_to(app: str, path: str) -> None:
    assert httpx.get(f"{app}{path}").status_code == 422


def test_a_quiet_stream_beats_and_ends_after_a_while() -> None:
    async def read() -> list[str]:
        watch = Watch(NobodyLooks(), lambda call: pieces_of(standing(call, None)), every_s=0.001)  # pyright: ignore
        clock = iter([0.0, 1.0, 2.0, 3.0, 99.0])
        answer = streams.stream(
            watch, streams.Wish(), beat_s=0.001, lasts_s=10, now=lambda: next(clock)
        )
        return [str(part) async for part in answer.body_iterator]

    texts = asyncio.run(read())
    assert texts == [streams.BEGIN, *[streams.BEAT] * 3]
    assert streams.BEAT.startswith(":")


class NobodyLooks:
    def look(self, call_ids: object, *, newest: int) -> list[object]:
        return []

    def calls(self, call_ids: object) -> list[object]:
        return []


class CountedLooks:
    """Counts how often the database is asked."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self.looks = 0

    def look(self, call_ids: frozenset[str], *, newest: int) -> object:
        self.looks += 1
        return self._following.look(call_ids, newest=newest)

    def calls(self, call_ids: list[str]) -> object:
        return self._following.calls(call_ids)


def _options(settings: Settings, database_url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


def _watched_by(opened: Opened, looked: CountedLooks, most: int = 500) -> Opened:
    watch = Watch(looked, lambda call: pieces_of(standing(call, opened.links)), most=most)  # pyright: ignore
    return replace(opened, watch=watch)
