"""The Presence page: the timeline, its filters, and its use with pointer and keyboard."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.pages import (
    EN_DASH,
    ZONE,
    device_row,
    execute,
    parse_minutes,
    point_of,
    sign_in,
    visible_range,
    wait_for_timeline,
)
from tests.support.browser import wait_for
from tests.support.server import Server


def test_timeline_has_a_row_per_device_and_a_tooltip_for_the_session_under_the_pointer(
    page: Page, demo_server: Server
) -> None:
    """The axis shows the server's time zone."""
    sign_in(page, demo_server.url)
    expect(page.locator(".device-count")).to_have_text("50 devices")
    expect(page.locator(".zone")).to_have_text("Times in Europe/Berlin")
    session = find_long_session(demo_server)
    page.get_by_label("Search devices").fill(session["mac"])
    expect(page.locator(".device-count")).to_have_text("1 device")
    page.mouse.move(*point_of(page, session["device"]["name"], middle(session)))
    tooltip = page.locator(".tooltip")
    expect(tooltip).to_contain_text(session["device"]["name"])
    expect(tooltip).to_contain_text(f"Connection{wall_clock(session['connectedAt'])}")
    expect(tooltip).to_contain_text(f"Disconnection{wall_clock(session['disconnectedAt'])}")
    expect(tooltip).to_contain_text(f"IP{session['ip']}")
    page.mouse.click(*point_of(page, session["device"]["name"], middle(session)))
    expect(page.get_by_role("heading", level=1)).to_have_text(session["device"]["name"])
    assert page.url == f"{demo_server.url}/devices/{session['mac']}"


def find_long_session(server: Server) -> Any:
    """Return a recent session that is long enough to point at."""
    sessions = execute(
        server,
        "{ sessions(first: 500, filter: {states: [COMPLETE]}) { nodes { mac ip connectedAt disconnectedAt durationSeconds"
        " device { name } } } }",
    )["sessions"]["nodes"]
    earliest = datetime.now(UTC) - timedelta(days=6)
    return next(
        session
        for session in sessions
        if session["durationSeconds"] > 4 * 3600 and datetime.fromisoformat(session["connectedAt"]) > earliest
    )


def middle(session: Any) -> datetime:
    start, end = (datetime.fromisoformat(session[name]) for name in ("connectedAt", "disconnectedAt"))
    return start + (end - start) / 2


def wall_clock(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(ZONE).strftime("%Y-%m-%d %H:%M")


def test_keyboard_moves_through_rows_and_sessions_and_announces_them(page: Page, demo_server: Server) -> None:
    sign_in(page, demo_server.url)
    wait_for_timeline(page)
    page.locator(".device-list a").first.focus()
    for n in (1, 2, 3):
        page.keyboard.press("ArrowDown")
        expect(page.locator(f".device-list a[data-row='{n}']")).to_be_focused()
    expect(device_row(page, "Ada's phone")).to_be_focused()
    page.keyboard.press("ArrowRight")
    announcement = page.locator("[aria-live=polite]")
    expect(announcement).to_contain_text("Connection: ")
    first = announcement.inner_text()
    page.keyboard.press("ArrowRight")
    expect(announcement).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(announcement).to_have_text(first)
    page.keyboard.press("End")
    expect(page.locator(".device-list a[data-row='49']")).to_be_focused()
    name = page.locator(".device-list a[data-row='49'] .name").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_timeline_can_be_dragged_and_zoomed_and_keeps_its_view_after_a_reload(page: Page, demo_server: Server) -> None:
    sign_in(page, demo_server.url)
    box = wait_for_timeline(page).bounding_box()
    assert box is not None
    summary = page.locator(".summary")
    before = summary.inner_text()
    start, end = visible_range(page)
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 200, steps=5)
    page.mouse.up()
    # On a slow machine, the page also shows the view between two steps of the movement.
    dragged_start = start - (end - start) * 400 / box["width"]
    wait_for(page, lambda: abs(visible_range(page)[0] - dragged_start) < timedelta(minutes=10))
    dragged = summary.inner_text()
    assert dragged < before, "dragging to the right shows earlier days"
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(summary).not_to_have_text(dragged)
    zoomed = summary.inner_text()
    page.wait_for_url(re.compile("from="))
    page.reload()
    wait_for_timeline(page)
    expect(summary).to_have_text(zoomed)
    page.get_by_role("button", name="Now").click()
    page.wait_for_url(re.compile(r"/\?span="))
    expect(summary).not_to_have_text(zoomed)
    assert summary.inner_text() > zoomed


def test_time_span_can_be_an_hour_to_a_year(page: Page, demo_server: Server) -> None:
    sign_in(page, demo_server.url)
    for name, hours in (("Hour", 1), ("Year", 8784), ("Month", 744), ("Day", 24), ("Week", 168)):
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_url(f"**/?span={hours}")
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
        wait_for_timeline(page)


def test_devices_are_searched_filtered_and_ordered(page: Page, demo_server: Server) -> None:
    sign_in(page, demo_server.url)
    page.get_by_label("Search devices").fill("ada")
    expect(page.locator(".device-count")).to_have_text("10 devices")
    page.wait_for_url("**/?search=ada")
    page.get_by_role("button", name="disconnection missed").click()
    page.wait_for_url(re.compile("states=MISSING_DISCONNECTION"))
    missed = execute(
        demo_server,
        "query ($f: DateTime) { sessions(first: 1000, filter: {states: [MISSING_DISCONNECTION], overlaps: {from: $f}})"
        " { nodes { device { name } } } }",
        f=(datetime.now(UTC) - timedelta(days=6.79)).isoformat(),
    )["sessions"]["nodes"]
    names = {session["device"]["name"] for session in missed if session["device"]["name"].startswith("Ada")}
    assert names
    expect(page.locator(".device-list .name")).to_have_text(sorted(names))
    page.get_by_role("button", name="disconnection missed").click()
    expect(page.locator(".device-list .name")).to_have_count(10)
    page.get_by_label("Order").select_option(label="by time online")
    page.wait_for_url(re.compile("order=online"))
    expect(page.locator(".device-list .name").first).not_to_have_text("Ada's camera")
    minutes = [parse_minutes(text) for text in page.locator(".device-list .online-time").all_inner_texts()]
    assert minutes == sorted(minutes, reverse=True)
    page.reload()
    expect(page.get_by_label("Search devices")).to_have_value("ada")
    expect(page.locator(".device-count")).to_have_text("10 devices")


def test_time_online_of_a_past_day_equals_the_servers(page: Page, demo_server: Server) -> None:
    """Sessions outside the day are loaded, but do not count."""
    day = (datetime.now(ZONE).date() - timedelta(days=3)).isoformat()
    query = "query ($d: Date!, $m: [MAC!]) { presence(start: $d, end: $d, macs: $m) { start end onlineSeconds } }"
    devices = execute(demo_server, '{ devices(search: "phone") { nodes { mac name } } }')["devices"]["nodes"]
    bucket = execute(demo_server, query, d=day)["presence"][0]
    sign_in(page, f"{demo_server.url}/?search=phone&from={bucket['start']}&to={bucket['end']}")
    wait_for_timeline(page)
    for device in devices:
        seconds = execute(demo_server, query, d=day, m=[device["mac"]])["presence"][0]["onlineSeconds"]
        shown = device_row(page, device["name"]).locator(".online-time").inner_text()
        assert (parse_minutes(shown) if shown != EN_DASH else 0) == int(seconds // 60), device


def test_keyboard_focus_stays_on_the_device_when_rows_move(page: Page, writable_server: Server) -> None:
    """Announcements name the device."""
    sign_in(page, f"{writable_server.url}/?order=seen")
    wait_for_timeline(page)
    page.locator(".device-list a").nth(2).focus()
    name = page.locator(".device-list a:focus .name").inner_text()
    before = page.locator(".device-list a:focus").get_attribute("data-row")
    execute(writable_server, 'mutation { startSession(mac: "00:00:00:00:00:01", ip: "192.0.2.7") { message } }')
    execute(writable_server, 'mutation { updateDevice(mac: "00:00:00:00:00:01", name: "A guest") { mac } }')
    execute(writable_server, 'mutation { heartbeat(devices: [{mac: "00:00:00:00:00:01", ip: "192.0.2.7"}]) { seen } }')
    execute(writable_server, 'mutation { startSession(mac: "00:00:00:00:00:02", ip: "192.0.2.8") { message } }')
    expect(page.locator(".device-count")).to_have_text("52 devices")
    expect(page.locator(".device-list a:focus")).not_to_have_attribute("data-row", before or "")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[aria-live=polite]")).to_contain_text(f"{name}, ")
