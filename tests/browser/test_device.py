"""The Device page."""

import re
from datetime import datetime, timedelta

from playwright.sync_api import Page, expect

from tests.browser.pages import ZONE, execute, sign_in
from tests.support.server import Server


def test_device_can_be_renamed_and_its_sessions_are_paginated(page: Page, writable_server: Server) -> None:
    mac = execute(writable_server, '{ devices(first: 1, search: "phone") { nodes { mac } } }')["devices"]["nodes"][0][
        "mac"
    ]
    count = execute(writable_server, "query ($m: [MAC!]) { sessions(filter: {macs: $m}) { totalCount } }", m=[mac])[
        "sessions"
    ]["totalCount"]
    assert count > 50
    sign_in(page, f"{writable_server.url}/devices/{mac}")
    expect(page.get_by_role("heading", name=f"{count} sessions")).to_be_visible()
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("Lobby <b>phone</b>")
    page.get_by_label("Owner").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lobby <b>phone</b>")
    assert execute(writable_server, "query ($m: MAC!) { device(mac: $m) { name owner } }", m=mac)["device"] == {
        "name": "Lobby <b>phone</b>",
        "owner": None,
    }
    times = page.locator("td[data-label=Connection]")
    expect(times).to_have_count(50)
    first = times.first.inner_text()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(re.compile("after="))
    expect(times).to_have_count(min(count - 50, 50))
    page.reload()
    expect(times).to_have_count(min(count - 50, 50))
    page.get_by_role("link", name="Back").click()
    expect(times.first).to_have_text(first)


def test_renaming_keeps_a_concurrent_change_of_the_owner(page: Page, writable_server: Server) -> None:
    device = execute(writable_server, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    sign_in(page, f"{writable_server.url}/devices/{device['mac'].lower()}")
    page.get_by_role("button", name="Edit name and owner").click()
    execute(
        writable_server, 'mutation ($m: MAC!) { updateDevice(mac: $m, owner: "Somebody") { mac } }', m=device["mac"]
    )
    page.get_by_label("Name").fill("Another")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another")
    expect(page.locator(".facts")).to_contain_text("Somebody")


def test_rejected_name_shows_the_error_and_changes_nothing(page: Page, writable_server: Server) -> None:
    device = execute(writable_server, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    sign_in(page, f"{writable_server.url}/devices/{device['mac']}")
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("x" * 1000)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("name")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(device["name"])


def test_hours_per_day_equal_the_servers(page: Page, demo_server: Server) -> None:
    mac = execute(demo_server, "{ devices(first: 1) { nodes { mac } } }")["devices"]["nodes"][0]["mac"]
    yesterday = (datetime.now(ZONE).date() - timedelta(days=1)).isoformat()
    seconds = execute(
        demo_server,
        "query ($m: [MAC!], $d: Date!) { presence(start: $d, end: $d, macs: $m) { onlineSeconds } }",
        m=[mac],
        d=yesterday,
    )["presence"][0]["onlineSeconds"]
    sign_in(page, f"{demo_server.url}/devices/{mac}?days=7")
    bars = page.locator(".plot title")
    expect(bars).to_have_count(7)
    expect(bars.nth(5)).to_have_text(f"{yesterday}: {seconds / 3600:.1f}".removesuffix(".0") + " h")


def test_unknown_device_is_reported(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/devices/AA:BB:CC:00:00:00")
    expect(page.get_by_text("There is no device with the MAC address AA:BB:CC:00:00:00")).to_be_visible()
