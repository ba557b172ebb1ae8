"""The page of alert rules: who may see it, its forms without scripts, and how it looks."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from callpipeline.domain.access import AuditAction
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment, MomentId
from callpipeline.domain.notifications import AlertKind, AlertRule, NotificationChannel
from callpipeline.pipeline.notifications.alerts import alert_page
from callpipeline.web.filters import url_with_filters
from callpipeline.wiring import Storage
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.web.browsing import chromium, watched
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served

HOOK = SecretStr("https://hooks.example.com/alerts")
RULE = AlertRule(AlertKind.LEAVING, threshold=0.5, days=14, min_calls=20, competitor="EE")


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("app")
    with served(home, module_url, **WITH_USERS, notify_webhook_url=HOOK) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    execute_sql(empty_app.storage.database.url, "DELETE FROM alert_rules")
    return empty_app.storage


def login(client: httpx.Client, name: str) -> httpx.Client:
    client.headers["Accept"] = "text/html"
    token = token_in(client.get("/login").text)
    entered = {"name": name, "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", data=entered).status_code == 303
    return client


@pytest.fixture
def ann(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield login(client, "ann")


def fields(html: str) -> dict[str, Any]:
    """Return what the form of a rule would send as it is shown."""
    form = html.partition('action="/alerts" class="rule"')[2].partition("</form>")[0]
    values: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("type") != "checkbox" or " checked" in tag:
            values[attributes["name"]] = unescape(attributes.get("value", ""))
    for name, options in re.findall(r'<select name="(\w+)"[^>]*>(.*?)</select>', form, re.S):
        selected = re.findall(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        values[name] = unescape(selected[0][0] or selected[0][1]) if selected else ""
    return values


def test_a_rule_is_added_changed_and_deleted_by_forms(ann: httpx.Client, storage: Storage) -> None:
    empty = ann.get("/alerts").text
    assert "No alerts yet." in empty
    entered = fields(empty) | {
        "kind": "leaving", "competitor": "", "threshold": "0.5", "channels": "webhook"
    }  # fmt: skip
    assert ann.post("/alerts", data=entered).headers["location"] == "/alerts"
    [rule] = storage.alert_rules.list()
    assert (rule.kind, rule.threshold, rule.competitor) == (AlertKind.LEAVING, 0.5, None)
    assert (rule.channels, rule.is_enabled) == ((NotificationChannel.WEBHOOK,), True)
    assert rule.made_by == "ann"
    listed = ann.get("/alerts").text
    assert "A customer says that they leave</th>" in listed
    [edit] = re.findall(r'href="(/alerts\?edit=\d+)#rule"', listed)
    shown = fields(ann.get(edit).text)
    assert (shown["kind"], shown["threshold"], shown["channels"]) == ("leaving", "0.5", "webhook")
    del shown["is_enabled"]
    assert ann.post("/alerts", data=shown | {"days": "28"}).status_code == 303
    [changed] = storage.alert_rules.list()
    assert (changed.rule_id, changed.days, changed.is_enabled) == (rule.rule_id, 28, False)
    assert ">Off</span>" in ann.get("/alerts").text
    gone = {"rule_id": str(rule.rule_id), "csrf_token": shown["csrf_token"]}
    assert ann.post("/alerts/delete", data=gone).status_code == 303
    assert storage.alert_rules.list() == []
    assert ann.get(edit).status_code == 404


def test_a_change_of_another_person_is_said_and_not_overridden(
    ann: httpx.Client, storage: Storage
) -> None:
    storage.alert_rules.save(replace(RULE, made_by="bob"))
    [rule] = storage.alert_rules.list()
    shown = fields(ann.get(f"/alerts?edit={rule.rule_id}").text)
    assert shown["competitor"] == "EE", "also if no call mentions it any more"
    storage.alert_rules.save(replace(rule, days=3, made_by="bob"))
    reply = ann.post("/alerts", data=shown | {"days": "30"})
    assert reply.status_code == 409
    assert "Someone else changed or deleted this rule meanwhile." in reply.text
    entered = fields(reply.text)
    assert entered["days"] == "30", "what was entered is kept"
    assert ann.post("/alerts", data=entered).status_code == 409, "also if it is sent again"
    assert [each.days for each in storage.alert_rules.list()] == [3]
    [now] = re.findall(r'href="([^"]*)">Show the rule as it is now', reply.text)
    present = fields(ann.get(now.partition("#")[0]).text)
    assert ann.post("/alerts", data=present | {"days": "30"}).status_code == 303
    [kept] = storage.alert_rules.list()
    assert (kept.days, kept.made_by) == (30, "ann")
    assert storage.alert_rules.delete(kept.rule_id or 0)
    reply = ann.post("/alerts", data=present)
    assert reply.status_code == 409 and "Show the rule" not in reply.text, "it is deleted"


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": "-1"},
        {"threshold": "nan"},
        {"threshold": "many"},
        {"days": "0"},
        {"min_calls": "0"},
        {"kind": "weather"},
        {"channels": "pigeon"},
        {"competitor": "x" * 201},
        {"rule_id": "x"},
    ],
)
def test_bad_input_is_refused(ann: httpx.Client, storage: Storage, wrong: dict[str, str]) -> None:
    entered = fields(ann.get("/alerts").text)
    assert ann.post("/alerts", data=entered | wrong).status_code == 422
    assert storage.alert_rules.list() == []


def test_only_admins_see_and_change_alerts(empty_app: Served, storage: Storage) -> None:
    storage.alert_rules.save(RULE)
    for name in ("ben", "eve"):
        with empty_app.client() as client:
            login(client, name)
            assert client.get("/alerts").status_code == 403
            token = token_in(client.get("/calls").text)
            assert client.post("/alerts", data={"csrf_token": token}).status_code == 403
            assert 'href="/alerts"' not in client.get("/calls").text
    assert len(storage.alert_rules.list()) == 1


def test_changes_are_audited(ann: httpx.Client, storage: Storage) -> None:
    ann.post("/alerts", data=fields(ann.get("/alerts").text))

    def changed() -> set[tuple[str, str]]:
        return {(e.actor, e.what) for e in storage.audit.page(action=AuditAction.CHANGED)}

    until(lambda: ("ann", "POST /alerts") in changed(), "the entry", 60)


def test_the_page_says_who_may_receive_words(ann: httpx.Client) -> None:
    assert "No channel may receive words of calls" in ann.get("/alerts").text


@pytest.mark.parametrize(
    "filters",
    [
        CallFilters(
            from_day=date(2026, 1, 1),
            to_day=date(2026, 1, 7),
            competitors=("A & B",),
            sentiment=MentionSentiment.NEGATIVE,
            speaker=Speaker.CUSTOMER,
        ),
        CallFilters(moments=(MomentId("2026-03-02-c36927c80d5a", "right.0.5.A & B"),)),
    ],
)
def test_the_link_of_an_alert_has_the_parameters_of_the_page(filters: CallFilters) -> None:
    linked = urlsplit(alert_page(filters))
    page = urlsplit(url_with_filters("/moments", filters))
    assert linked.path == page.path
    assert sorted(parse_qsl(linked.query)) == sorted(parse_qsl(page.query))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(
    empty_app: Served, storage: Storage, scheme: Any, width: int
) -> None:
    storage.alert_rules.save(replace(RULE, made_by="ann"))
    storage.alert_rules.save(replace(RULE, kind=AlertKind.SPIKE, is_enabled=False))
    options: dict[str, Any] = {"viewport": {"width": width, "height": 1400}}
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
        tab.goto("/alerts")
        expect(tab.get_by_role("heading", name="Add a rule")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        watch.screenshot(f"alerts-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
