"""The page Competitors in a browser: add a name, see its preview, apply it, and undo."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ViewportSize, expect
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.pipeline.rematch.recomputation import (
    plan_recomputation,
    request_recomputation,
)
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import Storage, open_storage
from tests.integration.databases import new_database
from tests.integration.rematching import TEXTS, fill, in_force, rematch
from tests.web.app_server import serving
from tests.web.browsing import SCREENSHOTS, WatchedPage, chromium, watched

BASE = Catalog(
    (
        Competitor("Vodafone", ("voda phone",), sells="mobile network, SIM plans"),
        Competitor("Sky", ("sky tv", "sky broadband"), ambiguous=True),
        Competitor("EE"),
        Competitor("Riverside Telecom", ("riverside",), own=True),
    )
)
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Site:
    """A running app with forty completed calls, over ten weeks."""

    def __init__(self, address: str, storage: Storage) -> None:
        self.address, self.storage = address, storage

    def do(self, work: Callable[[Storage], object]) -> None:
        """Work in another thread: this one has the event loop of the browser."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work, self.storage).result()

    def rematch(self) -> None:
        self.do(rematch)


def prepare(storage: Storage) -> None:
    call_ids = fill(storage, TEXTS * 8)
    made = NewChange(ChangeOrigin.FILE)
    storage.catalogs.apply(BASE, made)
    rematch(storage)
    with storage.database.transaction() as connection:
        connection.execute("UPDATE calls SET last_modified = now() - random() * interval '70 days'")
    for number, call_id in enumerate(call_ids[:10]):
        for mention in storage.results.mentions(call_id):
            if mention.competitor == "Vodafone":
                decision = Decision.CONFIRMED if number < 6 else Decision.DISMISSED
                storage.reviews.decide(call_id, mention.mention_id, decision, "anna")


@pytest.fixture
def site(postgres: str, template: str, tmp_path: Path) -> Iterator[Site]:
    with new_database(postgres, template) as url:
        settings = Settings(home=tmp_path, database_url=SecretStr(url), _env_file=None)  # pyright: ignore[reportCallIssue]
        with open_storage(settings, url) as storage, serving(settings) as address:
            site = Site(address, storage)
            site.do(prepare)
            yield site


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[WatchedPage]:
    with watched(browser, site.address, viewport=DESKTOP) as watch:
        yield watch


def test_a_name_is_added_previewed_applied_and_undone(page: WatchedPage, site: Site) -> None:
    tab = page.page
    tab.goto("/competitors")
    expect(tab.get_by_role("row")).to_have_count(5)
    page.screenshot("competitors-desktop")
    tab.get_by_role("button", name="Add a competitor").click()
    tab.get_by_label("Name", exact=True).fill("Three")
    effect = tab.locator("#effect")
    expect(effect).to_contain_text("+ Three (ambiguous)")
    expect(effect).to_contain_text("24 of 40 calls would change")
    expect(tab.locator("#ambiguous-remarks")).to_contain_text("also an ordinary word")
    page.screenshot("competitors-add-desktop")
    ambiguity = tab.get_by_label("Also an ordinary word?")
    ambiguity.select_option("no")
    expect(effect).not_to_contain_text("ambiguous")
    ambiguity.select_option("auto")
    expect(effect).to_contain_text("+ Three (ambiguous)")
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.get_by_label("Note").fill("A new rival since June")
    tab.wait_for_timeout(1000)
    assert asked == [], "a note changes nothing"
    tab.get_by_role("button", name="Apply").click()
    tab.wait_for_url("**/competitors")
    banner = tab.locator("#rematch")
    expect(banner).to_contain_text("40 of 40 calls are on an older list")
    expect(tab.get_by_role("row").filter(has_text="Three")).to_have_count(1)
    mentions = tab.get_by_role("row").filter(has_text="Three").get_by_role("cell").first
    expect(mentions).to_have_text("0")
    site.rematch()
    expect(banner).to_contain_text("All calls are on the list in force")
    expect(mentions).to_have_text(re.compile(r"^\s*[1-9]"))
    tab.get_by_role("link", name="History").click()
    expect(tab.locator(".history > li").first).to_contain_text("A new rival since June")
    page.screenshot("competitors-history-desktop")
    tab.get_by_role("link", name="Undo").click()
    expect(effect).to_contain_text("- Three")
    tab.get_by_role("button", name="Apply").click()
    tab.wait_for_url("**/competitors")
    site.rematch()
    expect(tab.get_by_role("row").filter(has_text="Three")).to_have_count(0)
    expect(banner).to_contain_text("All calls are on the list in force")
    assert in_force(site.storage).version == BASE.version
    page.check()


def test_the_progress_of_a_rematch_is_live_and_can_be_stopped(
    page: WatchedPage, site: Site
) -> None:
    added = Catalog((*BASE.competitors, Competitor("Orange")))
    tab = page.page
    tab.goto("/competitors")
    site.do(lambda storage: storage.catalogs.apply(added, NewChange(ChangeOrigin.API, "ben")))
    site.do(lambda storage: continue_rematch(storage.rematches, added))
    tab.reload()
    banner = tab.locator("#rematch")
    expect(banner).to_contain_text("Past calls are being searched with the changed list.")
    expect(banner).to_contain_text("0 of 8 calls rematched, 32 unaffected")
    site.do(lambda storage: execute(storage, DO_THREE))
    expect(banner).to_contain_text("3 of 8 calls rematched")
    expect(banner.get_by_role("progressbar")).to_have_js_property("value", 3)
    page.screenshot("competitors-rematch-desktop")
    tab.get_by_role("button", name="Stop").click()
    expect(banner).to_contain_text("The search of past calls was stopped by local user.")
    page.screenshot("competitors-stopped-desktop")
    tab.get_by_role("button", name="Resume").click()
    expect(banner).to_contain_text("being searched")
    tab.goto("/analytics")
    expect(banner).to_contain_text("Numbers on this page mix versions")
    page.screenshot("analytics-rematch-desktop")
    site.rematch()
    site.rematch()  # the three calls that were taken from the first one
    expect(banner).to_contain_text("Reload to see their numbers.")
    page.check()


DO_THREE = """
DELETE FROM rematch_calls WHERE call_id IN (SELECT call_id FROM rematch_calls LIMIT 3)
"""


def execute(storage: Storage, statement: str) -> None:
    with storage.database.transaction() as connection:
        connection.execute(statement.encode())


def test_calls_that_wait_for_a_judge_say_so(page: WatchedPage, site: Site) -> None:
    def ask(storage: Storage) -> None:
        rematches = storage.rematches
        plan = plan_recomputation(rematches, Stage.COMPETITOR_MENTIONS)
        request_recomputation(rematches, in_force(storage), plan, "anna")
        opened = rematches.current()
        assert opened
        for call in rematches.todo(opened.rematch_id, 1000):
            rematches.defer(call.call_id, opened.rematch_id, "The judge did not answer.", 900.0)

    site.do(ask)
    tab = page.page
    tab.goto("/competitors")
    status = tab.locator("#rematch")
    expect(status).to_contain_text("Past calls wait for the judge, which is away.")
    expect(status).to_contain_text("40 wait for the judge, next attempt at")
    expect(status).to_contain_text("(The judge did not answer)")
    page.screenshot("competitors-judge-away")
    tab.get_by_role("button", name="Try now").click()
    expect(status).to_contain_text("Past calls are being searched with the changed list.")
    page.check()


def test_problems_are_shown_at_their_fields(page: WatchedPage) -> None:
    tab = page.page
    tab.goto("/competitors/edit")
    name, aliases = tab.get_by_label("Name", exact=True), tab.get_by_label("Other names")
    name.fill("vodafone")
    expect(tab.locator("#name-remarks")).to_have_text("Vodafone is on the list already.")
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("Voxi")
    aliases.press_sequentially("voda phone")
    expect(tab.locator("#aliases-remarks")).to_have_text(
        "Vodafone has the name voda phone already."
    )
    expect(name).not_to_have_attribute("aria-invalid", "true")
    expect(tab.locator("#effect")).to_contain_text("Correct the form")
    page.screenshot("competitors-problem-desktop")
    assert aliases.input_value() == "voda phone", "the preview leaves what is typed alone"
    page.check()


def test_a_change_made_meanwhile_is_not_overwritten(page: WatchedPage, site: Site) -> None:
    tab = page.page
    tab.goto("/competitors/edit?name=EE")
    tab.get_by_label("Other names").fill("everything everywhere")
    added = Catalog((*BASE.competitors, Competitor("Orange")))
    site.do(lambda storage: storage.catalogs.apply(added, NewChange(ChangeOrigin.API, "ben")))
    tab.get_by_role("button", name="Apply").click()
    expect(tab.get_by_role("alert")).to_contain_text("The list was changed meanwhile by ben")
    expect(tab.get_by_label("Other names")).to_have_value("everything everywhere")
    page.console_errors.clear()  # the status 409
    tab.get_by_role("button", name="Apply").click()
    tab.wait_for_url("**/competitors")
    expect(tab.get_by_role("row").filter(has_text="Orange")).to_have_count(1)
    expect(tab.get_by_role("row").filter(has_text="everything everywhere")).to_have_count(1)
    page.check()


def test_it_works_without_scripts(browser: Browser, site: Site) -> None:
    with watched(browser, site.address, viewport=DESKTOP, java_script_enabled=False) as watch:
        tab = watch.page
        tab.goto("/competitors/edit")
        tab.get_by_label("Name", exact=True).fill("Orange")
        tab.get_by_role("button", name="Preview").click()
        expect(tab.locator("#effect")).to_contain_text("8 of 40 calls would change")
        expect(tab.locator("#ambiguous-remarks")).to_contain_text("also an ordinary word")
        tab.get_by_label("Note").fill("asked for by Ann")
        tab.get_by_role("button", name="Apply").click()
        expect(tab.get_by_role("row").filter(has_text="Orange")).to_have_count(1)
        site.do(lambda storage: continue_rematch(storage.rematches, in_force(storage)))
        tab.reload()
        tab.get_by_role("button", name="Stop").click()
        expect(tab.locator("#rematch")).to_contain_text("stopped by local user")


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_the_pages_are_accessible_and_fit(
    browser: Browser, site: Site, scheme: Literal["light", "dark"], size: ViewportSize
) -> None:
    added = Catalog((*BASE.competitors, Competitor("Orange", ambiguous=True)))
    made = NewChange(ChangeOrigin.API, "ben", "They bought a network, and advertise it a lot.")
    site.do(lambda storage: storage.catalogs.apply(added, made))
    site.do(lambda storage: continue_rematch(storage.rematches, added))
    refuse = "UPDATE catalog_files SET problem = 'line 2: unknown key nmae: did you mean name?'"
    site.do(lambda storage: execute(storage, IMPORTED))
    site.do(lambda storage: execute(storage, refuse))
    for name, path in (
        ("list", "/competitors"),
        ("edit", "/competitors/edit?name=Sky"),
        ("remove", "/competitors/remove?name=Vodafone"),
        ("text", "/competitors/text"),
        ("history", "/competitors/history"),
        ("restore", f"/competitors/restore?version={BASE.version}"),
    ):
        with watched(browser, site.address, viewport=size, color_scheme=scheme) as watch:
            watch.page.goto(path)
            watch.check()
            overflow = "(main) => main.scrollWidth - main.clientWidth"
            assert watch.page.locator("main").evaluate(overflow) <= 0, path
            at = SCREENSHOTS / f"competitors-{name}-{scheme}-{size['width']}.png"
            watch.page.screenshot(path=at, full_page=True)
            assert watch.accessibility_issues() == [], path


IMPORTED = """
INSERT INTO catalog_files (path, sha256, warnings) VALUES ('/srv/competitors.yaml', 'x', '[]')
"""
