"""Tasks of an analyst, in a browser, each with at most four clicks from the overview."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.integration.databases import execute_sql
from tests.web.browsing import WatchedPage, chromium, watched
from tests.web.processed_calls import VODAFONE, ProcessedCall
from tests.web.served import Served

pytestmark = pytest.mark.browser

MAX_CLICKS = 4
CALLS = 12
WAIT_MS = 60_000
"""All calls of this month name Vodafone, and one of those of the month before."""
DATES = """
    UPDATE calls SET started_at = now() - interval '{days} days' WHERE key ~ '{name}';
"""


@pytest.fixture(scope="module")
def address(app: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = app.settings.database_url
    assert url
    for number in range(CALLS):
        for month, mentions in (("now", (VODAFONE,)), ("before", (VODAFONE,)[: number == 0])):
            call = ProcessedCall(key=f"{month}-{number}.wav", mentions=mentions)
            call.store(app.storage, tmp_path_factory.mktemp("sound"))
    for name, days in (("now", 3), ("before", 40)):
        execute_sql(url.get_secret_value(), DATES.format(name=name, days=days))
    leaving = "UPDATE sentiment SET switching = 'leaving_to' WHERE call_id IN ({})"
    two = "SELECT call_id FROM calls WHERE key ~ 'now-[12].wav'"
    execute_sql(url.get_secret_value(), leaving.format(two))
    agents = (
        "UPDATE calls SET metadata = metadata || '{\"agent\": \"Ben\"}' WHERE key ~ '[02468].wav'"
    )
    execute_sql(url.get_secret_value(), agents)
    return app.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@dataclass
class Analyst:
    """A person at the overview, whose clicks are counted."""

    watch: WatchedPage
    clicks: int = 0

    @property
    def page(self) -> Page:
        return self.watch.page

    def click(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def section(self, name: str) -> Locator:
        return self.page.locator(f"section[aria-labelledby={name}]")


@pytest.fixture
def analyst(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Analyst]:
    with watched(browser, address, viewport={"width": 1280, "height": 900}) as watch:
        watch.page.set_default_timeout(WAIT_MS)
        watch.page.goto("/")
        analyst = Analyst(watch)
        yield analyst
        assert analyst.clicks <= MAX_CLICKS
        watch.screenshot(f"task-{request.node.name}-{analyst.clicks}-clicks")
        watch.check()


def test_find_the_gainer(analyst: Analyst) -> None:
    gainer = analyst.section("gaining").locator(".mover")
    expect(gainer).to_contain_text("Vodafone")
    expect(gainer).to_contain_text(re.compile(r"\+[\d,]+%"))


def test_hear_why(analyst: Analyst) -> None:
    play = analyst.section("gaining").locator("[data-clip]").first
    analyst.click(play)
    expect(play).to_have_class(re.compile("playing"), timeout=WAIT_MS)


def test_see_who_loses_customers_to_whom(analyst: Analyst) -> None:
    analyst.click(analyst.section("gaining").get_by_role("link", name="Vodafone", exact=True))
    analyst.page.wait_for_url(re.compile("/competitor"))
    expect(analyst.section("agents").get_by_role("row")).to_have_count(3, timeout=WAIT_MS)


def test_find_a_customer_at_risk(analyst: Analyst) -> None:
    analyst.click(analyst.section("at-risk").get_by_role("link", name="2 moments in 2 calls"))
    expect(analyst.page.locator("[data-moment]")).to_have_count(2, timeout=WAIT_MS)
    expect(analyst.page.locator("[data-moment]").first).to_contain_text("Leaving for it")


def test_correct_a_mistake(analyst: Analyst) -> None:
    analyst.click(analyst.section("at-risk").get_by_role("link", name="2 moments in 2 calls"))
    moment = analyst.page.locator("[data-moment]").first
    analyst.click(moment.get_by_text("Relabel"))
    analyst.click(moment.get_by_role("button", name=re.compile("^Negative")))
    expect(moment.locator(".sentiment")).to_have_text("Negative", timeout=WAIT_MS)


def test_export_to_excel(analyst: Analyst) -> None:
    analyst.click(analyst.section("at-risk").get_by_role("link", name="2 moments in 2 calls"))
    with analyst.page.expect_download(timeout=WAIT_MS) as download:
        analyst.click(analyst.page.get_by_role("button", name="Excel"))
    assert download.value.suggested_filename == "mentions.xlsx"


def test_share_the_view(analyst: Analyst) -> None:
    analyst.click(analyst.section("at-risk").get_by_role("link", name="2 moments in 2 calls"))
    analyst.click(analyst.page.get_by_role("checkbox", name=re.compile("^Select")).first)
    analyst.click(analyst.page.get_by_role("button", name="Only selected"))
    analyst.page.wait_for_url(re.compile("moment="))
    expect(analyst.page.locator("[data-moment]")).to_have_count(1, timeout=WAIT_MS)


def test_compare_agents(analyst: Analyst) -> None:
    analyst.click(analyst.page.get_by_role("link", name="Analytics", exact=True))
    negative = analyst.page.get_by_role("region", name="Agents").get_by_role(
        "link", name="Negative"
    )
    analyst.click(negative)
    analyst.page.wait_for_url(re.compile("sort=negative"))
    rows = analyst.page.get_by_role("region", name="Agents").get_by_role("row")
    expect(rows).to_have_count(3, timeout=WAIT_MS)
