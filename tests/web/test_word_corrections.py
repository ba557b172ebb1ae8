"""Words of a transcript, corrected by page and API: what follows, what is kept, and conflicts."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from callpipeline import wiring
from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.redaction.masking import RedactionPolicy
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import CatalogConflict
from callpipeline.storage.ports.results import Redaction
from callpipeline.web.api import corrections
from callpipeline.wiring import Storage, load_catalog
from tests.builders import a_transcript, a_write
from tests.integration.databases import execute_sql
from tests.integration.dumps import in_database
from tests.integration.rematching import fill, rematch
from tests.processes import until
from tests.web.browsing import chromium, watched
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served

HEARD, RIGHT = "we are leaving void a phone today", "we are leaving Vodafone today"
SEGMENT = f"segments/{Channel.LEFT}/0"


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    load_catalog(empty_app.settings, empty_app.storage.catalogs)
    return empty_app.storage


@pytest.fixture
def call_id(storage: Storage) -> str:
    [call_id] = fill(storage, [HEARD])
    rematch(storage)
    assert storage.results.mentions(call_id) == ()
    return call_id


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield client


def correct(client: httpx.Client, call_id: str, text: str, seen: str) -> httpx.Response:
    return client.put(f"/calls/{call_id}/{SEGMENT}", json={"text": text, "seen": seen})


def text_of(storage: Storage, call_id: str) -> str:
    """Return the text of the first segment, on which rows and transcripts agree."""
    [segment] = storage.calls.segments(call_id)
    [transcript] = storage.results.transcripts(call_id)
    assert transcript.segments[0].text == segment.text
    return segment.text


def test_search_mentions_and_sentiment_follow_and_the_original_is_kept(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    answer = correct(client, call_id, RIGHT, HEARD)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["text"], answer.json()["recognised"]) == (RIGHT, HEARD)
    assert call_id in client.get("/search/segments", params={"words": "vodafone"}).text
    assert text_of(storage, call_id) == RIGHT
    rematch(storage)
    [mention] = storage.results.mentions(call_id)
    assert (mention.competitor, mention.counts) == ("Vodafone", True)
    assert len(storage.results.judgements(call_id)) == 1
    [recognised] = storage.results.recognised(call_id)
    assert recognised.segments[0].text == HEARD
    assert HEARD in client.get(f"/calls/{call_id}/transcript").text
    back = correct(client, call_id, HEARD, RIGHT)
    assert back.json()["mentions_follow"]
    rematch(storage)
    assert storage.results.mentions(call_id) == ()


def test_a_correction_survives_a_new_transcript(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    correct(client, call_id, RIGHT, HEARD)
    storage.claims.claim([call_id], "run-2", recompute=list(Stage))
    again = a_transcript(HEARD, engine="another")
    write = a_write(call_id, Stage.TRANSCRIPTS, run_id="run-2")
    [stored] = storage.results.save_transcripts(write, [again])
    assert stored.segments[0].text == RIGHT, "the stage of mentions gets it too"
    assert text_of(storage, call_id) == RIGHT
    [recognised] = storage.results.recognised(call_id)
    assert recognised.segments[0].text == HEARD


def test_of_two_people_the_second_is_asked_to_look_again(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    assert correct(client, call_id, RIGHT, HEARD).status_code == 200
    late = correct(client, call_id, "we are leaving today", HEARD)
    assert late.status_code == 409
    assert "corrected these words a minute ago" in late.text
    form = {"channel": "left", "index": "0", "text": "we stay", "seen": HEARD}
    page = client.post(f"/calls/{call_id}/transcript", data=form)
    assert page.status_code == 409
    assert "we stay</textarea>" in page.text, "what was entered is kept"
    assert "corrected these words a minute ago" in page.text
    assert text_of(storage, call_id) == RIGHT
    shown = page.text.partition('name="seen" value="')[2].partition('"')[0]
    assert shown == RIGHT, "a second try is made knowingly"


CARD = {"b": RedactionPolicy(frozenset({Kind.CARD}))}
NUMBER = "4111 1111 1111 1111"
MISHEARD = "my card is for eleven ones and Vodafone"


def test_a_typed_number_is_masked_before_it_is_stored(storage: Storage) -> None:
    [call_id] = fill(storage, [MISHEARD])
    position, said = (Channel.LEFT, 0), f"my card is {NUMBER} and Vodafone"
    assert storage.words.correct(call_id, position, said, seen=MISHEARD, policies=CARD)
    assert text_of(storage, call_id) == "my card is [card] and Vodafone"
    assert in_database(storage.database.url, ["4111", "1111 1111"]) == []
    masked = text_of(storage, call_id)
    assert not storage.words.correct(call_id, position, said, seen=masked, policies=CARD)


def test_the_page_masks_what_the_settings_of_the_source_say(
    storage: Storage, empty_app: Served, monkeypatch: pytest.MonkeyPatch, client: httpx.Client
) -> None:
    [call_id] = fill(storage, [MISHEARD])
    monkeypatch.setattr(wiring, "redaction_policies", lambda _: CARD)
    answer = correct(client, call_id, f"my card is {NUMBER}", MISHEARD)
    assert (answer.status_code, answer.json()["text"]) == (200, "my card is [card]")
    assert in_database(storage.database.url, ["4111"]) == []


def test_the_part_of_a_number_in_another_segment_is_masked_too(storage: Storage) -> None:
    [call_id] = fill(storage, ["x"])
    heard = a_transcript("my card is 4111 1111", "eleven eleven", "my order is 1234")
    store_again(storage, call_id, heard)
    position = (Channel.LEFT, 1)
    said = "1111 1111"
    assert storage.words.correct(call_id, position, said, seen="eleven eleven", policies=CARD)
    texts = [each.text for each in storage.calls.segments(call_id)]
    assert texts == ["my card is [card]", "[card]", "my order is 1234"]
    [transcript] = storage.results.transcripts(call_id)
    assert [each.text for each in transcript.segments] == texts


def test_numbers_typed_before_redaction_was_on_are_masked_in_the_next_transcript(
    storage: Storage,
) -> None:
    [call_id] = fill(storage, [MISHEARD])
    said = f"my card is {NUMBER} and Vodafone"
    assert storage.words.correct(call_id, (Channel.LEFT, 0), said, seen=MISHEARD)
    redaction = Redaction((), policy=CARD["b"])
    store_again(storage, call_id, a_transcript(MISHEARD, engine="another"), redaction)
    assert text_of(storage, call_id) == "my card is [card] and Vodafone"
    assert in_database(storage.database.url, ["4111"]) == []


def store_again(
    storage: Storage, call_id: str, transcript: Transcript, redaction: Redaction | None = None
) -> None:
    """Store another transcript of a call, as a run does that transcribes it again."""
    storage.claims.claim([call_id], "run-2", recompute=list(Stage))
    write = a_write(call_id, Stage.TRANSCRIPTS, run_id="run-2")
    storage.results.save_transcripts(write, [transcript], redaction)
    execute_sql(storage.database.url, "UPDATE calls SET state = 'COMPLETED', claimed_by = NULL")


def test_segments_without_times_are_corrected_where_they_are(storage: Storage) -> None:
    [call_id] = fill(storage, ["x"])
    heard = a_transcript("yes", "void a phone", "yes")
    segments = tuple(replace(s, start_s=0.0, end_s=0.0, words=()) for s in heard.segments)
    store_again(storage, call_id, replace(heard, segments=segments))
    for index, seen, text in ((2, "yes", "no"), (1, "void a phone", "Vodafone"), (0, "yes", "oh")):
        assert storage.words.correct(call_id, (Channel.LEFT, index), text, seen=seen)
    assert [each.text for each in storage.calls.segments(call_id)] == ["oh", "Vodafone", "no"]
    [transcript] = storage.results.transcripts(call_id)
    assert [each.text for each in transcript.segments] == ["oh", "Vodafone", "no"]


def test_people_who_correct_two_segments_at_once_lose_no_count(storage: Storage) -> None:
    [call_id] = fill(storage, ["x"])
    store_again(storage, call_id, a_transcript("one two", "three four"))
    barrier = threading.Barrier(2)

    def work(index: int, seen: str) -> None:
        barrier.wait()
        storage.words.correct(call_id, (Channel.LEFT, index), f"{seen} more", seen=seen)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, (0, 1), ("one two", "three four")))
    [transcript] = storage.results.transcripts(call_id)
    assert [each.text for each in transcript.segments] == ["one two more", "three four more"]
    counted = execute_sql(storage.database.url, "SELECT word_count FROM transcripts")
    assert counted == [(6,)]


def test_a_list_that_changes_meanwhile_does_not_fail_a_correction(
    client: httpx.Client, storage: Storage, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CatalogConflict("The competitor list changed meanwhile.")

    monkeypatch.setattr(corrections, "request_recomputation", refuse)
    began = datetime.now(UTC)
    answer = correct(client, call_id, RIGHT, HEARD)
    assert answer.status_code == 200, answer.text
    assert text_of(storage, call_id) == RIGHT
    assert storage.rematches.has_left_over()
    rematch(storage)
    [mention] = storage.results.mentions(call_id)
    assert mention.competitor == "Vodafone", "the next rematch has the call"
    until(lambda: len(entries_since(storage, began)) == 1, "the entry", 60)


@pytest.mark.parametrize(
    ("place", "text", "status"),
    [
        (SEGMENT, "", 422),
        (SEGMENT, "  ", 422),
        (SEGMENT, "x" * 5001, 422),
        ("segments/left/7", "we", 404),
        ("segments/right/0", "we", 404),
        ("segments/middle/0", "we", 422),
    ],
)
def test_bad_input_is_refused(
    client: httpx.Client, storage: Storage, call_id: str, place: str, text: str, status: int
) -> None:
    answer = client.put(f"/calls/{call_id}/{place}", json={"text": text, "seen": HEARD})
    assert answer.status_code == status, answer.text
    assert text_of(storage, call_id) == HEARD
    assert storage.words.history(call_id) == []


def test_a_call_in_progress_and_a_stopped_rematch_are_refused(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    assert correct(client, call_id, RIGHT, HEARD).status_code == 200
    assert storage.rematches.pause(True, "ann")
    stopped = correct(client, call_id, HEARD, RIGHT)
    assert stopped.status_code == 409 and "stopped" in stopped.text
    storage.rematches.resume()
    rematch(storage)
    storage.claims.claim([call_id], "run-2", recompute=list(Stage))
    busy = correct(client, call_id, HEARD, RIGHT)
    assert busy.status_code == 409 and "being processed" in busy.text


def test_corrections_are_erased_with_the_call(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    correct(client, call_id, RIGHT, HEARD)
    url = storage.database.url
    assert execute_sql(url, "SELECT count(*) FROM word_corrections") == [(1,)]
    storage.erasures.begin([call_id], keep_recording=False)
    assert execute_sql(url, "SELECT count(*) FROM word_corrections") == [(0,)]
    assert correct(client, call_id, RIGHT, HEARD).status_code == 404


def entries_since(storage: Storage, began: datetime) -> list[AuditEntry]:
    """Return the audited corrections; entries of the test before may be written in this one."""
    found = storage.audit.page(action=AuditAction.CORRECTED)
    return [each for each in found if each.at >= began]


def test_a_correction_is_audited(client: httpx.Client, storage: Storage, call_id: str) -> None:
    began = datetime.now(UTC)
    correct(client, call_id, RIGHT, HEARD)
    until(lambda: len(entries_since(storage, began)) == 1, "the entry", 60)
    [entry] = entries_since(storage, began)
    assert entry.target == call_id
    assert "Vodafone" not in entry.what


def test_corrected_metadata_is_not_overridden_silently(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    path = f"/calls/{call_id}/metadata"
    before = client.get(path)
    first = client.patch(path, json={"agent": "Ann"}, headers={"If-Match": before.headers["ETag"]})
    assert (first.status_code, first.headers["ETag"]) == (200, f'"{first.json()["version"]}"')
    late = {"If-Match": before.headers["ETag"]}
    refused = client.patch(path, json={"agent": "Bob"}, headers=late)
    assert refused.status_code == 409 and "corrected agent a minute ago" in refused.text
    other = client.patch(path, json={"customer": "Acme"}, headers=late)
    assert other.status_code == 200, "another field is no conflict"
    form = {"agent": "Carl", "version": "0"}
    page = client.post(path, data=form, headers={"Accept": "text/html"})
    assert page.status_code == 409 and "corrected agent a minute ago" in page.text
    assert storage.descriptions.find(call_id).metadata["agent"] == "Ann"
    assert client.patch(path, json={"agent": "Bob"}).status_code == 200, "without If-Match"
    wrong = client.patch(path, json={"agent": "D"}, headers={"If-Match": '"x"'})
    assert wrong.status_code == 422


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_words_are_corrected_from_the_page_of_a_call(
    empty_app: Served, storage: Storage, tmp_path: Path, scheme: Any, width: int
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    options: dict[str, Any] = {"viewport": {"width": width, "height": 1200}}
    with (
        chromium() as browser,
        watched(browser, empty_app.address, color_scheme=scheme, **options) as watch,
    ):
        tab = watch.page
        tab.goto(f"/calls/{call_id}")
        tab.get_by_role("link", name="Correct words").click()
        tab.get_by_role("link", name="Correct segment 1", exact=True).click()
        field = tab.get_by_label("What was said")
        expect(field).to_be_visible()
        watch.screenshot(f"words-edit-{scheme}-{width}")
        field.fill("good afternoon")
        tab.get_by_role("button", name="Save").click()
        expect(tab.get_by_text("good afternoon").first).to_be_visible()
        expect(tab.get_by_role("heading", name="Corrections")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        watch.screenshot(f"words-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
