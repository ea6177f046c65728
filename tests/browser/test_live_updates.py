"""Updates without a reload, and pages while the server cannot be reached."""

import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.pages import (
    device_row,
    execute,
    import_demo_data,
    run_server,
    save_screenshot,
    sign_in,
    wait_for_timeline,
)
from tests.support.browser import PageLog, wait_for
from tests.support.server import TOKEN, Server, running


def test_created_changed_and_deleted_sessions_appear_without_a_reload(page: Page, writable_server: Server) -> None:
    sign_in(page, f"{writable_server.url}/?search=AA:BB:CC:DD:EE:FF")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_text("No device matches")).to_be_visible()
    with writable_server.client() as client:
        body = {"mac": "AA:BB:CC:DD:EE:FF", "ip": "192.0.2.7", "start_time": datetime.now(UTC).isoformat()}
        assert client.post("/sessions/create", json=body).status_code == 200
    expect(device_row(page, "AA:BB:CC:DD:EE:FF").get_by_label("online")).to_be_attached()
    wait_for_timeline(page, 1)
    execute(writable_server, 'mutation { updateDevice(mac: "AA:BB:CC:DD:EE:FF", name: "A guest") { mac } }')
    execute(writable_server, 'mutation { stopSession(mac: "AA:BB:CC:DD:EE:FF") { message } }')
    expect(device_row(page, "A guest").get_by_label("offline")).to_be_attached()
    execute(writable_server, 'mutation { startSession(mac: "AA:BB:CC:DD:EE:FF", ip: "192.0.2.7") { message } }')
    wait_for_timeline(page, 2)
    execute(writable_server, 'mutation { deleteSessions(mac: "AA:BB:CC:DD:EE:FF") { deleted } }')
    wait_for_timeline(page, 0)


def test_change_before_the_subscription_starts_appears_once_it_has_started(page: Page, writable_server: Server) -> None:
    """The page refetches when it connects."""
    sockets: list[WebSocketRoute] = []  # not connected to the server

    def hold(socket: WebSocketRoute) -> None:
        sockets.append(socket)

    page.route_web_socket(re.compile("/graphql"), hold)
    sign_in(page, f"{writable_server.url}/?search=AA:BB:CC:DD:EE:FF")
    expect(page.get_by_text("No device matches")).to_be_visible()
    execute(writable_server, 'mutation { startSession(mac: "AA:BB:CC:DD:EE:FF", ip: "192.0.2.7") { message } }')
    expect(page.get_by_text("No device matches")).to_be_visible()
    page.route_web_socket(re.compile("/graphql"), lambda socket: socket.connect_to_server() and None)
    wait_for(page, lambda: sockets)
    sockets[0].close(code=1012)
    wait_for_timeline(page, 1)


def test_unavailable_server_removes_neither_data_nor_typed_text(
    page: Page, page_log: PageLog, demo_server: Server
) -> None:
    """The page retries until the server is available."""
    device = execute(demo_server, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    sign_in(page, f"{demo_server.url}/devices/{device['mac']}")
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("Half a na")
    failing = {"status": 503, "json": {"errors": [{"message": "The store cannot be used at the moment."}]}}
    page.route("**/graphql", lambda route: route.fulfill(**failing))
    with demo_server.client() as client:
        body = {
            "mac": "AA:BB:CC:DD:EE:09",
            "ip": "192.0.2.9",
            "start_time": "2020-01-01T00:00:00",
            "end_time": "2020-01-01T01:00:00",
        }
        assert client.post("/sessions/create", json=body).status_code == 200
    expect(page.get_by_role("alert").first).to_contain_text("The store cannot be used at the moment.")
    expect(page.get_by_label("Name")).to_have_value("Half a na")
    page.unroute("**/graphql")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Name")).to_have_value("Half a na")
    with demo_server.client() as client:
        assert client.request("DELETE", "/sessions/delete", json={"mac": "AA:BB:CC:DD:EE:09"}).status_code == 200
    page_log.expect_error(page, "status of 503")


def test_undecodable_path_shows_the_presence_page(page: Page, demo_server: Server) -> None:
    sign_in(page, f"{demo_server.url}/devices/%E0%A4%A")
    wait_for_timeline(page)
    assert page.url == f"{demo_server.url}/"


def test_empty_database_shows_a_command_that_records_a_session(page: Page, tmp_path: Path) -> None:
    with run_server(page, tmp_path) as server:
        sign_in(page, server.url)
        expect(page.get_by_role("heading", name="No sessions yet")).to_be_visible()
        # The label changes back after two seconds, in which a busy machine may not look.
        page.evaluate(
            """() => {
              window.labels = [];
              const button = document.querySelector(".command button");
              new MutationObserver(() => labels.push(button.textContent))
                .observe(button, { childList: true, characterData: true, subtree: true });
            }"""
        )
        page.get_by_role("button", name="Copy").first.click()
        page.wait_for_function("labels.includes('Copied')")
        command = page.locator("pre").first.inner_text().replace("$API_TOKEN", TOKEN).replace("\\\n", " ")
        assert "import" in page.locator("pre").nth(1).inner_text()
        subprocess.run(shlex.split(command), check=True, capture_output=True)
        expect(page.locator(".device-count")).to_have_text("1 device")


def test_import_into_an_empty_database_appears_without_a_reload(page: Page, tmp_path: Path) -> None:
    """Imports are not published to subscribers."""
    with run_server(page, tmp_path) as server:
        sign_in(page, server.url)
        expect(page.get_by_role("heading", name="No sessions yet")).to_be_visible()
        import_demo_data(tmp_path)
        expect(page.locator(".device-count")).to_have_text("50 devices")


def test_page_reconnects_after_the_server_was_stopped(page: Page, page_log: PageLog, tmp_path: Path) -> None:
    import_demo_data(tmp_path)
    with running(tmp_path) as server:
        sign_in(page, f"{server.url}/events")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        server.stop()
        expect(page.get_by_text("Disconnected, reconnecting")).to_be_visible()
        page.get_by_role("link", name="Calendar", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The server is not responding.")
        save_screenshot(page, "away")
        with running(tmp_path, GRAPHQL_PORT=str(server.port)):
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            expect(page.get_by_role("alert")).to_have_count(0)
            expect(page.locator("a.day").first).to_be_visible()
            page.goto("about:blank")
    page_log.expect_error(page, "ERR_CONNECTION_RE|WebSocket")
