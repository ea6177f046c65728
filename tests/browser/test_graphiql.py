"""GraphiQL and the description of the REST door in a browser, under their policies and with nothing from outside."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Seen
from tests.support.server import TOKEN, Server, running

SESSION = {"mac": "AA:BB:CC:DD:EE:01", "ip": "192.0.2.1", "start_time": "2025-08-20T10:00:00"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with a session to show."""
    with running(tmp_path_factory.mktemp("graphiql")) as started:
        create(started, **SESSION)
        yield started


def create(server: Server, **session: str) -> None:
    with server.client() as client:
        assert client.post("/sessions/create", json=session).status_code == 200


@pytest.fixture
def graphiql(page: Page, server: Server) -> Page:
    """GraphiQL of who has signed in on another page."""
    page.add_init_script(f"sessionStorage.setItem('netsessions.token', '{TOKEN}')")
    page.goto(f"{server.url}/graphiql")
    return page


def write(page: Page, query: str) -> None:
    """In place of what stands in the editor."""
    page.locator(".graphiql-query-editor .view-lines").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(query)


def execute(page: Page) -> None:
    expect(page.locator(".graphiql-query-editor .view-lines")).not_to_be_empty()
    page.get_by_role("button", name="Execute query").click()


def test_graphiql_asks_for_a_token_until_it_is_right_and_then_shows_an_answer(
    page: Page, seen: Seen, server: Server
) -> None:
    """Nothing is asked with a token that was refused; the right one is kept for the tab."""
    page.goto(f"{server.url}/graphiql")
    expect(page.locator(".graphiql-container")).to_have_count(0)
    page.get_by_label("Token").fill("a-wrong-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("header").get_by_role("alert")).to_have_text("The server does not take this token.")
    seen.expected("status of 401")
    assert page.evaluate("sessionStorage.getItem('netsessions.token')") is None

    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    execute(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"mac": "AA:BB:CC:DD:EE:01"')
    expect(page.get_by_label("Token")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Execute query")).to_be_visible()
    expect(page.get_by_label("Token")).to_have_count(0)


def test_graphiql_asks_anew_where_the_token_is_refused_meanwhile(page: Page, seen: Seen, server: Server) -> None:
    """As after the server got another one; with the right one it goes on."""
    page.add_init_script(
        "sessionStorage.setItem('netsessions.token', sessionStorage.getItem('netsessions.token') ?? 'an-old-token')"
    )
    page.goto(f"{server.url}/graphiql")
    expect(page.locator("header").get_by_role("alert")).to_have_text("The server does not take this token.")
    seen.expected("status of 401")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Token")).to_have_count(0)
    execute(page)
    expect(page.locator(".graphiql-response")).to_contain_text("totalCount")


def test_graphiql_documents_the_schema(graphiql: Page) -> None:
    """By what it asked the server for."""
    graphiql.get_by_role("button", name="Show Documentation Explorer").click()
    docs = graphiql.locator(".graphiql-doc-explorer")
    docs.get_by_text("Query", exact=True).click()
    expect(docs).to_contain_text("presence")


def test_graphiql_shows_what_a_subscription_tells(graphiql: Page, server: Server) -> None:
    """Over WebSocket, with the token of the tab."""
    write(graphiql, "subscription Watching { sessionChanges { kind mac } }")
    # Its tab has the operation's name as soon as it knows which one there is; before, it would be sent as a query.
    expect(graphiql.get_by_role("tab")).to_contain_text("Watching")
    with graphiql.expect_websocket() as opening:
        execute(graphiql)
    # The server takes up a subscription before it answers what comes after it.
    socket = opening.value
    socket.wait_for_event("framesent", lambda payload: '"subscribe"' in str(payload))
    assert socket.url == f"ws://127.0.0.1:{server.port}/graphql"
    response = graphiql.locator(".graphiql-response")
    for n in range(100):
        create(server, **SESSION | {"mac": f"AA:BB:CC:DD:EF:{n:02X}"})
        try:
            expect(response).to_contain_text("CREATED", timeout=1000)
            break
        except AssertionError:
            continue
    expect(response).to_contain_text("AA:BB:CC:DD:EF:")


def test_graphiql_keeps_a_history_of_queries(graphiql: Page) -> None:
    """Also over a reload."""
    write(graphiql, "query Kept { sessions(first: 1) { totalCount } }")
    execute(graphiql)
    expect(graphiql.locator(".graphiql-response")).to_contain_text("totalCount")
    graphiql.reload()
    graphiql.get_by_role("button", name="Show History").click()
    expect(graphiql.locator(".graphiql-history")).to_contain_text("Kept")


def test_graphiql_links_to_the_pages(graphiql: Page, server: Server) -> None:
    """Back to the first of them."""
    graphiql.get_by_role("link", name="netsessions").click()
    graphiql.wait_for_url(f"{server.url}/")


def test_the_description_of_rest_is_read_and_tried_under_its_policy(page: Page, server: Server) -> None:
    """With the token, from the page itself."""
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


def test_what_a_page_asks_of_another_host_is_blocked_and_told(page: Page, seen: Seen) -> None:
    """So do the tests above mean what they say."""
    page.set_content('<img src="http://192.0.2.1/image.png">')
    page.evaluate("new Promise((done) => { new WebSocket('ws://192.0.2.1/').onclose = done; })")
    assert seen.foreign == ["http://192.0.2.1/image.png", "ws://192.0.2.1/"]
    seen.foreign.clear()
    seen.expected("ERR_FAILED")
    page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    page.evaluate("console.error('complained')")
    seen.expected("thrown")
    seen.expected("complained")
