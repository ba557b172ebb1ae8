"""Live updates of open pages, over real sockets."""

import asyncio
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.storage.reading.calls import CallChange, CallTracker, TrackedCall
from callpipeline.web.live import events as streams
from callpipeline.web.live.watch import CallWatcher, Subscription
from callpipeline.web.pages.status_view import call_fragments, status_view
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage
from tests.builders import a_write, some_metrics
from tests.integration.calls import enter
from tests.processes import until
from tests.web import calls_by_state
from tests.web.app_server import serving
from tests.web.served import Served

LONGEST_S = 60.0


class Page:
    """An open event stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.kind = response.headers["content-type"]
        self._lines = response.iter_lines()

    def block(self) -> str:
        """Return the next event or comment."""
        lines = list[str]()
        for line in self._lines:
            if not line:
                return "\n".join(lines)
            lines.append(line)
        raise EOFError

    def next_event(self, text: str) -> str:
        """Return the next event that contains this text."""
        while text not in (block := self.block()):
            pass
        return block


@pytest.fixture
def settings(empty_app: Served) -> Settings:
    return empty_app.settings


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def address(empty_app: Served) -> str:
    return empty_app.address


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
    address: str, storage: Storage, tmp_path: Path
) -> None:
    call_id = calls_by_state.claimed(storage, "a.wav")
    with listening(address, f"/events/calls/{call_id}?mark=") as page:
        assert page.kind.startswith("text/event-stream")
        seen = [bar(page.next_event(f"state-{call_id}"))]
        calls_by_state.split(storage, call_id, tmp_path)
        seen.append(bar(page.next_event(f"state-{call_id}")))
        storage.results.save_metrics(
            a_write(call_id, Stage.CALL_METRICS, calls_by_state.RUN), some_metrics()
        )
        seen.append(bar(page.next_event(f"state-{call_id}")))
        calls_by_state.find(storage, call_id, Vodafone=Sentiment.POSITIVE)
        storage.claims.complete(call_id, calls_by_state.RUN)
        assert page.next_event("event: ended").endswith(call_id)
    assert seen == sorted(seen) and seen[0] < seen[1] < seen[2]


def test_a_page_gets_changes_only(address: str, storage: Storage) -> None:
    first, second = enter(storage, "a.wav", "b.wav")
    html = httpx.get(f"{address}/calls", headers={"Accept": "text/html"}, timeout=60).text
    marks = {row.split(".")[0]: row.split(".")[1] for row in _rows_in(html)}
    rows = f"row={first}.{marks[first]}&row={second}.an0ther"
    with listening(address, f"/events/calls?{rows}") as page:
        event = page.next_event("hx-partial")
    assert f"#row-{second}" in event and f"#row-{first}" not in event


def _rows_in(html: str) -> list[str]:
    address = html.partition('hx-sse:connect="')[2].partition('"')[0]
    pairs = address.partition("?")[2].split("&amp;")
    return [pair.removeprefix("row=") for pair in pairs if pair.startswith("row=")]


def test_pages_are_notified_of_newer_calls(address: str, storage: Storage) -> None:
    [first] = enter(storage, "a.wav")
    with (
        listening(address, f"/events/calls?row={first}.x&top={first}") as page,
        listening(address, "/events/newest") as home,
    ):
        home.next_event(f"row-{first}")
        [second] = enter(storage, "b.wav")
        assert page.next_event("event: newer").endswith("data: 1")
        assert f'id="row-{second}"' in home.next_event("#newest")


def test_a_file_name_cannot_end_an_event(address: str, storage: Storage) -> None:
    [call_id] = enter(storage, "a\r\ndata: x\n\nevent: ended\ndata: y\u2028.wav")
    with listening(address, f"/events/calls?row={call_id}.x") as page:
        event = page.next_event("hx-partial")
    assert all(line.startswith("data: ") for line in event.splitlines())


def test_a_server_stops_at_once_with_open_streams(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    [call_id] = enter(storage)
    options = settings.model_copy(update={"database_url": SecretStr(database_url)})
    ends = list[bool]()

    def listen(at: str, ready: threading.Barrier) -> None:
        with listening(at, f"/events/calls/{call_id}?mark=") as page:
            page.next_event("state-")
            ready.wait()
            with pytest.raises(EOFError):
                page.next_event("nothing like this")
            ends.append(True)

    ready = threading.Barrier(4, timeout=LONGEST_S)
    with serving(options) as at:
        pages = [threading.Thread(target=listen, args=(at, ready)) for _ in range(3)]
        for page in pages:
            page.start()
        ready.wait()
    for page in pages:
        page.join(LONGEST_S)
    assert len(ends) == 3


def test_two_hundred_pages_cost_one_query_a_second(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    call_ids = enter(storage, *(f"{number}.wav" for number in range(20)))
    counted = CountingTracker(CallTracker(storage.database))
    with serving(_options(settings, database_url), lambda o: _watched_by(o, counted)) as at:
        with ExitStack() as stack:
            limits = httpx.Limits(max_connections=None)
            client = stack.enter_context(
                httpx.Client(base_url=at, timeout=LONGEST_S, limits=limits)
            )
            rows = "&".join(f"row={call_id}.x" for call_id in call_ids)
            for _ in range(200):
                stack.enter_context(client.stream("GET", f"/events/calls?{rows}"))
            counted.queries = 0
            began = time.monotonic()
            time.sleep(2.0)
            until(lambda: counted.queries > 0, "the database is polled")
            queries = counted.queries
            assert queries <= (time.monotonic() - began) / 1.0 + 1
            assert client.get("/calls").status_code == 200
        until(lambda: _is_quiet(counted), "no page is open, but the database is polled")


def test_pages_beyond_the_limit_poll(
    settings: Settings, database_url: str, storage: Storage
) -> None:
    [call_id] = enter(storage)
    few = CountingTracker(CallTracker(storage.database))
    options = _options(settings, database_url)
    path = f"/events/calls/{call_id}?mark="
    with serving(options, lambda o: _watched_by(o, few, most=1)) as at, listening(at, path) as page:
        page.next_event("state-")
        reply = httpx.get(f"{at}{path}", timeout=60)
    assert (reply.status_code, "retry-after" in reply.headers) == (503, True)


@pytest.mark.parametrize("path", ["/events/calls?row=nonsense.x", "/events/calls/nonsense"])
def test_invalid_subscriptions_are_refused(address: str, path: str) -> None:
    assert httpx.get(f"{address}{path}", timeout=60).status_code == 422


def test_an_idle_stream_has_heartbeats_and_ends_eventually() -> None:
    async def read() -> list[str]:
        watch = CallWatcher(
            NoCalls(),
            lambda call: call_fragments(status_view(call, Links("http://app", "http://dagster"))),
            interval_s=0.001,
        )
        clock = iter([0.0, 1.0, 2.0, 3.0, 99.0])
        answer = streams.event_stream(
            watch, Subscription(), heartbeat_s=0.001, max_duration_s=10, now=lambda: next(clock)
        )
        return [str(part) async for part in answer.body_iterator]

    texts = asyncio.run(read())
    assert texts == [streams.OPENING_EVENT, *[streams.HEARTBEAT] * 3]
    assert streams.HEARTBEAT.startswith(":")


class NoCalls:
    def changes(self, call_ids: Collection[str], *, newest: int) -> list[CallChange]:
        return []

    def by_id(self, call_ids: Collection[str]) -> list[TrackedCall]:
        return []


class CountingTracker:
    """Counts queries for changes."""

    def __init__(self, tracker: CallTracker) -> None:
        self._tracker = tracker
        self.queries = 0

    def changes(self, call_ids: Collection[str], *, newest: int) -> list[CallChange]:
        self.queries += 1
        return self._tracker.changes(call_ids, newest=newest)

    def by_id(self, call_ids: Collection[str]) -> list[TrackedCall]:
        return self._tracker.by_id(call_ids)


def _is_quiet(counted: CountingTracker) -> bool:
    before = counted.queries
    time.sleep(2.2)
    return counted.queries == before


def _options(settings: Settings, database_url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


def _watched_by(state: AppState, tracker: CountingTracker, most: int = 500) -> AppState:
    watch = CallWatcher(
        tracker, lambda call: call_fragments(status_view(call, state.links)), max_listeners=most
    )
    return replace(state, watcher=watch)
