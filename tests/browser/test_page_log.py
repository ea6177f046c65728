"""The fixtures `page` and `page_log`, on which the other tests rely."""

from playwright.sync_api import Page

from tests.support.browser import PageLog


def test_requests_to_other_hosts_are_blocked_and_logged(page: Page, page_log: PageLog) -> None:
    page.set_content('<img src="http://192.0.2.1/image.png">')
    page.evaluate("new Promise((done) => { new WebSocket('ws://192.0.2.1/').onclose = done; })")
    assert page_log.foreign_requests == ["http://192.0.2.1/image.png", "ws://192.0.2.1/"]
    page_log.foreign_requests.clear()
    page_log.expect_error(page, "ERR_FAILED")


def test_console_errors_and_exceptions_are_logged(page: Page, page_log: PageLog) -> None:
    page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    page.evaluate("console.error('complained')")
    page_log.expect_error(page, "thrown")
    page_log.expect_error(page, "complained")
