"""Pages in Debian's Chromium that record console errors and external requests."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

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
REPORT_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation",
        (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""

RECORD_SEEKS = """
    document.addEventListener("seeking",
        ({ target }) => { target.dataset.sought = target.currentTime; }, { capture: true });
"""
AUDIO = "document.getElementById('audio')"


@dataclass
class WatchedPage:
    """A page with its console errors and its requests to other hosts."""

    page: Page
    console_errors: list[str] = field(default_factory=list)
    external_requests: list[str] = field(default_factory=list)

    def record_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console_errors.append(message.text)

    def record_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.external_requests.append(request.url)

    def check(self) -> None:
        """Assert that there were no console errors and no external requests."""
        assert self.console_errors == []
        assert self.external_requests == []

    def until(self, expression: str, within_s: float = 60) -> None:
        """Wait until a JavaScript expression is true.

        Playwright's `wait_for_function` evaluates a string, which the page's policy forbids.
        """
        end = time.monotonic() + within_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {within_s} s: {expression}"
            self.page.wait_for_timeout(30)

    def until_position(self, second: float) -> None:
        """Wait until the audio is at a position, or was moved there: it may play on meanwhile."""
        positions = f"[{AUDIO}?.currentTime, Number({AUDIO}?.dataset.sought)]"
        self.until(f"{positions}.some((at) => Math.abs(at - {second}) < 0.3)")

    def accessibility_issues(self) -> list[str]:
        """Return the serious issues that axe-core finds.

        axe-core violates the page's policy: call `check` first.
        """
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = (each for each in found["violations"] if each["impact"] in SERIOUS)
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious]

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


SERIOUS = ("serious", "critical")
TIMEOUT_MS = 60_000
expect.set_options(timeout=TIMEOUT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium, since no browser can be downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if not Path(AXE).exists():
        pytest.skip("the frontend is not built: make callpipeline/web/static/vendor/built")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, address: str, **options: Any) -> Iterator[WatchedPage]:
    """Open a page in a new browser context."""
    context = browser.new_context(base_url=address, **options)
    context.add_init_script(REPORT_VIOLATIONS)
    context.add_init_script(RECORD_SEEKS)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    watch = WatchedPage(page)
    page.on("console", watch.record_message)
    page.on("pageerror", lambda error: watch.console_errors.append(str(error)))
    page.on("request", watch.record_request)
    yield watch
    context.close()
