"""A page in Debian's Chromium that notes whatever it should not do."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.e2e.installation import ROOT

OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
]
SCREENSHOTS = ROOT / "tests" / "screenshots"
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
NOTE_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation",
        (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page, what its console said, and which requests left this machine."""

    page: Page
    said: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def note(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.elsewhere.append(request.url)

    def check(self) -> None:
        """That nothing went wrong which nobody sees."""
        assert self.said == []
        assert self.elsewhere == []

    def until(self, expression: str, within_s: float = 10) -> None:
        """Wait until an expression of JavaScript is true.

        Playwright's own way evaluates a text inside the page, which our policy forbids.
        """
        end = time.monotonic() + within_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {within_s} s: {expression}"
            self.page.wait_for_timeout(30)

    def faults(self) -> list[str]:
        """The serious faults of accessibility that axe-core finds.

        It breaks our policy by itself: `check` comes before it.
        """
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = (each for each in found["violations"] if each["impact"] in SERIOUS)
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious]

    def keep(self, name: str) -> None:
        """A screenshot, to be looked at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, since no browser can be downloaded here."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    if not Path(AXE).exists():
        pytest.skip("the pages' libraries are missing: make callpipeline/web/static/vendor/built")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, address: str, **how: Any) -> Iterator[Watched]:
    """A page of its own, without what others left in the browser."""
    context = browser.new_context(base_url=address, **how)
    context.add_init_script(NOTE_VIOLATIONS)
    page = context.new_page()
    page.set_default_timeout(10_000)
    watch = Watched(page)
    page.on("console", watch.listen)
    page.on("pageerror", lambda error: watch.said.append(str(error)))
    page.on("request", watch.note)
    yield watch
    context.close()
