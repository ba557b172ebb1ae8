"""Saved views: who sees and changes which, by page and by API, and how the page looks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from callpipeline.domain.access import ApiKey, AuditAction, Role, Scope
from callpipeline.domain.calls.saved_views import SavedView, ViewPage
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.calls.saved_views import MAX_VIEWS
from tests.integration.calls import run_concurrently
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.web.browsing import chromium, watched
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served
from tests.web.test_alerts_page import login

VIEW = {"name": "EE, angry", "page": "moments", "query": "competitor=EE&sentiment=negative"}


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_USERS) as app:
        yield app


@pytest.fixture
def people(app: Served) -> Iterator[dict[str, httpx.Client]]:
    """Clients of ann (admin), ben (may upload), eve (may read), and of a key that may read."""
    execute_sql(app.storage.database.url, "DELETE FROM saved_views")
    key = ApiKey.generate()
    ApiKeys(app.storage.database).add(key, "report", [Scope.READ], by="a test")
    with (
        app.client() as ann,
        app.client() as ben,
        app.client() as eve,
        app.client(**{"X-API-KEY": key.to_text()}) as program,
    ):
        found = {"ann": login(ann, "ann"), "ben": login(ben, "ben"), "eve": login(eve, "eve")}
        for client in found.values():
            client.headers["X-CSRF-Token"] = token_in(client.get("/views").text)
            client.headers["Accept"] = "application/json"
        yield found | {"key": program}


def names(client: httpx.Client) -> list[str]:
    return [each["name"] for each in client.get("/saved-views").json()["views"]]


def save(client: httpx.Client, status: int = 201, **changed: Any) -> dict[str, Any]:
    reply = client.post("/saved-views", json=VIEW | changed)
    assert reply.status_code == status, reply.text
    return reply.json()


@pytest.mark.parametrize("name", ["ann", "ben", "eve", "key"])
def test_who_can_read_has_private_views(people: dict[str, httpx.Client], name: str) -> None:
    own = save(people[name])
    assert (own["is_own"], own["is_shared"]) == (True, False)
    assert own["url"] == "/moments?competitor=EE&sentiment=negative"
    for other, client in people.items():
        assert names(client) == (["EE, angry"] if other == name else [])
        reply = client.get(f"/saved-views/{own['view_id']}")
        assert reply.status_code == (200 if other == name else 404)
        opened = client.get(f"/views/{own['view_id']}")
        assert opened.status_code == (303 if other == name else 404)


def test_sharing_needs_a_scope_that_changes_what_others_see(
    people: dict[str, httpx.Client],
) -> None:
    for name, status in {"ann": 201, "ben": 201, "eve": 403, "key": 403}.items():
        save(people[name], status, name=f"of {name}", is_shared=True)
    for client in people.values():
        assert names(client) == ["of ann", "of ben"]
    own = save(people["eve"])
    reply = people["eve"].patch(f"/saved-views/{own['view_id']}", json={"is_shared": True})
    assert reply.status_code == 403
    assert names(people["ben"]) == ["of ann", "of ben"]


def test_only_the_owner_or_an_admin_changes_a_shared_view(people: dict[str, httpx.Client]) -> None:
    view = f"/saved-views/{save(people['ben'], is_shared=True)['view_id']}"
    for name in ("eve", "key"):
        reply = people[name].patch(view, json={"name": "mine now"})
        assert (reply.status_code, "or an admin" in reply.json()["detail"]) == (409, True)
        assert people[name].delete(view).status_code == 409
    assert people["ann"].patch(view, json={"name": "Angry customers"}).status_code == 200
    renamed = people["ben"].get(view).json()
    assert (renamed["name"], renamed["made_by"], renamed["is_own"]) == (
        "Angry customers",
        "ben",
        True,
    )
    assert people["ben"].patch(view, json={"is_shared": False}).status_code == 200
    for name in ("ann", "eve"):
        assert people[name].delete(view).status_code == 404, "private again"
    assert people["ben"].delete(view).status_code == 204
    assert people["ben"].get(view).status_code == 404


def test_an_admin_who_stops_the_sharing_of_anothers_view_is_told_and_recorded(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    execute_sql(app.storage.database.url, "DELETE FROM audit_log")
    view = f"/saved-views/{save(people['ben'], is_shared=True)['view_id']}"
    people["ann"].put(f"{view}/schedule", json={"weekday": 5, "at": "16:00"})
    reply = people["ann"].patch(view, json={"is_shared": False})
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert (found["is_shared"], found["is_own"], found["report"]) == (False, False, None)
    assert people["ann"].get(view).status_code == 404
    assert people["ben"].get(view).json()["is_shared"] is False

    def recorded() -> bool:
        entries = app.storage.audit.page(action=AuditAction.CHANGED)
        return any(each.actor == "ann" and "PATCH" in each.what for each in entries)

    until(recorded, "the log", 60)


def test_an_owner_has_one_view_of_a_name(people: dict[str, httpx.Client]) -> None:
    save(people["ben"])
    assert "already have a view" in save(people["ben"], 409, name=" ee,  ANGRY ")["detail"]
    save(people["eve"])
    other = save(people["ben"], name="Calm")
    renaming = people["ben"].patch(f"/saved-views/{other['view_id']}", json={"name": "EE, angry"})
    assert renaming.status_code == 409
    assert names(people["ben"]) == ["Calm", "EE, angry"]


def test_an_owner_can_not_save_more_views_than_allowed_even_at_once(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    save(people["ben"])
    fill = f"""INSERT INTO saved_views (name, page, filters, extras, is_shared, owner)
               SELECT 'n' || n, page, filters, extras, false, owner
               FROM saved_views, generate_series(1, {MAX_VIEWS - 3}) AS n"""
    execute_sql(app.storage.database.url, fill)
    replies = run_concurrently(
        6, lambda n: people["ben"].post("/saved-views", json=VIEW | {"name": f"more {n}"})
    )
    assert sorted(reply.status_code for reply in replies) == [201, 201, 409, 409, 409, 409]
    assert len(names(people["ben"])) == MAX_VIEWS


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"name": " "}, "name: use 1 to 100"),
        ({"name": "x" * 101}, "name: use 1 to 100"),
        ({"name": "a\u202eb"}, "name: use 1 to 100"),
        ({"page": "audit"}, "page"),
        ({"query": "colour=red"}, "colour: there is no such filter."),
        ({"query": "from=yesterday"}, "from: "),
        ({"days": 0}, "days"),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    people: dict[str, httpx.Client], changed: dict[str, Any], problem: str
) -> None:
    assert problem in save(people["ben"], 422, **changed)["detail"]
    assert names(people["ben"]) == []


def test_a_view_of_the_last_days_opens_with_those_of_today(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    view = save(people["eve"], query="from=2020-01-01&to=2020-01-07&competitor=EE", days=7)
    [today] = execute_sql(app.storage.database.url, "SELECT call_day(now())")[0]
    first = today - timedelta(days=6)
    wanted = f"/moments?from={first}&to={today}&competitor=EE"
    assert (view["url"], view["days"]) == (wanted, 7)
    assert people["eve"].get(f"/views/{view['view_id']}").headers["location"] == wanted


def test_changes_are_in_the_audit_log(app: Served, people: dict[str, httpx.Client]) -> None:
    execute_sql(app.storage.database.url, "DELETE FROM audit_log")
    view = save(people["ben"])
    people["ben"].patch(f"/saved-views/{view['view_id']}", json={"name": "other"})
    people["ben"].delete(f"/saved-views/{view['view_id']}")
    until(lambda: len(app.storage.audit.page(action=AuditAction.CHANGED)) >= 3, "the log", 60)
    assert {each.actor for each in app.storage.audit.page(action=AuditAction.CHANGED)} == {"ben"}


def test_views_do_not_pass_to_the_next_user_of_the_name(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    users, views = app.storage.users, app.storage.views
    users.add("zoe", Role.READER, "scrypt:x", by="ann")
    for name, is_shared in (("Mine", False), ("Ours", True)):
        view = SavedView(name, ViewPage.CALLS, is_shared=is_shared, owner="user:zoe")
        views.add(view)
        views.add(replace(view, owner="user:other"))
    users.remove("zoe")
    users.add("zoe", Role.READER, "scrypt:x", by="ann")
    left = [(each.name, each.owner == "user:zoe") for each in views.list("user:zoe")]
    assert left == [("Ours", False), ("Ours", False)]
    assert [each.name for each in views.list("user:other")] == ["Mine", "Ours", "Ours"]
    again = views.add(SavedView("Ours", ViewPage.CALLS, is_shared=True, owner="user:zoe"))
    users.remove("zoe")
    assert people["ann"].delete(f"/saved-views/{again.view_id}").status_code == 204
    users.add("zoe", Role.READER, "scrypt:x", by="ann")
    users.remove("zoe")


def test_a_revoked_key_leaves_no_private_views(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    save(people["key"])
    save(people["eve"])
    owned = "SELECT owner FROM saved_views WHERE owner LIKE 'key:%'"
    [[owner]] = execute_sql(app.storage.database.url, owned)
    app.storage.keys.revoke(owner.removeprefix("key:"), by="ann")
    assert execute_sql(app.storage.database.url, owned) == []
    assert names(people["eve"]) == ["EE, angry"]


# The page


def enter(page: Page, name: str) -> None:
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")


@pytest.mark.browser
def test_a_view_is_saved_opened_renamed_shared_and_deleted(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    with chromium() as browser, watched(browser, app.address) as visit:
        page = visit.page
        enter(page, "ben")
        page.goto("/moments?competitor=EE&sentiment=negative")
        page.get_by_role("link", name="Save this view").click()
        page.get_by_label("Name").fill("EE, angry")
        page.get_by_role("button", name="Save").click()
        row = page.get_by_role("row", name="EE, angry")
        expect(row).to_contain_text("EE · negative")
        expect(row).to_contain_text("Only you")
        row.get_by_text("Change").click()
        row.get_by_role("button", name="Share").click()
        expect(row).to_contain_text("Everyone")
        assert names(people["eve"]) == ["EE, angry"]
        row.get_by_text("Change").click()
        row.get_by_label("Name").fill("Angry")
        row.get_by_role("button", name="Rename").click()
        page.get_by_role("link", name="Angry", exact=True).click()
        expect(page).to_have_url(f"{app.address}/moments?competitor=EE&sentiment=negative")
        page.goto("/views")
        row = page.get_by_role("row").filter(has_text="Angry")
        row.get_by_text("Change").click()
        row.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("No saved views yet.")).to_be_visible()
        visit.check()


def test_a_name_that_is_taken_is_said_and_the_form_kept(
    app: Served, people: dict[str, httpx.Client]
) -> None:
    save(people["ben"])
    sent = VIEW | {"csrf_token": people["ben"].headers["X-CSRF-Token"], "is_shared": "true"}
    reply = people["ben"].post("/views", data=sent, headers={"Accept": "text/html"})
    assert reply.status_code == 409
    assert "You already have a view named EE, angry." in reply.text
    assert 'name="query" value="competitor=EE&amp;sentiment=negative"' in reply.text
    assert 'name="is_shared" value="true" checked' in reply.text


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_readable(
    app: Served, people: dict[str, httpx.Client], scheme: Any, width: int
) -> None:
    save(people["ben"], is_shared=True)
    save(people["eve"], name="Cancelling, of the last week", page="search", query="words=cancel")
    with chromium() as browser:
        options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
        with watched(browser, app.address, **options) as visit:
            enter(visit.page, "eve")
            visit.page.goto("/views?page=calls&query=state%3DFAILED")
            expect(visit.page.get_by_role("heading", name="Save a view")).to_be_visible()
            visit.screenshot(f"views-{scheme}-{width}")
            visit.until("document.documentElement.scrollWidth <= window.innerWidth")
            visit.check()
            assert visit.accessibility_issues() == []
