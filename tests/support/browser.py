"""A real browser for tests of pages; whatever it asks of another host, and whatever it complains of, is written down.

Playwright's synchronous interface keeps an event loop in the thread of its test: there, nothing else can be `asyncio.run`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, WebSocketRoute, expect, sync_playwright

SECONDS = 30.0  # for what takes a moment on a machine that does other things, too
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
OWN = ("127.0.0.1", "localhost", None)  # None has what is no address of a host, as data: is none

expect.set_options(timeout=SECONDS * 1000)


@dataclass
class Seen:
    """What a page must not do, as far as it did."""

    foreign: list[str] = field(default_factory=list)  # addresses at other hosts that it asked for
    errors: list[str] = field(default_factory=list)  # what it wrote to the console as an error, or threw

    def expected(self, pattern: str) -> None:
        """Of the errors so far, takes those that belong to the test; there must be one."""
        others = [error for error in self.errors if not re.search(pattern, error)]
        assert len(others) < len(self.errors), f"no error is like {pattern}: {self.errors}"
        self.errors[:] = others


def _program(own: str) -> str:
    """Where Chromium is; the test is skipped where it is nowhere, and fails if it was promised."""
    for path in (os.environ.get("CHROMIUM"), "/usr/bin/chromium", own):
        if path and Path(path).exists():
            return path
    reason = "there is no Chromium: install Debian's chromium, or name another in CHROMIUM"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser of its own, with a profile of its own."""
    with sync_playwright() as playwright:
        program = _program(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, seen: Seen) -> Iterator[Page]:
    """An empty page that nobody has visited anything with; asserts at its end that there was nothing to complain of."""

    def routed(route: Route) -> None:
        if urlsplit(route.request.url).hostname in OWN:
            route.fallback()
        else:
            seen.foreign.append(route.request.url)
            route.abort()

    def refused(socket: WebSocketRoute) -> None:
        seen.foreign.append(socket.url)
        socket.close()

    def told(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.errors.append(f"{message.text} ({message.location['url']})")

    # Elsewhere than the tests' servers: what a page shows must be of the server's zone.
    context = browser.new_context(service_workers="block", timezone_id="America/New_York", locale="de-DE")
    try:
        context.set_default_timeout(SECONDS * 1000)
        context.route("**/*", routed)
        context.route_web_socket(re.compile(r"^wss?://(?!127\.0\.0\.1[:/]|localhost[:/])"), refused)
        context.on("console", told)
        context.on("weberror", lambda error: seen.errors.append(str(error.error)))
        yield context.new_page()
    finally:
        context.close()
    assert seen == Seen(), seen
