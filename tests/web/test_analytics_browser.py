"""Analytics and search in a real browser: drawn, followed, filtered and saved; nothing to complain.

Screenshots are kept in tests/screenshots.
"""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.web.crowded import crowd, served

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
FAULTS = """
async () => (await axe.run()).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .map((each) => `${each.id}: ${each.nodes[0].html}`)
"""
A_DRAWING = """
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
        pytest.skip("the pages' libraries are not built: make test builds them")
    with (
        crowd(postgres, template) as url,
        served(url, tmp_path_factory.mktemp("home")) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=OPTIONS)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page whose console stays empty, and which asks nothing of anybody but the app."""
    context = browser.new_context(
        base_url=address, viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    page, said, elsewhere = context.new_page(), list[str](), list[str]()
    page.add_init_script(VIOLATIONS)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(address) else elsewhere.append(asked.url),
    )
    page.set_default_timeout(10_000)
    yield page
    context.close()
    assert (said, elsewhere) == ([], [])


def rows(page: Page, what: str, link: str) -> int:
    """How many rows the export of these filters has."""
    text = page.request.get(f"/export/{what}.csv?{link.partition('?')[2]}").text()
    return len(list(csv.reader(text.splitlines()))) - 1


def test_charts_are_drawn_and_a_point_leads_to_its_calls(page: Page) -> None:
    page.route("**/calls?*", lambda route: route.fulfill(body="<title>Calls</title>"))
    page.goto(f"/analytics?{DAYS}")
    chart = page.locator("figure[data-chart]").nth(1)
    expect(chart).to_have_attribute("data-drawn", re.compile(r"[3-5]"))
    legend = chart.get_by_role("button")
    for _ in range(legend.count() - 1):  # one line is left: whatever is near is of this one
        legend.locator("xpath=self::*[@aria-pressed='true']").last.click()
    expect(chart.locator("button[aria-pressed='true']")).to_have_count(1)
    chart.locator(".plot").scroll_into_view_if_needed()
    left, top, width, height = chart.evaluate(A_DRAWING)
    for share in range(95, 5, -5):
        page.mouse.move(left + width / 2, top + height * share / 100)
        if chart.locator(".u-over.leads").count():
            break
    told = int(chart.locator("button[aria-pressed='true'] output").inner_text().replace(",", ""))
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile(r"/calls\?"))
    assert "sentiment=positive" in page.url
    assert rows(page, "mentions", page.url) == told


@pytest.mark.parametrize("days", [DAYS, "a single day"])
def test_each_line_is_drawn_in_a_colour_of_its_own(page: Page, days: str) -> None:
    """Also of a single day, which is a point."""
    if days != DAYS:
        saved = page.request.get("/export/mentions.csv?sentiment=negative").text()
        day = next(csv.DictReader(saved.splitlines()))["took_place_at"][:10]
        days = f"from={day}&to={day}"
    page.goto(f"/analytics?{days}")
    charts = page.locator("figure[data-chart]")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        expect(chart).to_have_attribute("data-drawn", re.compile(r"\d"))
        colours = chart.evaluate(COLOURS)
        assert len({stroke for stroke, _ in colours}) == len(colours)
        assert sum(is_drawn for _, is_drawn in colours) >= len(colours) / 2  # some lie on others


def test_a_filter_is_kept_in_the_address_and_a_number_leads_to_its_calls(page: Page) -> None:
    page.goto("/analytics")
    page.locator("select[name=agent]").select_option("Ann Abbot")
    page.locator("summary", has_text="All").click()
    page.get_by_role("checkbox", name="Vodafone").check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile(r"/analytics\?agent=Ann\+Abbot&competitor=Vodafone$"))
    page.get_by_role("link", name="Positive").click()
    page.wait_for_url(re.compile(r"agent=Ann\+Abbot&competitor=Vodafone&sort=positive"))
    page.reload()
    expect(page.locator("select[name=agent]")).to_have_value("Ann Abbot")
    link = page.locator("table:has-text('By agent') tbody a[data-counts=calls]").first
    count, target = int(link.inner_text()), link.get_attribute("href") or ""
    assert rows(page, "calls", target) == count > 0
    quote = page.locator(".quotes .said a").first
    assert re.fullmatch(r"/calls/[\w-]+\?t=\d+\.\d", quote.get_attribute("href") or "")


def test_words_are_found_more_of_them_appended_and_saved(page: Page) -> None:
    page.goto("/search")
    page.get_by_label("Words that were said").fill("price or call")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?words=price\+or\+call$"))
    expect(page.locator("#hits mark").first).to_have_text(re.compile("price|call"))
    hits = page.locator("#hits .said")
    expect(hits).to_have_count(20)
    page.get_by_role("button", name="More places").click()
    total = int(page.locator("[role=status] strong").inner_text())
    expect(hits).to_have_count(min(40, total))
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    assert saved.value.suggested_filename == "segments.csv"
    text = Path(saved.value.path()).read_text()
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
        if not path.startswith("/calls"):  # whose stream never ends
            page.wait_for_load_state("networkidle")
        if AXE.exists():
            page.evaluate(AXE.read_text())
            assert page.evaluate(FAULTS) == []
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{width}.png", full_page=True)
        if width == 390:
            wide = "(main) => main.scrollWidth - main.clientWidth"
            assert page.locator("main").evaluate(wide) <= 0
