"""The Calendar page."""

from datetime import datetime, timedelta

from playwright.sync_api import Page, expect

from tests.browser.pages import EN_DASH, ZONE, execute, sign_in, wait_for_timeline
from tests.support.server import Server


def test_calendar_day_shows_devices_and_hours_and_opens_the_timeline(page: Page, demo_server: Server) -> None:
    yesterday = datetime.now(ZONE).date() - timedelta(days=1)
    day = yesterday.isoformat()
    result = execute(
        demo_server, "query ($d: Date!) { presence(start: $d, end: $d) { devices onlineSeconds start end } }", d=day
    )
    bucket = result["presence"][0]
    sign_in(page, f"{demo_server.url}/calendar?month={day[:7]}")
    cell = page.locator("a.day").filter(has=page.locator(f"time[datetime='{day}']"))
    expect(cell).to_contain_text(f"{bucket['devices']} devices")
    # JavaScript rounds halves up, Python to even numbers.
    expect(cell).to_contain_text(f"{int(bucket['onlineSeconds'] / 3600 + 0.5):,} h")
    cell.click()
    expect(page.locator(".summary")).to_have_text(f"{day} 00:00 {EN_DASH} {yesterday + timedelta(days=1)} 00:00")
    wait_for_timeline(page)


def test_calendar_has_links_to_other_months_and_can_show_one_device(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/calendar?month=2026-01")
    expect(page.get_by_role("heading", level=1)).to_have_text("January 2026")
    page.get_by_role("link", name="Previous month").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("December 2025")
    expect(page.locator(".day time")).to_have_count(31)
    device = execute(demo_server, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    page.goto(f"{demo_server.url}/calendar?mac={device['mac']}")
    expect(page.get_by_role("link", name=device["name"])).to_be_visible()
    expect(page.locator(".day").first).not_to_contain_text("devices")
