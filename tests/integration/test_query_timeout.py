"""Deadlines of queries: QUERY_SECONDS."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from resolvers.context import Context
from resolvers.limits import DEFAULT_LIMITS
from rest_compat.app import rest_app
from schema.http.app import GraphQLApp
from storage.deadline import deadline
from storage.errors import QueryTimeoutError
from storage.queries.sessions import any_session
from storage.sqlite.store import READER_THREADS
from tests.conftest import DATABASES, MAC, make_client, run, sql
from tests.support.clients import graphql_data

FOREVER = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")


def set_deadline(seconds: float) -> None:
    """Set the deadline of this context's queries."""
    deadline.set(asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize("method", ["fetch", "stream"])
def test_the_database_cancels_a_query_that_takes_too_long(context: Context, url: str, method: str) -> None:
    """The database stops working on it, and all connections can be used again."""
    store = context.store

    async def time_out() -> None:
        set_deadline(0.3)
        with pytest.raises(QueryTimeoutError):
            await (store.fetch(FOREVER, {}) if method == "fetch" else anext(store.stream(FOREVER, {})))

    async def run_concurrently(operation: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(operation() for _ in range(2 * READER_THREADS)))

    run(run_concurrently(time_out))
    run(run_concurrently(lambda: store.fetch(any_session(), {})))
    if url.startswith("postgresql"):
        working = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
            AND query LIKE '%RECURSIVE%' AND pid <> pg_backend_pid()"""
        until = time.monotonic() + 20
        while sql(url, working) != [(0,)]:
            assert time.monotonic() < until
    else:
        began = time.process_time()
        time.sleep(0.5)  # time for a reader that continues to use the CPU
        assert time.process_time() - began < 0.3


def run_forever(monkeypatch: pytest.MonkeyPatch, context: Context, after: int = 0) -> None:
    """Make all queries after the first ones run without end."""
    fetch, stream = context.store.fetch, context.store.stream
    statements: list[Any] = []

    async def slow(statement: Any, parameters: Any, **options: Any) -> Any:
        statements.append(statement)
        return await (fetch(statement, parameters, **options) if len(statements) <= after else fetch(FOREVER, {}))

    monkeypatch.setattr(context.store, "fetch", slow)
    monkeypatch.setattr(context.store, "stream", lambda *_: stream(FOREVER, {}))


@pytest.mark.parametrize(
    ("after", "query"),
    [
        (0, "{ sessionTotals { all } }"),
        (0, "{ sessions { nodes { id } } }"),
        (1, "{ devices { nodes { lastSeen } } }"),
        (0, '{ sessionCalendar(start: "2025-08-01", end: "2025-08-02") { title } }'),
        (0, '{ presence(start: "2025-08-01", end: "2025-08-02") { peak } }'),
    ],
)
def test_a_graphql_query_that_takes_too_long_gets_408(
    context: Context, monkeypatch: pytest.MonkeyPatch, after: int, query: str
) -> None:
    """The code is QUERY_TIMEOUT, also for a cached query and for a field loaded for all rows."""
    limited = replace(context, limits=replace(DEFAULT_LIMITS, seconds=0.3))
    client = make_client(GraphQLApp(limited))
    mutation = (
        f'mutation {{ createSession(input: {{mac: "{MAC}", ip: "::1", startTime: "2025-08-19T10:00"}}) {{ message }} }}'
    )
    graphql_data(client, mutation)
    for _ in range(2):
        with monkeypatch.context() as patched:
            run_forever(patched, limited, after)
            answer = client.post("/", json={"query": query})
        assert answer.status_code == 408
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "QUERY_TIMEOUT"
        assert "QUERY_SECONDS" in error["message"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path", ["/list", "/export", "/calendar?start=2025-08-01&end=2025-08-02", f"/{MAC}", "/session-events"]
)
def test_a_rest_list_that_takes_too_long_gets_408(context: Context, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """For every REST path that reads."""
    limited = replace(context, limits=replace(DEFAULT_LIMITS, seconds=0.3))
    run_forever(monkeypatch, limited)
    answer = make_client(rest_app(limited)).get(path)
    assert answer.status_code == 408
    assert answer.json()["error"] == "query_timeout"
    assert "QUERY_SECONDS" in answer.json()["message"]


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_a_stream_that_has_begun_is_not_cancelled(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its first chunk has a deadline."""
    deadlines: list[bool] = []

    async def stream(*_: Any) -> AsyncGenerator[list[Any], None]:
        for _chunk in range(4):
            deadlines.append(deadline.get() is not None)
            yield []

    monkeypatch.setattr(context.store, "stream", stream)
    assert make_client(rest_app(context)).get("/export").status_code == 200
    assert deadlines == [True, True, False, False]


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_a_write_has_no_deadline(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in REST nor in GraphQL."""
    deadlines: list[float | None] = []
    write, insert = context.store.write, context.store.insert_session

    async def recorded_write(*arguments: Any, **options: Any) -> Any:
        deadlines.append(deadline.get())
        return await write(*arguments, **options)

    async def recorded_insert(*arguments: Any) -> Any:
        deadlines.append(deadline.get())
        return await insert(*arguments)

    monkeypatch.setattr(context.store, "write", recorded_write)
    monkeypatch.setattr(context.store, "insert_session", recorded_insert)
    graphql, rest = make_client(GraphQLApp(context)), make_client(rest_app(context))
    new = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
    assert rest.post("/create", json=new).status_code == 200
    assert rest.request("DELETE", "/delete", json={"mac": MAC}).status_code == 200
    for _ in range(2):
        graphql_data(graphql, 'mutation { deleteSessions(mac: "%s") { deleted } }' % MAC)
    assert len(deadlines) >= 4
    assert set(deadlines) == {None}


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_a_subscription_has_no_deadline(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queries have none either."""
    deadlines: list[float | None] = []

    async def watch(*_: Any) -> AsyncGenerator[Any, None]:
        deadlines.append(deadline.get())
        return
        yield

    monkeypatch.setattr(type(context.feed), "subscribe", watch)
    client = make_client(GraphQLApp(context))
    query = "subscription { sessionChanges { mac } }"
    answer = client.post("/", json={"query": query}, headers={"Accept": "text/event-stream"})
    assert "event: complete" in answer.text
    assert deadlines == [None]
