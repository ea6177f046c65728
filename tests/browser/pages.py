"""Helpers for tests of the pages: demo data, sign-in, the timeline and screenshots."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Locator, Page

from tests.support.server import TOKEN, Server, running

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
ZONE = ZoneInfo("Europe/Berlin")
EN_DASH = "\N{EN DASH}"


def import_demo_data(folder: Path) -> None:
    """Fill the database of a `Server` in this folder with the demo network: 50 devices."""
    settings = os.environ | {"DATABASE_URL": f"sqlite:///{folder / 'netsessions.db'}"}
    subprocess.run([sys.executable, "-m", "netsessions", "demo"], env=settings, check=True, capture_output=True)


@contextmanager
def run_server(page: Page, folder: Path) -> Iterator[Server]:
    """Run a server for one page. The page leaves it before it stops, or the lost connection would be logged as an error."""
    with running(folder, TIMEZONE=ZONE.key) as server:
        yield server
        page.goto("about:blank")


def execute(server: Server, query: str, **variables: Any) -> Any:
    """Execute a GraphQL operation, and return its data."""
    with server.client() as client:
        result = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in result, result
    return result["data"]


def sign_in(page: Page, url: str) -> Page:
    """Open a page with a stored token."""
    # about:blank has the origin null and no storage.
    page.add_init_script(f"if (origin !== 'null') sessionStorage.setItem('netsessions.token', '{TOKEN}')")
    page.goto(url)
    return page


def save_screenshot(page: Page, name: str) -> None:
    """Save a picture of the page in build/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def device_row(page: Page, name: str) -> Locator:
    """Return a device's row in the list next to the timeline."""
    return page.locator(".device-list a").filter(has_text=re.compile(rf"^{re.escape(name)}\b"))


def wait_for_timeline(page: Page, sessions: int | None = None) -> Locator:
    """Wait until the timeline is drawn, with this number of sessions if one is given. Return its canvas."""
    attribute = "data-drawn-sessions" if sessions is None else f"data-drawn-sessions='{sessions}'"
    canvas = page.locator(f"canvas[{attribute}]")
    canvas.wait_for()
    return canvas


def visible_range(page: Page) -> tuple[datetime, datetime]:
    """Return the timeline's range of time as the page shows it, in minutes."""
    text = page.locator(".summary").inner_text()
    start, end = (datetime.strptime(part, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE) for part in text.split(f" {EN_DASH} "))
    return start, end


def point_of(page: Page, name: str, instant: datetime) -> tuple[float, float]:
    """Return the coordinates of an instant in a device's row of the timeline."""
    box = wait_for_timeline(page).bounding_box()
    row_box = device_row(page, name).bounding_box()
    assert box is not None
    assert row_box is not None
    start, end = visible_range(page)
    return box["x"] + (instant - start) / (end - start) * box["width"], row_box["y"] + row_box["height"] / 2


def parse_minutes(text: str) -> int:
    """Return the minutes of a duration such as 1d 2h 3m."""
    units = {"d": 1440, "h": 60, "m": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhm])", text))
