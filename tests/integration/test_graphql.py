"""The GraphQL API: its schema, error codes, limits and number of statements."""

from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import schema
from resolvers.context import Context
from schema.http.app import GraphQLApp
from tests.conftest import MAC, Execute, make_client
from tests.support.graphql_sessions import create_session


def test_committed_schema_matches_the_code() -> None:
    """`netsessions schema` prints what schema/schema.graphql contains."""
    committed = Path(schema.__file__).with_name("schema.graphql").read_text(encoding="utf-8")
    assert schema.sdl() == committed


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_server_returns_version_time_zone_and_time(execute: Execute) -> None:
    """The time zone is an IANA name."""
    server = {"version": version("netsessions"), "timeZone": "Europe/Berlin", "now": "2025-08-20T12:00:00Z"}
    assert execute("{ server { version timeZone now } }")["data"] == {"server": server}


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        ("{ sessions { nodes { id mac ip state durationSeconds info } } }", 1),
        ("{ sessions { totalCount nodes { id device { name owner } } } }", 3),
        ("{ sessions { nodes { device { name isConnected firstSeen lastSeen } } } }", 3),
        ('{ sessionCalendar(start: "2025-08-01", end: "2025-08-31") { session { id device { name } } } }', 2),
        ('{ deviceSessions(mac: "AA:BB:CC:DD:EE:00", period: "1 year") { id } }', 1),
        ("{ sessionEvents { nodes { session { device { name } } } } }", 2),
        ('{ sessionEvents(orderBy: NAME, search: "a") { totalCount nodes { session { device { name owner } } } } }', 3),
        ('{ sessionEvents(orderBy: OLDEST, search: "a") { nodes { session { device { name owner } } } } }', 2),
        ("{ sessionEvents(orderBy: IP) { nodes { eventType session { mac ip } } } }", 1),
        ("{ sessionTotals { all down } }", 1),
        ("{ server { version timeZone now } }", 0),
        ('{ presence(start: "2025-08-01", end: "2025-08-31") { start devices } }', 3),
        ("{ devices { nodes { mac name isConnected lastSeen } } }", 2),
        ("{ devices(orderBy: LAST_SEEN) { nodes { mac name isConnected lastSeen } } }", 2),
    ],
)
def test_number_of_statements_does_not_depend_on_the_number_of_rows(
    execute: Execute, context: Context, monkeypatch: pytest.MonkeyPatch, query: str, statements: int
) -> None:
    """Data loaders load the fields of all rows in one statement."""
    for n in range(20):
        create_session(execute, mac=f"AA:BB:CC:DD:EE:{n:02X}", startTime="2025-08-19T10:00", endTime="2025-08-19T11:00")
    executed: list[object] = []
    fetch, stream = context.store.fetch, context.store.stream

    async def counting_fetch(statement: Any, parameters: Any, **options: Any) -> list[Any]:
        executed.append(statement)
        return await fetch(statement, parameters, **options)

    def counting_stream(statement: Any, parameters: Any) -> AsyncGenerator[list[Any], None]:
        executed.append(statement)
        return stream(statement, parameters)

    monkeypatch.setattr(context.store, "fetch", counting_fetch)
    monkeypatch.setattr(context.store, "stream", counting_stream)
    assert "errors" not in execute(query)
    assert len(executed) == statements, executed


@pytest.mark.parametrize(
    "query",
    [
        "{" + " ".join(f"a{n}: __typename" for n in range(31)) + "}",
        "{ __typename" + " __typename" * 100_000 + "}",
    ],
)
def test_too_complex_query_has_its_own_error_code(execute: Execute, query: str) -> None:
    """Too many aliases, and too many tokens."""
    assert execute(query)["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    "query",
    ['{ sessions(after: "x") { totalCount } }', '{ sessions(first: 1, last: 1) { totalCount } }', "{ sessions(first: -1) {"
     " totalCount } }", "{ sessions(first: 10001) { totalCount } }", '{ node(id: "1") { id } }', "{ nope }", "{", "",
     '{ sessionCalendar(start: "2025-08-02", end: "2025-08-01") { start } }', '{ devices(after: "x") { totalCount } }',
     '{ sessionEvents(after: "NEW.1.1.1") { totalCount } }', '{ deviceSessions(mac: "%s", period: "soon") { id } }' % MAC],
)  # fmt: skip
def test_every_invalid_query_has_an_error_code(context: Context, query: str) -> None:
    """A client can tell its own mistakes from failures of the server. No response contains a traceback."""
    response = make_client(GraphQLApp(context)).post("/", json={"query": query})
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Traceback" not in response.text


def test_unexpected_error_is_logged_and_not_returned(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client receives a code, and the log receives the exception."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(context.store), "fetch", fail)
    response = make_client(GraphQLApp(context)).post("/", json={"query": "{ sessions { nodes { id } } }"})
    assert response.json()["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "secret" not in response.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("body", ["null", "5", '"x"', "true", "[]", "{", '{"query": 5}', '{"query": null}', "{}"])
def test_invalid_body_is_rejected_with_a_code(context: Context, body: str) -> None:
    """JSON that is not a request, and text that is not JSON."""
    headers = {"Content-Type": "application/json"}
    response = make_client(GraphQLApp(context)).post("/", content=body, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_long_chain_of_fragments_is_too_complex(execute: Execute) -> None:
    """It must not exhaust the stack of the server."""
    chain = "".join(f"fragment f{n} on Query {{ ...f{n + 1} }} " for n in range(3000))
    [error] = execute("{ ...f0 } " + chain + "fragment f3000 on Query { __typename }")["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
