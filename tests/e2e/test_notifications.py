"""Notifications of a failed call of `callpipeline up`: content, links and appearance.

Screenshots go to tests/screenshots.
"""

from email.message import EmailMessage
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import Webhook

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from tests.e2e.installation import Up, command
from tests.e2e.test_dagster_ui import SCREENSHOTS, page  # noqa: F401 - the fixture
from tests.fakes.receivers import PLANTED, SECRETS, Receivers
from tests.processes import until

pytestmark = pytest.mark.slow


def first_messages(
    up: Up, receivers: Receivers
) -> tuple[dict[str, Any], EmailMessage, dict[str, Any]]:
    """Wait for the first message on each channel: Slack, email, webhook."""
    channels = (receivers.slack.posts, receivers.mail.mails, receivers.webhook.accepted)
    until(lambda: all(channels), "a message on each channel", 90, every_s=0.2)
    return receivers.slack.posts[0], receivers.mail.mails[0], receivers.webhook.accepted[0].json


def html_of(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body
    return body.get_content()


def test_a_failed_call_is_reported_on_every_channel(up: Up, receivers: Receivers) -> None:
    slack, mail, hook = first_messages(up, receivers)
    call = up.call("bad.mp3")
    assert slack["channel"] == "#calls"
    assert call["call_id"] in str(slack["attachments"])
    assert mail["Subject"] == "[ERROR] A call failed at channel_audio (UnsupportedAudio)"
    assert (hook["job_id"], hook["job_filename"]) == (call["call_id"], "bad.mp3")
    assert hook["error_message"] == call["error_message"]
    [request, *_] = receivers.webhook.accepted
    Webhook(SECRETS["notify_webhook_secret"]).verify(request.body, dict(request.headers))


@pytest.mark.browser
def test_the_links_lead_to_the_call_and_its_run(
    up: Up,
    receivers: Receivers,
    page: Page,  # noqa: F811
) -> None:
    _, mail, _ = first_messages(up, receivers)
    page.set_content(html_of(mail))
    links = {
        name: page.get_by_role("link", name=name).get_attribute("href")
        for name in ("Open call", "Open run")
    }
    call_id = up.call("bad.mp3")["call_id"]
    page.goto(links["Open call"] or "")
    assert page.url == f"{up.web}/calls/{call_id}"
    expect(page.get_by_text(call_id).locator("visible=true").first).to_be_visible()
    page.goto(links["Open run"] or "")
    expect(page.get_by_text("STEP_FAILURE").locator("visible=true").first).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desktop", 800, "light"), ("phone", 390, "dark")]
)
def test_the_email_fits_and_is_readable(
    up: Up,
    receivers: Receivers,
    page: Page,  # noqa: F811
    name: str,
    width: int,
    scheme: Any,
) -> None:
    _, mail, _ = first_messages(up, receivers)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 760})
    page.set_content(html_of(mail))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "A call failed at channel_audio (UnsupportedAudio)"
    )
    overflows = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(overflows)
    page.screenshot(path=SCREENSHOTS / f"mail-{name}.png", full_page=True)
    page.emulate_media(color_scheme="light")


@pytest.mark.browser
def test_the_deliveries_appear_in_dagsters_ui(
    up: Up,
    receivers: Receivers,
    page: Page,  # noqa: F811
) -> None:
    first_messages(up, receivers)
    page.set_viewport_size({"width": 1500, "height": 950})
    page.goto(f"{up.ui}/assets/notifications?view=events")
    expect(page.get_by_text("webhook").locator("visible=true").first).to_be_visible()
    expect(page.get_by_text("call_failed").locator("visible=true").first).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "notifications-in-dagster.png")


def test_the_notifications_are_listed(up: Up, receivers: Receivers) -> None:
    first_messages(up, receivers)
    listed = command(up.home, "notifications", "list")
    assert listed.stdout.count("DELIVERED") >= 3, listed.stdout


def test_the_api_sends_notifications(up: Up, receivers: Receivers) -> None:
    first_messages(up, receivers)
    request = {"type": "custom", "severity": "warning", "title": "Recorder 3 is off"}
    url = f"http://127.0.0.1:{receivers.settings['web_port']}/notify"
    wrong = {"X-API-KEY": "another key"}
    assert httpx.post(url, json=request, headers=wrong, timeout=60).status_code == 401
    reply = httpx.post(url, json=request, headers={"X-API-KEY": SECRETS["api_key"]}, timeout=60)
    assert reply.json()["channels_sent"] == ["email", "slack", "webhook"], reply.text
    assert receivers.mail.mails[-1]["Subject"] == "[WARNING] Recorder 3 is off"


def test_no_secret_is_in_dagsters_tables_or_any_log(up: Up, receivers: Receivers) -> None:
    first_messages(up, receivers)
    with EmbeddedPostgres(up.home / "postgres").running() as url:
        stored = "\n".join(_rows(url))
    assert "notifications" in stored
    logs = [path for path in up.home.rglob("*.log") if path.is_file()]
    assert any("daemon" in path.name for path in logs)
    logged = "\n".join(path.read_text(errors="replace") for path in logs)
    for word in PLANTED:
        assert word not in stored, word
        assert word not in logged, word


def _rows(url: str) -> list[str]:
    """Return every row of every table, of Dagster's and callpipeline's, as text."""
    rows: list[str] = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname IN ('public', 'callpipeline')"
        ).fetchall()
        for (table,) in tables:
            rows += [
                row[0] for row in connection.execute(f"SELECT t::text FROM {table} t".encode())
            ]
    return rows
