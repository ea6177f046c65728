"""The documentation of the REST API, under its Content-Security-Policy."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.server import TOKEN, Server, running

SESSION = {"mac": "AA:BB:CC:DD:EE:01", "ip": "192.0.2.1", "start_time": "2025-08-20T10:00:00"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one session."""
    with running(tmp_path_factory.mktemp("rest_docs")) as server:
        with server.client() as client:
            assert client.post("/sessions/create", json=SESSION).status_code == 200
        yield server


def test_rest_docs_send_requests_with_a_token(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(TOKEN)
    page.locator(".auth-btn-wrapper .authorize").first.click()
    page.locator(".auth-btn-wrapper .btn-done").first.click()
    operation = page.locator(".opblock", has_text="/sessions/list")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("AA:BB:CC:DD:EE:01")
