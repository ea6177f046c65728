"""The Events page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import execute, sign_in
from tests.support.server import Server


@pytest.mark.parametrize(
    ("key", "label"),
    [("all", "All"), ("sessions", "Sessions"), ("missing", "Missing"), ("voided", "Voided"), ("down", "Down")],
)
def test_number_of_events_equals_the_total(page: Page, demo_server: Server, key: str, label: str) -> None:
    def fetch_total() -> int:
        query = '{ sessionTotals(period: "30 days") { all sessions missing voided new down } }'
        total: int = execute(demo_server, query)["sessionTotals"][key]
        return total

    before = fetch_total()
    sign_in(page, f"{demo_server.url}/events?period=30+days")
    link = page.get_by_role("navigation", name="Event types").get_by_role("link", name=label)
    link.click()
    expect(link).to_have_attribute("aria-current", "page")
    rows = page.get_by_role("status").filter(has_text="row")
    expect(link).to_contain_text(re.compile(r"\d"))
    rows.wait_for()
    # The period ends now: while the page loads, the oldest events may leave it.
    texts = [f"{total:,}" for total in range(fetch_total(), before + 1)]
    assert link.inner_text().split()[0] in texts
    assert rows.inner_text().removesuffix(" rows") in texts


def test_every_device_is_new_once(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/events?period=30+days")
    page.get_by_label("Last").select_option("10 years")
    page.get_by_role("navigation", name="Event types").get_by_role("link", name="New devices").click()
    expect(page.get_by_role("status").filter(has_text="row")).to_have_text("50 rows")


def test_events_are_searched_sorted_and_paged_by_the_server(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/events?period=90+days")
    page.get_by_label("Search events").fill("chloe's phone")
    page.wait_for_url(re.compile("search="))
    devices = page.locator("td[data-label=Device]")
    expect(devices).to_have_text(["Chloe's phone"] * 50)
    page.get_by_label("Search events").fill("")
    page.wait_for_url(re.compile(r"^(?!.*search=)"))
    page.get_by_role("link", name="Owner").click()
    expect(page.get_by_role("columnheader", name="Owner")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("td[data-label=Owner]").first).to_have_text("Ada")
    page.get_by_role("link", name="Owner").click()
    expect(page.locator("td[data-label=Owner]").first).to_have_text("Household")
    times = page.locator("td[data-label=Time]")
    first = times.first.inner_text()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(re.compile("after="))
    expect(times.first).not_to_have_text(first)
    second = times.first.inner_text()
    page.reload()
    expect(times.first).to_have_text(second)
    page.get_by_role("link", name="Back").click()
    expect(times.first).to_have_text(first)


def test_invalid_period_shows_the_servers_error(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/events?period=a+fortnight")
    expect(page.get_by_role("alert")).to_contain_text("period")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
