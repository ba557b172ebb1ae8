"""Analytics and search in a browser: charts, filters, links, downloads, accessibility."""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.web.synthetic_app import serve, synthetic_database

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "tests" / "screenshots"
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]
DAYS = "from=2026-01-01&to=2026-03-31"
VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
ACCESSIBILITY_ISSUES = """
async () => (await axe.run()).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .map((each) => `${each.id}: ${each.nodes[0].html}`)
"""
PLOT_BOX = """
(figure) => {
  const box = figure.querySelector(".u-over").getBoundingClientRect();
  return [box.left, box.top, box.width, box.height];
}
"""

COLOURS = """
(figure) => {
  const canvas = figure.querySelector(".plot canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const drawn = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255) drawn.add(`rgb(${data.slice(at, at + 3).join(", ")})`);
  }
  return [...figure.querySelectorAll(".legend line")]
    .map((line) => getComputedStyle(line).stroke)
    .map((stroke) => [stroke, drawn.has(stroke)]);
}
"""


@pytest.fixture(scope="module")
def address(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if not (ROOT / "callpipeline" / "web" / "static" / "vendor" / "built").exists():
        pytest.skip("the frontend is not built: make test builds it")
    with (
        synthetic_database(postgres, template) as url,
        serve(url, tmp_path_factory.mktemp("home")) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=OPTIONS)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page without console messages and external requests."""
    context = browser.new_context(
        base_url=address, viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    page, messages, external = context.new_page(), list[str](), list[str]()
    page.add_init_script(VIOLATIONS)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(address) else external.append(request.url),
    )
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert (messages, external) == ([], [])


def count_rows(page: Page, table: str, link: str) -> int:
    """Count the rows of the export with the link's filters."""
    text = page.request.get(f"/export/{table}.csv?{link.partition('?')[2]}").text()
    return len(list(csv.reader(text.splitlines()))) - 1


def test_a_point_of_a_chart_links_to_its_moments(page: Page) -> None:
    page.route("**/moments?*", lambda route: route.fulfill(body="<title>Moments</title>"))
    page.goto(f"/analytics?{DAYS}")
    chart = page.locator("figure[data-chart]").nth(1)
    expect(chart).to_have_attribute("data-drawn", re.compile(r"[3-5]"))
    legend = chart.get_by_role("button")
    for _ in range(legend.count() - 1):  # one line is left, so any point belongs to it
        legend.locator("xpath=self::*[@aria-pressed='true']").last.click()
    expect(chart.locator("button[aria-pressed='true']")).to_have_count(1)
    chart.locator(".plot").scroll_into_view_if_needed()
    left, top, width, height = chart.evaluate(PLOT_BOX)
    for share in range(95, 5, -5):
        page.mouse.move(left + width / 2, top + height * share / 100)
        if chart.locator(".u-over.clickable").count():
            break
    value = int(chart.locator("button[aria-pressed='true'] output").inner_text().replace(",", ""))
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile(r"/moments\?"))
    assert "sentiment=positive" in page.url
    assert count_rows(page, "mentions", page.url) == value


@pytest.mark.parametrize("days", [DAYS, "a single day"])
def test_each_line_has_its_own_colour(page: Page, days: str) -> None:
    """A single day is a point."""
    if days != DAYS:
        export = page.request.get("/export/mentions.csv?sentiment=negative").text()
        day = next(csv.DictReader(export.splitlines()))["took_place_at"][:10]
        days = f"from={day}&to={day}"
    page.goto(f"/analytics?{days}")
    charts = page.locator("figure[data-chart]")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        expect(chart).to_have_attribute("data-drawn", re.compile(r"\d"))
        colours = chart.evaluate(COLOURS)
        assert len({stroke for stroke, _ in colours}) == len(colours)
        assert (
            sum(is_drawn for _, is_drawn in colours) >= len(colours) / 2
        )  # some are covered by others


def test_filters_are_in_the_url_and_numbers_link_to_their_calls(page: Page) -> None:
    page.goto("/analytics")
    page.locator("select[name=agent]").select_option("Ann Abbot")
    page.locator("summary", has_text="All").click()
    page.get_by_role("checkbox", name="Vodafone").check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile(r"/analytics\?agent=Ann\+Abbot&competitor=Vodafone$"))
    agents = page.get_by_role("region", name="Agents")
    agents.get_by_role("link", name="Positive").click()
    page.wait_for_url(re.compile(r"agent=Ann\+Abbot&competitor=Vodafone&sort=positive"))
    page.reload()
    expect(page.locator("select[name=agent]")).to_have_value("Ann Abbot")
    link = page.locator("table:has-text('By agent') tbody a[data-counts=calls]").first
    count, target = int(link.inner_text()), link.get_attribute("href") or ""
    assert count_rows(page, "calls", target) == count > 0
    quote = page.locator(".moments .meta a").first
    assert re.fullmatch(r"/calls/[\w-]+\?t=\d+\.\d", quote.get_attribute("href") or "")


def test_a_start_date_after_the_end_date_is_rejected_in_the_form(page: Page) -> None:
    page.goto("/analytics")
    page.get_by_label("From").fill("2026-03-02")
    page.get_by_label("To", exact=True).fill("2026-03-01")
    page.get_by_role("button", name="Apply").click()
    message = page.get_by_label("From").evaluate("(field) => field.validationMessage")
    assert message == "The start date must be before the end date."
    assert page.url.endswith("/analytics")
    page.get_by_label("To", exact=True).fill("2026-03-02")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile(r"from=2026-03-02&to=2026-03-02"))


def test_search_results_are_appended_and_downloaded(page: Page) -> None:
    page.goto("/search")
    page.get_by_label("Search transcripts").fill("price or call")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?words=price\+or\+call$"))
    expect(page.locator("#hits mark").first).to_have_text(re.compile("price|call"))
    hits = page.locator("#hits .text")
    expect(hits).to_have_count(20)
    page.get_by_role("button", name="Load more").click()
    total = int(page.locator("[role=status] strong").inner_text())
    expect(hits).to_have_count(min(40, total))
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "segments.csv"
    text = Path(download.value.path()).read_text()
    assert len(list(csv.reader(text.splitlines()))) - 1 == total


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    for name, path in (
        ("analytics", f"/analytics?{DAYS}"),
        ("competitor", "/analytics?competitor=EE"),
        ("search", "/search?words=price"),
        ("calls-filtered", "/calls?agent=Ann+Abbot"),
        ("review", "/review"),
    ):
        page.goto(path)
        if not path.startswith("/calls"):  # its event stream never ends
            page.wait_for_load_state("networkidle")
        if AXE.exists():
            page.evaluate(AXE.read_text())
            assert page.evaluate(ACCESSIBILITY_ISSUES) == []
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{width}.png", full_page=True)
        if width == 390:
            wide = "(main) => main.scrollWidth - main.clientWidth"
            assert page.locator("main").evaluate(wide) <= 0
