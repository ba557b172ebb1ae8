"""Pages and API of administration: who may use them, what they change, and how they look."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from callpipeline.domain.access import ApiKey, AuditAction, AuditEntry, Role, Scope
from callpipeline.domain.calls.call import CallState, Registration
from callpipeline.errors import LastAdmin
from callpipeline.storage.sources.recordings import ScanCounts, SourceScans
from callpipeline.web.api.administration.data import MAX_ERASED
from callpipeline.wiring import Storage
from callpipeline.wiring.administration import UserAdministration
from tests.builders import a_recording
from tests.processes import until
from tests.web.browsing import chromium, watched
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served

PAGES = (
    "/admin/health",
    "/admin/users",
    "/admin/keys",
    "/admin/retention",
    "/admin/channels",
    "/admin/sources",
    "/audit",
)
SECRET = re.compile(r'<code class="secret">([^<]+)</code>')


class Receiver(BaseHTTPRequestHandler):
    """Answers webhooks with the status of the class."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(Receiver.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hook() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory, hook: str) -> Iterator[Served]:
    options = WITH_USERS | {"notify_webhook_url": SecretStr(hook)}
    with served(tmp_path_factory.mktemp("app"), module_url, **options) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def enter(client: httpx.Client, name: str, password: str = PASSWORD) -> int:
    """Log in; return the status of the answer."""
    client.headers["Accept"] = "text/html"
    token = token_in(client.get("/login").text)
    entered = {"name": name, "password": password, "csrf_token": token}
    return client.post("/login", data=entered).status_code


@pytest.fixture
def ann(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        assert enter(client, "ann") == 303
        client.headers["X-CSRF-Token"] = token_in(client.get("/calls").text)
        yield client


def entries(storage: Storage, action: AuditAction, least: int = 1) -> list[AuditEntry]:
    def found() -> list[AuditEntry]:
        return storage.audit.page(action=action)

    until(lambda: len(found()) >= least, f"{least} entries of {action}", 60)
    return found()


def test_a_user_is_added_gets_a_role_and_is_disabled(
    empty_app: Served, storage: Storage, ann: httpx.Client
) -> None:
    shown = ann.post("/admin/users", data={"name": "zoe", "role": "reader"})
    [password] = SECRET.findall(shown.text)
    assert password not in ann.get("/admin/users").text, "it is shown once"
    with empty_app.client() as zoe:
        assert enter(zoe, "zoe", "wrong") == 401
        assert enter(zoe, "zoe", password) == 303
        assert zoe.get("/calls").status_code == 200
        assert zoe.get("/upload").status_code == 403
        assert 'href="/admin"' not in zoe.get("/calls").text
        changed = {"name": "zoe", "role": "admin"}
        assert ann.post("/admin/users/role", data=changed).status_code == 303
        until(lambda: zoe.get("/admin/users").status_code == 200, "the new role", 60)
        assert 'href="/admin"' in zoe.get("/calls").text
        disabled = {"name": "zoe", "is_enabled": "false"}
        assert ann.post("/admin/users/state", data=disabled).status_code == 303
        until(lambda: zoe.get("/calls").status_code != 200, "the end of the session", 60)
        assert enter(zoe, "zoe", password) == 401
    assert ann.post("/admin/users/remove", data={"name": "zoe"}).status_code == 303
    assert storage.users.all() == []
    changes = {each.what for each in entries(storage, AuditAction.CHANGED, 4)}
    assert {
        "POST /admin/users zoe reader",
        "POST /admin/users/role zoe admin",
        "POST /admin/users/state zoe disabled",
        "POST /admin/users/remove zoe",
    } <= changes


def test_the_audit_log_names_new_roles_states_and_scopes(
    storage: Storage, ann: httpx.Client
) -> None:
    ann.post("/users", json={"name": "zoe", "role": "reader"})
    ann.patch("/users/zoe", json={"role": "user", "is_enabled": False})
    ann.patch("/users/zoe", json={"is_enabled": True})
    ann.post("/keys", json={"name": "CRM", "scopes": ["upload", "read"]})
    ann.post("/admin/keys", data={"name": "BI", "scope": ["read"], "expires": "90d"})
    changes = {each.what for each in entries(storage, AuditAction.CHANGED, 5)}
    assert {
        "POST /users zoe reader",
        "PATCH /users/{user_name} zoe user disabled",
        "PATCH /users/{user_name} zoe enabled",
        "POST /keys CRM read, upload",
        "POST /admin/keys BI read",
    } <= changes


def test_role_and_state_change_together(
    storage: Storage, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.post("/users", json={"name": "zoe", "role": "user"})
    monkeypatch.setattr(UserAdministration, "_has_admin", False)
    both = {"role": "admin", "is_enabled": False}
    assert ann.patch("/users/zoe", json=both).status_code == 200, "she was no last admin before"
    [zoe] = storage.users.all()
    assert (zoe.role, zoe.is_enabled) == (Role.ADMIN, False)
    ann.patch("/users/zoe", json={"is_enabled": True})
    refused = ann.patch("/users/zoe", json={"role": "user", "is_enabled": False})
    assert refused.status_code == 409 and "last admin" in refused.text
    [zoe] = storage.users.all()
    assert (zoe.role, zoe.is_enabled) == (Role.ADMIN, True), "neither has changed"


def test_a_new_password_ends_the_sessions_of_the_old_one(
    empty_app: Served, ann: httpx.Client
) -> None:
    made = ann.post("/users", json={"name": "zoe", "role": "user"})
    assert (made.status_code, made.json()["managed_in"]) == (201, "app")
    with empty_app.client() as zoe:
        assert enter(zoe, "zoe", made.json()["password"]) == 303
        reset = ann.post("/users/zoe/password").json()["password"]
        until(lambda: zoe.get("/calls").status_code != 200, "the end of the session", 60)
        assert enter(zoe, "zoe", made.json()["password"]) == 401
        assert enter(zoe, "zoe", reset) == 303
    assert [each["password"] for each in ann.get("/users").json()] == [None] * 4


@pytest.mark.parametrize("name", ["", "a,b", "a\nb", "x" * 101, "ann", "ben"])
def test_a_name_that_no_user_can_have_is_refused(
    ann: httpx.Client, storage: Storage, name: str
) -> None:
    assert ann.post("/users", json={"name": name}).status_code in (409, 422)
    assert ann.post("/admin/users", data={"name": name, "role": "user"}).status_code in (409, 422)
    assert storage.users.all() == []


def test_users_of_the_settings_are_changed_there(ann: httpx.Client) -> None:
    for answer in (
        ann.patch("/users/ben", json={"role": "admin"}),
        ann.delete("/users/ann"),
        ann.post("/users/eve/password"),
        ann.post("/admin/users/remove", data={"name": "ann"}),
    ):
        assert answer.status_code == 409
        assert "is a user of the settings" in answer.text
    assert ann.delete("/users/ghost").status_code == 404


def test_the_last_admin_stays_even_if_two_remove_each_other(storage: Storage, app: Served) -> None:
    without = app.settings.model_copy(update={"web_admins": ()})
    administration = UserAdministration(without, storage.users)
    for name in ("zoe", "max"):
        administration.add(name, Role.ADMIN, by="a test")
    barrier, refused = threading.Barrier(2), list[str]()

    def remove(name: str) -> None:
        barrier.wait()
        try:
            administration.remove(name)
        except LastAdmin:
            refused.append(name)

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("zoe", "max")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [left] = storage.users.all()
    assert refused == [left.user_name]
    for change in (
        lambda: administration.change(left.user_name, role=Role.USER, by="a test"),
        lambda: administration.change(left.user_name, is_enabled=False, by="a test"),
    ):
        with pytest.raises(LastAdmin):
            change()
    assert storage.users.all() == [left]


def test_a_key_is_shown_once_works_and_is_revoked(
    empty_app: Served, storage: Storage, ann: httpx.Client
) -> None:
    entered = {"name": "the crm", "scope": ["read"], "expires": "90d"}
    shown = ann.post("/admin/keys", data=entered)
    [text] = SECRET.findall(shown.text)
    key = ApiKey.parse(text)
    assert key and text not in ann.get("/admin/keys").text
    with empty_app.client(**{"X-API-KEY": text}) as program:
        assert program.get("/jobs").status_code == 200
        assert program.get("/keys").status_code == 403
        assert ann.post("/admin/keys/revoke", data={"key_id": key.key_id}).status_code == 303
        until(lambda: program.get("/jobs").status_code == 401, "the revocation", 60)
    [record] = storage.keys.all()
    assert (record.created_by, record.revoked_by, record.scopes) == ("ann", "ann", (Scope.READ,))
    assert "Revoked" in ann.get("/admin/keys").text


@pytest.mark.parametrize(
    "wrong",
    [{"name": " "}, {"scope": []}, {"expires": "soon"}, {"expires": "2020-01-01"}],
)
def test_a_key_that_makes_no_sense_is_refused(
    ann: httpx.Client, storage: Storage, wrong: dict[str, Any]
) -> None:
    entered = {"name": "crm", "scope": ["read"], "expires": ""} | wrong
    answer = ann.post("/admin/keys", data=entered)
    assert answer.status_code == 422
    sent = {"name": entered["name"], "scopes": entered["scope"], "expires": entered["expires"]}
    assert ann.post("/keys", json=sent).status_code == 422
    assert storage.keys.all() == []


@pytest.fixture
def smiths(storage: Storage) -> list[str]:
    """Register two calls of one customer and one of another; return the ids of the two."""
    calls = [
        Registration(a_recording(f"{index}.wav"), metadata={"customer": customer})
        for index, customer in enumerate(("smith", "smith", "jones"))
    ]
    registered = storage.ledger.register(calls)
    return sorted(each.call_id for each in registered[:2])


def test_an_erasure_is_shown_first_and_deletes_what_was_shown(
    ann: httpx.Client, storage: Storage, smiths: list[str]
) -> None:
    plan = ann.post("/admin/retention/preview", data={"customer": "smith"})
    assert sorted(set(re.findall(r'name="call_id" value="([^"]+)"', plan.text))) == smiths
    assert storage.ledger.count() == {CallState.PENDING: 3}, "a dry run deletes nothing"
    sent = {"call_id": smiths, "because": "ticket 7"}
    assert ann.post("/admin/retention/erase", data=sent).status_code == 303
    assert storage.ledger.count() == {CallState.PENDING: 1, CallState.ERASED: 2}
    erased = entries(storage, AuditAction.ERASED, 2)
    assert sorted(str(each.target) for each in erased) == smiths
    assert smiths[0] in ann.get("/admin/retention").text, "until files are deleted too"
    again = ann.post("/admin/retention/preview", data={"calls": smiths[0]})
    assert again.status_code == 422 and "erased already" in again.text


def test_as_many_calls_as_are_shown_can_be_erased_at_once(
    ann: httpx.Client, storage: Storage
) -> None:
    recordings = [
        Registration(a_recording(f"{number}.wav"), metadata={"customer": "smith"})
        for number in range(MAX_ERASED + 1)
    ]
    storage.ledger.register(recordings)
    too_many = ann.post("/admin/retention/preview", data={"customer": "smith"})
    assert too_many.status_code == 422 and f"{MAX_ERASED} calls" in too_many.text
    storage.erasures.begin([recordings[0].recording.call_id], keep_recording=True)
    plan = ann.post("/admin/retention/preview", data={"customer": "smith"})
    fields = re.findall(r'name="(call_id|csrf_token)" value="([^"]+)"', plan.text)
    sent: dict[str, Any] = {"because": "ticket 7", "keep_recording": "true"}
    sent["csrf_token"] = dict(fields)["csrf_token"]
    sent["call_id"] = sorted({value for name, value in fields if name == "call_id"})
    assert len(sent["call_id"]) == MAX_ERASED
    answer = ann.post("/admin/retention/erase", data=sent)
    assert answer.status_code == 303, answer.text
    assert storage.ledger.count() == {CallState.ERASED: MAX_ERASED + 1}


def test_an_erasure_by_api_is_a_dry_run_unless_it_says_otherwise(
    ann: httpx.Client, storage: Storage, smiths: list[str]
) -> None:
    dry = ann.post("/erasures", json={"customer": "smith"}).json()
    assert (dry["dry_run"], sorted(dry["calls"])) == (True, smiths)
    assert storage.ledger.count() == {CallState.PENDING: 3}
    done = ann.post("/erasures", json={"calls": smiths[:1], "dry_run": False}).json()
    assert done["calls"] == smiths[:1]
    assert storage.ledger.count() == {CallState.PENDING: 2, CallState.ERASED: 1}
    both = {"calls": smiths, "customer": "smith"}
    assert ann.post("/erasures", json=both).status_code == 422
    assert ann.post("/erasures", json={}).status_code == 422
    assert ann.post("/erasures", json={"calls": ["no such"]}).status_code == 404


@pytest.mark.parametrize("by_api", [True, False], ids=["api", "page"])
def test_views_that_name_a_customer_are_erased_with_the_calls(
    ann: httpx.Client, storage: Storage, smiths: list[str], by_api: bool
) -> None:
    for name in ("Calls of Smith", "Smithson's calls"):
        saved = ann.post("/saved-views", json={"name": name, "page": "calls", "filters": {}})
        assert saved.status_code == 201, saved.text
    if by_api:
        dry = ann.post("/erasures", json={"customer": "smith"}).json()
        assert dry["views"] == ["Calls of Smith"]
        assert len(storage.views.naming("smith")) == 1, "a dry run deletes nothing"
        ann.post("/erasures", json={"customer": "smith", "dry_run": False})
    else:
        plan = ann.post("/admin/retention/preview", data={"customer": "smith"}).text
        assert "Calls of Smith" in plan and "Smithson" not in plan
        [customer] = re.findall(r'type="hidden" name="customer" value="([^"]+)"', plan)
        sent = {"call_id": smiths, "customer": customer, "because": "ticket 7"}
        assert ann.post("/admin/retention/erase", data=sent).status_code == 303
    assert storage.views.naming("smith") == []
    assert len(storage.views.naming("smithson")) == 1
    assert storage.ledger.count() == {CallState.PENDING: 1, CallState.ERASED: 2}


def test_a_test_of_a_channel_shows_what_it_sends_and_the_answer(ann: httpx.Client) -> None:
    page = ann.get("/admin/channels").text
    assert "callpipeline can reach you here" in page
    Receiver.status = 200
    sent = ann.post("/admin/channels/test", data={"channel": "webhook"})
    assert "Webhook accepted the test message" in sent.text
    Receiver.status = 403
    refused = ann.post("/admin/channels/test", data={"channel": "webhook"})
    assert "did not accept" in refused.text and "403" in refused.text
    assert ann.post("/channels/webhook/test").json()["delivered"] is False
    assert ann.post("/channels/slack/test").status_code == 422
    assert "not configured" in ann.post("/admin/channels/test", data={"channel": "email"}).text


def test_sources_show_their_last_scan_and_what_it_skipped(
    ann: httpx.Client, storage: Storage
) -> None:
    assert "Never" in ann.get("/admin/sources").text
    [source] = ann.get("/sources").json()["sources"]
    scans = SourceScans(storage.database)
    counts = ScanCounts(7, skipped=3, unsettled=1, found=2, unreadable={"too deep": 4})
    scans.save(source["name"], counts, has_swept=True)
    scans.save(source["name"], failure="The folder is away.")
    [source] = ann.get("/sources").json()["sources"]
    assert (source["listed"], source["skipped"], source["unsettled"]) == (7, 3, 1)
    assert source["found_at"] and source["swept_at"] and source["failure"] == "The folder is away."
    page = ann.get("/admin/sources").text
    assert "The folder is away." in page and "4 × too deep" in page
    scans.save(source["name"], ScanCounts(5), has_swept=True)
    [source] = ann.get("/sources").json()["sources"]
    assert (source["listed"], source["skipped"], source["failure"]) == (5, 0, None)


def test_retention_and_health_have_numbers(ann: httpx.Client, smiths: list[str]) -> None:
    periods = {each["what"]: each for each in ann.get("/retention").json()}
    assert periods["notifications"] == {"what": "notifications", "days": 90, "due": 0}
    assert periods["recordings"]["days"] is None
    assert "90 days" in ann.get("/admin/retention").text
    health = ann.get("/admin/health").text
    assert "Database" in health and "3 waiting" in health


def test_nothing_is_offered_to_a_visitor_that_is_refused(empty_app: Served) -> None:
    for name in ("ben", "eve"):
        with empty_app.client() as client:
            assert enter(client, name) == 303
            home = client.get("/calls").text
            for path in PAGES:
                assert client.get(path).status_code == 403
                assert f'href="{path}"' not in home
            assert 'href="/admin"' not in home


def test_without_a_login_users_are_not_added(
    module_url: str, tmp_path_factory: pytest.TempPathFactory, storage: Storage
) -> None:
    with (
        served(tmp_path_factory.mktemp("open"), module_url) as opened,
        opened.client() as client,
    ):
        page = client.get("/admin/users").text
        assert "Without a login" in page and 'action="/admin/users"' not in page
        answer = client.post("/users", json={"name": "zoe"})
        assert answer.status_code == 409 and "Without a login" in answer.text
    assert storage.users.all() == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_accessible_and_fit(
    empty_app: Served, storage: Storage, smiths: list[str], scheme: Any, width: int
) -> None:
    administration = UserAdministration(empty_app.settings, storage.users)
    administration.add("zoe", Role.USER, by="ann")
    storage.keys.add(ApiKey.generate(), "the crm", [Scope.READ], by="ann")
    SourceScans(storage.database).save("recordings", failure="The folder is away.")
    options: dict[str, Any] = {"viewport": {"width": width, "height": 1200}}
    with (
        chromium() as browser,
        watched(browser, empty_app.address, color_scheme=scheme, **options) as watch,
    ):
        tab = watch.page
        tab.goto("/login")
        tab.get_by_label("Name").fill("ann")
        tab.get_by_label("Password").fill(PASSWORD)
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/")
        tab.get_by_role("link", name="Admin", exact=True).click()
        for path in PAGES:
            tab.goto(path)
            expect(tab.get_by_role("navigation", name="Administration")).to_be_visible()
            _check(watch, tab, f"admin{path.replace('/', '-')}-{scheme}-{width}", width)
        tab.goto("/admin/retention")
        tab.get_by_label("Or every call of a customer").fill("smith")
        tab.get_by_role("button", name="Show what would be erased").click()
        expect(tab.get_by_role("heading", name="These 2 calls would be erased")).to_be_visible()
        _check(watch, tab, f"admin-erase-{scheme}-{width}", width)


def _check(watch: Any, tab: Any, name: str, width: int) -> None:
    watch.screenshot(name)
    watch.check()  # before axe-core, which violates the page's policy
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, name
    assert watch.accessibility_issues() == [], name
    watch.console_errors.clear()
