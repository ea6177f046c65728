"""A real browser for tests of pages. It records requests to other hosts and errors in the console.

Playwright's synchronous API keeps an event loop running in the thread of the test: `asyncio.run` does not work there.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, WebSocketRoute, expect, sync_playwright

TIMEOUT_SECONDS = 30.0  # long enough for a busy machine
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OWN_HOSTS = ("127.0.0.1", "localhost", None)  # None: URLs without a host, such as data:

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


@dataclass
class PageLog:
    """Requests and errors of a page that no page should have."""

    foreign_requests: list[str] = field(default_factory=list)  # URLs of other hosts
    errors: list[str] = field(default_factory=list)  # console errors and uncaught exceptions

    def expect_error(self, page: Page, pattern: str) -> None:
        """Wait for an error that matches the pattern, and remove all that do."""

        def matches() -> list[str]:
            return [error for error in self.errors if re.search(pattern, error)]

        wait_for(page, matches)
        expected = matches()
        self.errors[:] = [error for error in self.errors if error not in expected]


def wait_for(page: Page, condition: Callable[[], object]) -> None:
    """Handle the page's events until the condition is true. Fails after a timeout."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        page.wait_for_timeout(20)


def _find_chromium(bundled: str) -> str:
    """Return the path of Chromium. Without one, fail in CI and skip the test elsewhere."""
    for path in (os.environ.get("CHROMIUM"), "/usr/bin/chromium", bundled):
        if path and Path(path).exists():
            return path
    reason = "Chromium is missing: install Debian's package chromium, or set CHROMIUM to its path"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """Launch a browser with an empty profile."""
    with sync_playwright() as playwright:
        program = _find_chromium(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser, page_log: PageLog) -> Iterator[Page]:
    """Open an empty page in a new browser context. Fails at the end if the log is not empty."""

    def route_request(route: Route) -> None:
        if urlsplit(route.request.url).hostname in OWN_HOSTS:
            route.fallback()
        else:
            page_log.foreign_requests.append(route.request.url)
            route.abort()

    def block_socket(socket: WebSocketRoute) -> None:
        page_log.foreign_requests.append(socket.url)
        socket.close()

    def log_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            page_log.errors.append(f"{message.text} ({message.location['url']})")

    # The browser's time zone differs from the server's: pages must show the server's.
    context = browser.new_context(service_workers="block", timezone_id="America/New_York", locale="de-DE")
    try:
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        context.route("**/*", route_request)
        context.route_web_socket(re.compile(r"^wss?://(?!127\.0\.0\.1[:/]|localhost[:/])"), block_socket)
        context.on("console", log_error)
        context.on("weberror", lambda error: page_log.errors.append(str(error.error)))
        yield context.new_page()
    finally:
        context.close()
    assert page_log == PageLog(), page_log
