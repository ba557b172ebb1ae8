"""The page of suggested aliases: quotes that play, accepting, refusing, and who may."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from callpipeline.domain.access import ApiKey, AuditAction, Scope
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.web.pages.insights import suggestions
from callpipeline.web.services.catalog import catalog_in_force
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage
from tests.integration.rematching import COMMAND, fill, in_force, rematch
from tests.processes import until
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY

TEXTS = (
    "We left Cyteva because Sytevah was too expensive.",
    "Is it true that Sytevah and Cyteva are the same company?",
    "Nothing of interest here.",
)
PAGE = "/competitors/suggestions"
FORM = {"competitor": "Cyteva", "alias": "sytevah"}
EDITOR = "the editor"


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    fill(empty_app.storage, TEXTS)
    empty_app.storage.catalogs.apply(Catalog((Competitor("Cyteva"), Competitor("EE"))), COMMAND)
    rematch(empty_app.storage)
    return empty_app.storage


def client_with(app: Served, scope: Scope) -> httpx.Client:
    key = ApiKey.generate()
    ApiKeys(app.storage.database).add(key, EDITOR, [scope], by="a test")
    headers = {"Accept": "text/html", "X-API-KEY": key.to_text()}
    return httpx.Client(base_url=app.address, headers=headers, timeout=300)


@pytest.fixture
def client(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with client_with(empty_app, Scope.ADMIN) as client:
        yield client


def found_in(client: httpx.Client, **query: str | int) -> list[str]:
    reply = client.get(PAGE, params={"calls": 30} | query)
    assert reply.status_code == 200, reply.text
    return re.findall(r'name="alias" value="([^"]+)"', reply.text)


def test_suggestions_have_quotes_that_play_and_counts(client: httpx.Client) -> None:
    assert 'name="alias"' not in client.get(PAGE).text  # nothing is read before it is asked for
    page = client.get(PAGE, params={"calls": 30}).text
    assert "Read 23 words of 3 of 3 calls" in page
    assert "2 places in 2 calls; adds 2 mentions" in page
    clips = re.findall(r'href="(/calls/[^"]+/clip\.wav\?[^"]+)" data-clip', page)
    assert len(clips) == 2 and len({clip.split("/")[2] for clip in clips}) == 2
    assert "<mark>Sytevah</mark>" in page
    assert found_in(client, name="Cyteva") == ["sytevah"]
    assert found_in(client, name="EE") == []
    assert client.get(PAGE, params={"calls": 30, "name": "Gone"}).status_code == 404
    assert client.get(PAGE, params={"calls": 100_000}).status_code == 422


def test_an_accepted_alias_finds_the_mentions_of_past_calls(
    client: httpx.Client, storage: Storage
) -> None:
    reply = client.post(PAGE, data=FORM | {"decision": "accept"}, headers={"HX-Request": "true"})
    assert "Accepted" in reply.text and "<html" not in reply.text
    newest = storage.catalogs.history(1)[0]
    assert (newest.origin, newest.made_by) == (ChangeOrigin.PAGE, EDITOR)
    assert in_force(storage).competitors[0].sounds_like == ("sytevah",)
    rematch(storage)
    found = storage.results.mentions("2026-01-01-000000000000")
    assert [(each.text, each.status) for each in found] == [
        ("Cyteva", MentionStatus.COUNTED),
        ("Sytevah", MentionStatus.COUNTED),
    ]
    assert found_in(client) == []


def test_a_refused_alias_does_not_come_back(client: httpx.Client, storage: Storage) -> None:
    before = in_force(storage).version
    reply = client.post(PAGE, data=FORM | {"decision": "refuse"})
    assert (reply.status_code, reply.headers["location"]) == (303, PAGE)
    assert found_in(client) == []
    assert in_force(storage).version == before
    client.post(PAGE, data=FORM | {"decision": "accept"})  # people may change their minds
    assert ("Cyteva", "sytevah") not in storage.suggestions.refused()


def test_aliases_that_can_not_be_accepted_are_refused_with_a_reason(
    client: httpx.Client, storage: Storage
) -> None:
    before = in_force(storage).version
    taken = client.post(PAGE, data={"competitor": "Cyteva", "alias": "EE", "decision": "accept"})
    assert taken.status_code == 409 and "keep only one of them" in taken.text
    gone = client.post(PAGE, data={"competitor": "Gone", "alias": "x y", "decision": "accept"})
    assert gone.status_code == 409 and "is no name of the list in force" in gone.text
    assert client.post(PAGE, data=FORM | {"decision": "keep"}).status_code == 422
    assert in_force(storage).version == before


def test_a_decision_that_changes_nothing_is_no_entry_of_the_audit_log(
    client: httpx.Client, storage: Storage
) -> None:
    htmx, begun = {"HX-Request": "true"}, datetime.now(UTC)
    taken = {"competitor": "Cyteva", "alias": "EE", "decision": "accept"}
    reply = client.post(PAGE, data=taken, headers=htmx)
    assert reply.status_code == 409
    assert "keep only one of them" in reply.text and "<html" not in reply.text
    reply = client.post(PAGE, data=FORM | {"decision": "accept"}, headers=htmx)
    assert reply.status_code == 200

    def changes() -> int:  # in the order in which they were made
        return sum(entry.at >= begun for entry in storage.audit.page(action=AuditAction.CHANGED))

    until(lambda: changes() > 0, "the change is an entry", 60)
    assert changes() == 1


def test_the_page_reads_the_list_beside_the_event_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_on: list[bool] = []

    def spied(state: AppState) -> Catalog:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            read_on.append(True)
        read_on.append(False)
        return catalog_in_force(state)

    monkeypatch.setattr(suggestions, "catalog_in_force", spied)
    assert client.get(PAGE).status_code == 200
    assert found_in(client) == ["sytevah"]
    assert read_on and True not in read_on


def test_only_admins_see_and_decide(empty_app: Served, storage: Storage) -> None:
    for scope in (Scope.READ, Scope.UPLOAD):
        with client_with(empty_app, scope) as visitor:
            assert visitor.get(PAGE).status_code == 403
            assert visitor.post(PAGE, data=FORM | {"decision": "refuse"}).status_code == 403
    with client_with(empty_app, Scope.READ) as reader:
        assert PAGE not in reader.get("/competitors").text
    assert not storage.suggestions.refused()
