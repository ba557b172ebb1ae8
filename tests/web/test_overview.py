"""The overview: what changed, customers at risk, and what needs review."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from playwright.sync_api import expect

from benchmarks.synthetic_calls import fill
from benchmarks.synthetic_data import DatasetSize
from tests.integration.databases import execute_sql, new_database
from tests.web.browsing import chromium, watched
from tests.web.served import Served
from tests.web.synthetic_app import serve

VANISHED = "Vodafone"
SIZE = DatasetSize(400, 3_000, 900, agents=4, competitors=6, days=56)


@pytest.fixture(scope="module")
def address(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An app with two months of calls: EE is mentioned seldom in the first, Sky never.

    Vodafone is never mentioned in the second.
    """
    with new_database(postgres, template) as url:
        fill(url, SIZE, now=datetime.now(UTC))
        first_month = f"day <= '{datetime.now(UTC).date() - timedelta(days=28)}'"
        names = {
            row[0]
            for row in execute_sql(url, "SELECT DISTINCT competitor FROM reading_mentions") or ()
        }
        assert {"EE", "Sky", VANISHED} <= names
        early = f"""DELETE FROM mentions m USING reading_calls c
                    WHERE c.call_id = m.call_id AND c.{first_month}"""
        execute_sql(url, f"{early} AND competitor = 'Sky'")
        kept = f"""SELECT call_id FROM reading_mentions
                   WHERE competitor = 'EE' AND {first_month} AND state = 'COMPLETED'
                   ORDER BY call_id LIMIT 3"""
        execute_sql(url, f"{early} AND competitor = 'EE' AND m.call_id <> ALL (ARRAY({kept}))")
        execute_sql(url, f"{early.replace('<=', '>')} AND competitor = '{VANISHED}'")
        execute_sql(url, "UPDATE sentiment SET switching = NULL")
        execute_sql(
            url,
            """UPDATE sentiment SET switching = 'leaving_to', switching_quote = 'we are leaving'
               WHERE (call_id, mention_id) IN (
                   SELECT call_id, mention_id FROM reading_mentions
                   WHERE speaker = 'customer' ORDER BY day DESC, call_id LIMIT 3)""",
        )
        with serve(url, tmp_path_factory.mktemp("home")) as address:
            yield address


@pytest.fixture(scope="module")
def html(address: str) -> str:
    reply = httpx.get(address, headers={"Accept": "text/html"}, timeout=60)
    assert reply.status_code == 200
    return reply.text


def part(html: str, name: str) -> str:
    """Return the section with this heading."""
    return html.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]


def test_a_competitor_that_gains_is_named_with_quotes(html: str) -> None:
    gaining = part(html, "gaining")
    assert "<bdi>EE</bdi>" in gaining
    assert re.search(r">\+\d+%</strong>", gaining)
    assert 1 <= gaining.count("data-clip") <= 6
    assert "<bdi>EE</bdi>" not in part(html, "losing")


def test_a_competitor_without_earlier_calls_is_new(html: str) -> None:
    new = part(html, "first-heard")
    assert "<bdi>Sky</bdi>" in new
    assert ">New</strong>" in new
    assert "<bdi>EE</bdi>" not in new


def test_a_competitor_that_vanished_loses(html: str) -> None:
    losing = part(html, "losing")
    assert f"<bdi>{VANISHED}</bdi>" in losing
    assert re.search(rf"{VANISHED}</bdi></a>\s*<strong[^>]*more than chance[^>]*>.100%<", losing)


def test_a_competitor_heard_for_the_first_time_is_no_gainer_too(html: str) -> None:
    assert "<bdi>Sky</bdi>" not in part(html, "gaining")


def test_customers_who_leave_are_listed(html: str, address: str) -> None:
    risk = part(html, "at-risk")
    assert "3 moments in" in risk
    assert risk.count("Leaving for it") == 3
    [link] = re.findall(r'href="(/moments[^"]*switching=leaving_to[^"]*)"', risk)
    listed = httpx.get(address + unescape(link), timeout=60).text
    assert "<strong>3</strong> moments" in listed


def test_numbers_lead_to_as_many_moments(html: str, address: str) -> None:
    found = re.findall(r'<a href="(/moments[^"]*)" title="[^"]*">([\d,]+) mention', html)
    assert found
    for link, count in found:
        listed = httpx.get(address + unescape(link), timeout=60).text
        assert f"<strong>{count}</strong> moment" in listed


def test_the_health_is_one_line_and_upload_a_button(html: str) -> None:
    assert "Everything is running" in html
    assert re.search(r'<a role="button" class="upload" href="/upload">', html)
    assert re.search(r'<a href="/review">[\d,]+ possible mention', html)


def test_periods_can_be_chosen(address: str) -> None:
    reply = httpx.get(f"{address}/?days=7", timeout=60)
    assert 'href="/?days=7" aria-current="true"' in reply.text
    assert httpx.get(f"{address}/?days=0", timeout=60).status_code == 422


def test_an_empty_installation_says_how_to_begin(client: httpx.Client, empty_app: Served) -> None:
    html = client.get("/", headers={"Accept": "text/html"}).text
    assert "No calls yet" in html
    assert 'href="/upload"' in html


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_overview_is_accessible_and_fits(address: str, scheme: str, width: int) -> None:
    size = {"width": width, "height": 1200}
    with (
        chromium() as browser,
        watched(browser, address, color_scheme=scheme, viewport=size) as watch,
    ):
        watch.page.set_default_timeout(60_000)
        watch.page.goto("/")
        expect(watch.page.locator("[data-moment]").first).to_be_visible(timeout=60_000)
        assert watch.page.evaluate("document.documentElement.scrollWidth") <= width
        watch.page.keyboard.press("j")
        expect(watch.page.locator("[data-moment]").first).to_be_focused()
        watch.screenshot(f"overview-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
