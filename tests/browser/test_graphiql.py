"""GraphiQL under its Content-Security-Policy and without other hosts."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, WebSocket, expect

from tests.support.browser import PageLog
from tests.support.server import TOKEN, Server, running

SESSION = {"mac": "AA:BB:CC:DD:EE:01", "ip": "192.0.2.1", "start_time": "2025-08-20T10:00:00"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one session."""
    with running(tmp_path_factory.mktemp("graphiql")) as server:
        create_session(server, **SESSION)
        yield server


def create_session(server: Server, **values: str) -> None:
    with server.client() as client:
        assert client.post("/sessions/create", json=values).status_code == 200


@pytest.fixture
def graphiql(page: Page, server: Server) -> Page:
    """GraphiQL, with a token stored by another page."""
    page.add_init_script(f"sessionStorage.setItem('netsessions.token', '{TOKEN}')")
    page.goto(f"{server.url}/graphiql")
    return page


def write(page: Page, name: str, operation: str) -> None:
    """Replace the editor's text with an operation of this name, and wait until GraphiQL has parsed it."""
    page.locator(".graphiql-query-editor .view-lines").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(operation)
    # GraphiQL shows the name in its tab once it has parsed the operation. Before, it would send a subscription as a query.
    expect(page.get_by_role("tab")).to_contain_text(name)


def run_operation(page: Page) -> None:
    expect(page.locator(".graphiql-query-editor .view-lines")).not_to_be_empty()
    page.get_by_role("button", name="Execute query").click()


def test_graphiql_asks_for_a_valid_token_before_it_sends_queries(page: Page, page_log: PageLog, server: Server) -> None:
    """An invalid token is not stored; a valid one is stored for the tab."""
    page.goto(f"{server.url}/graphiql")
    expect(page.locator(".graphiql-container")).to_have_count(0)
    page.get_by_label("Token").fill("a-wrong-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("header").get_by_role("alert")).to_have_text("The server rejected this token.")
    page_log.expect_error(page, "status of 401")
    assert page.evaluate("sessionStorage.getItem('netsessions.token')") is None

    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    run_operation(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"mac": "AA:BB:CC:DD:EE:01"')
    expect(page.get_by_label("Token")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Execute query")).to_be_visible()
    expect(page.get_by_label("Token")).to_have_count(0)


def test_graphiql_asks_for_another_token_if_the_stored_one_is_rejected(
    page: Page, page_log: PageLog, server: Server
) -> None:
    page.add_init_script(
        "sessionStorage.setItem('netsessions.token', sessionStorage.getItem('netsessions.token') ?? 'an-old-token')"
    )
    page.goto(f"{server.url}/graphiql")
    expect(page.locator("header").get_by_role("alert")).to_have_text("The server rejected this token.")
    page_log.expect_error(page, "status of 401")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Token")).to_have_count(0)
    run_operation(page)
    expect(page.locator(".graphiql-response")).to_contain_text("totalCount")


def test_graphiql_shows_the_documentation_of_the_schema(graphiql: Page) -> None:
    graphiql.get_by_role("button", name="Show Documentation Explorer").click()
    docs = graphiql.locator(".graphiql-doc-explorer")
    docs.get_by_text("Query", exact=True).click()
    expect(docs).to_contain_text("presence")


def test_graphiql_shows_the_events_of_a_subscription(graphiql: Page, server: Server) -> None:
    """The subscription uses a WebSocket and the tab's token."""
    sockets: list[WebSocket] = []
    frames: list[str] = []

    def record_frames(socket: WebSocket) -> None:
        sockets.append(socket)
        socket.on("framesent", lambda payload: frames.append(str(payload)))

    graphiql.on("websocket", record_frames)
    write(graphiql, "Watching", "subscription Watching { sessionChanges { kind mac } }")
    run_operation(graphiql)
    response = graphiql.locator(".graphiql-response")
    # Sessions from before the start of the subscription do not appear: create more until one does.
    for n in range(100):
        create_session(server, **SESSION | {"mac": f"AA:BB:CC:DD:EF:{n:02X}"})
        try:
            expect(response).to_contain_text("CREATED", timeout=1000)
            break
        except AssertionError:
            continue
    expect(response).to_contain_text("AA:BB:CC:DD:EF:")
    assert [socket.url for socket in sockets] == [f"ws://127.0.0.1:{server.port}/graphql"]
    assert any('"subscribe"' in frame for frame in frames)


def test_graphiql_keeps_a_history_of_queries(graphiql: Page) -> None:
    """The history survives a reload."""
    write(graphiql, "Kept", "query Kept { sessions(first: 1) { totalCount } }")
    run_operation(graphiql)
    expect(graphiql.locator(".graphiql-response")).to_contain_text("totalCount")
    graphiql.reload()
    graphiql.get_by_role("button", name="Show History").click()
    expect(graphiql.locator(".graphiql-history")).to_contain_text("Kept")


def test_graphiql_links_to_the_pages(graphiql: Page, server: Server) -> None:
    graphiql.get_by_role("link", name="netsessions").click()
    graphiql.wait_for_url(f"{server.url}/")
