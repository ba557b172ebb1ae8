"""The page of a competitor: its trend, why it is praised and blamed, who raises it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape

import httpx
import pytest
from playwright.sync_api import expect

from benchmarks.synthetic_calls import fill
from benchmarks.synthetic_data import DatasetSize
from tests.integration.databases import execute_sql, new_database
from tests.web.browsing import chromium, watched
from tests.web.synthetic_app import serve

SIZE = DatasetSize(300, 3_000, 900, agents=4, competitors=4, days=120)
CATALOG = """
competitors:
  - name: EE
    aliases: [Everything Everywhere]
    sells: mobile
  - name: Never Said
"""
BLAME = """
    UPDATE sentiment SET sentiment = 'negative', quote = quote || ' they keep dropping calls'
    WHERE competitor = 'EE' AND right(call_id, 1) > '7'
"""


@pytest.fixture(scope="module")
def address(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    (home / "competitors.yaml").write_text(CATALOG)
    with new_database(postgres, template) as url:
        fill(url, SIZE, now=datetime.now(UTC))
        execute_sql(url, BLAME)
        with serve(url, home) as address:
            yield address


def read(address: str, path: str, status: int = 200) -> str:
    reply = httpx.get(f"{address}{path}", headers={"Accept": "text/html"}, timeout=60)
    assert reply.status_code == status, reply.text
    return reply.text


@pytest.fixture(scope="module")
def html(address: str) -> str:
    return read(address, "/competitor?name=ee")


def part(html: str, name: str) -> str:
    return html.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]


def test_it_compares_with_the_period_before(html: str, address: str) -> None:
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>\s*<td class="number">(.*?)</td>', html)
    labels = [label for label, _ in rows]
    assert labels[:3] == ["All", "By customers", "By agents"]
    for _, cell in rows[:3]:
        [(link, count)] = re.findall(r'href="(/moments[^"]*)"[^>]*>([\d,]+)<', cell)
        assert f"<strong>{count}</strong> moment" in read(address, unescape(link))
    assert "Period before" in html


def test_typical_words_of_blame_have_quotes_and_moments(html: str, address: str) -> None:
    blamed = part(html, "blamed")
    assert "dropping calls" in blamed
    assert "dropping calls" not in part(html, "praised")
    assert "data-clip" in blamed
    [link, count] = re.findall(r'dropping calls.*?href="(/moments[^"]*)">(\d+) moments', blamed)[0]
    shown = int(re.findall(r"<strong>(\d+)</strong> moment", read(address, unescape(link)))[0])
    assert shown == min(int(count), 50)


def test_agents_and_their_answers_are_shown(html: str) -> None:
    agents = part(html, "agents")
    assert len(re.findall(r'<th scope="row">', agents)) == 5
    answers = part(html, "answers")
    assert 1 <= answers.count("data-clip") <= 5
    assert 'class="speaker agent"' in answers


def test_it_shows_the_settings_of_the_list(html: str, address: str) -> None:
    settings = part(html, "settings")
    assert "Everything Everywhere" in settings
    assert 'href="/competitors/edit?name=EE"' in settings
    assert "No mentions match" in read(address, "/competitor?name=Never+Said")
    assert "no longer on the list" in read(address, "/competitor?name=Vodafone")
    assert "No competitor has this name" in read(address, "/competitor?name=nonsense", 404)


def test_filters_are_kept_and_apply(address: str) -> None:
    html = read(address, "/competitor?name=EE&speaker=agent&from=2026-01-01")
    assert '<input type="hidden" name="name" value="EE">' in html
    assert '<option value="agent" selected>' in html
    assert 'id="competitors-label"' not in html


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_is_accessible_and_fits(address: str, scheme: str, width: int) -> None:
    size = {"width": width, "height": 1600}
    with (
        chromium() as browser,
        watched(browser, address, color_scheme=scheme, viewport=size) as watch,
    ):
        watch.page.set_default_timeout(60_000)
        watch.page.goto("/competitor?name=EE")
        expect(watch.page.locator("figure[data-drawn]")).to_have_count(2, timeout=60_000)
        assert watch.page.evaluate("document.documentElement.scrollWidth") <= width
        watch.screenshot(f"competitor-{scheme}-{width}")
        watch.check()
        assert watch.accessibility_issues() == []
