"""Sign-in, sign-out and the stored token."""

from datetime import datetime

from playwright.sync_api import Page, expect

from tests.browser.pages import ZONE
from tests.support.browser import PageLog
from tests.support.server import TOKEN, Server


def test_invalid_token_is_rejected_and_valid_token_is_kept_for_the_tab(
    page: Page, page_log: PageLog, demo_server: Server
) -> None:
    page.goto(f"{demo_server.url}/calendar")
    page.get_by_label("Token").fill("a-wrong-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The server rejected this token.")
    page_log.expect_error(page, "status of 401")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Calendar", exact=True)).to_have_attribute("aria-current", "page")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text(str(datetime.now(ZONE).year))
    assert page.evaluate("Object.keys(localStorage)") == []
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_sign_in_on_the_pages_also_signs_in_to_graphiql(page: Page, demo_server: Server) -> None:
    page.goto(demo_server.url)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="GraphiQL").click()
    expect(page.locator(".graphiql-query-editor")).to_contain_text("sessions")
    page.get_by_role("button", name="Execute query").click()
    expect(page.locator(".graphiql-response")).to_contain_text("totalCount")
