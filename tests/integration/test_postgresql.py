"""Failures of the connection to PostgreSQL: writes are retried or reported as unavailable, and never stored twice."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction as DatabaseTransaction

from resolvers.context import Context
from rest_compat.app import rest_app
from schema.http.app import GraphQLApp
from storage.errors import OutcomeUnknownError, StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.postgresql.pools import SERVER_SETTINGS
from storage.postgresql.transaction import COPY_THRESHOLD, compile_query
from storage.queries import events as event_queries
from storage.queries import sessions as session_queries
from storage.queries import writes
from storage.store import Transaction
from tests.conftest import AUDIT_STAMP, make_client, run, sql
from tests.support.rows import past_session, stored_ids

LISTED = session_queries.list_sessions(session_queries.ListQuery())


@pytest.fixture(params=["postgresql"])
def url(url: str) -> str:
    """The URL of an empty, migrated PostgreSQL database."""
    return url


def lose_connection(monkeypatch: pytest.MonkeyPatch, *, committed: bool, times: int = 1) -> None:
    """Lose the connection at the next commits, before or after the server has committed."""
    original_commit, remaining = DatabaseTransaction.commit, [times]

    async def commit(self: Any) -> None:
        if remaining[0]:
            remaining[0] -= 1
            if committed:
                await original_commit(self)
            self._connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        await original_commit(self)

    monkeypatch.setattr(DatabaseTransaction, "commit", commit)


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("count", [1, 3, COPY_THRESHOLD])
def test_a_commit_without_an_answer_is_retried(
    context: Context, url: str, monkeypatch: pytest.MonkeyPatch, committed: bool, count: int
) -> None:
    """Whether or not it was committed, every session is stored once."""
    lose_connection(monkeypatch, committed=committed)
    rows = [past_session(n) for n in range(count)]
    if count == 1:
        assert tuple(run(context.store.insert_session(rows[0], AUDIT_STAMP)))[:2] == (rows[0]["mac"], 0)
    else:
        run(context.store.insert_sessions(rows, AUDIT_STAMP))
    assert stored_ids(url) == list(range(count))


def test_a_write_with_unknown_outcome_is_an_error(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion is not retried: other sessions may match by then."""
    run(context.store.insert_sessions([past_session(0)], AUDIT_STAMP))
    lose_connection(monkeypatch, committed=True)

    async def delete(transaction: Transaction) -> int:
        return await transaction.execute(writes.delete_sessions_of_device(), {"mac": past_session(0)["mac"]})

    with pytest.raises(OutcomeUnknownError):
        run(context.store.write(delete))
    assert stored_ids(url) == []


def test_closed_connections_are_replaced(context: Context, url: str) -> None:
    """After the server or its administrator has closed them, no request fails."""
    run(context.store.insert_session(past_session(1), AUDIT_STAMP))
    close_all = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> {}"
    )
    for n in (2, 3):
        assert sql(url, close_all.format("pg_backend_pid()"))
        run(context.store.insert_session(past_session(n), AUDIT_STAMP))
        assert sql(url, close_all.format("pg_backend_pid()"))
        assert len(run(context.store.fetch(LISTED, {}))) == n
    assert stored_ids(url) == [1, 2, 3]


def test_deadlocked_transactions_are_both_committed(context: Context, url: str) -> None:
    """The one that the server aborts is retried."""
    run(context.store.insert_sessions([past_session(0), past_session(1)], AUDIT_STAMP))
    attempts: list[str] = []

    async def write_both() -> None:
        barrier = asyncio.Barrier(2)

        def name_both(first: int, second: int) -> Any:
            async def unit_of_work(transaction: Transaction) -> None:
                attempts.append(f"{first}")
                for n in (first, second):
                    parameters = {"where_mac": past_session(n)["mac"], "name": f"by {first}"}
                    await transaction.execute(writes.update_device("name"), parameters)
                    if n == first and len(attempts) <= 2:
                        await barrier.wait()

            return unit_of_work

        await asyncio.gather(context.store.write(name_both(0, 1)), context.store.write(name_both(1, 0)))

    run(write_both())
    assert len(attempts) > 2
    assert len(set(sql(url, "SELECT name FROM device"))) == 1


def test_a_failing_session_does_not_affect_others(context: Context, url: str) -> None:
    """Sessions that share a commit with an invalid one are stored."""

    async def insert_together() -> list[Any]:
        rows = [past_session(n) for n in (1, 2, 2, 3)]
        return await asyncio.gather(
            *(context.store.insert_session(row, AUDIT_STAMP) for row in rows), return_exceptions=True
        )

    results = run(insert_together())
    assert [isinstance(result, asyncpg.UniqueViolationError) for result in results] == [False, False, True, False]
    assert stored_ids(url) == [1, 2, 3]


def test_requests_without_a_free_connection_get_503(
    context: Context, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both APIs, with Retry-After. Nothing of them is stored later."""
    for module in ("pools", "store"):
        monkeypatch.setattr(f"storage.postgresql.{module}.TIMEOUT", 0.1)
    monkeypatch.setattr("storage.postgresql.store.RETRY_SECONDS", 0.2)
    pool: Any = context.store._primary  # type: ignore[attr-defined]

    async def acquire_all() -> list[Any]:
        return [await pool.acquire() for _ in range(pool.get_max_size())]

    async def release(connections: list[Any]) -> None:
        for connection in connections:
            await pool.release(connection)

    connections = run(acquire_all())
    rest, graphql = make_client(rest_app(context)), make_client(GraphQLApp(context))
    body = {"mac": "AA:BB:CC:DD:EE:FF", "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
    responses = [rest.get("/list"), rest.get("/list?limit=1"), rest.post("/create", json=body)]
    for query in ("{ sessions { nodes { id } } }", "{ sessions { nodes { id device { name } } } }"):
        responses += [graphql.post("/", json={"query": query}) for _ in range(2)]
    for response in responses:
        assert response.status_code == 503, response.text
        assert response.headers["Retry-After"] == "5"
    run(release(connections))
    assert rest.get("/list").json()["sessions"] == []


def test_a_url_without_a_primary_is_rejected(url: str) -> None:
    """If no host accepts writes, the migration fails instead of waiting."""
    sql(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnusableError, match="cannot be"):
        migrate(url)


@pytest.mark.parametrize("invalid_url", ["postgresql://127.0.0.1:1/x", "postgresql://u@127.0.0.1:1/x?nonsense=1"])
def test_the_error_for_a_missing_server_hides_the_password(invalid_url: str) -> None:
    with pytest.raises(StoreUnusableError) as raised:
        migrate(invalid_url.replace("u@", "u:secret@"))
    assert "secret" not in str(raised.value)


def test_an_unreachable_server_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation raises the error that the APIs answer with 503."""
    monkeypatch.setattr("storage.postgresql.store.RETRY_SECONDS", 0.2)

    async def main() -> None:
        store = await open_store("postgresql://postgres@127.0.0.1:1/x")
        with pytest.raises(StoreUnavailableError):
            await store.fetch(LISTED, {})
        with pytest.raises(StoreUnavailableError):
            await store.insert_session(past_session(1), AUDIT_STAMP)
        with pytest.raises(StoreUnavailableError):
            async for _ in store.stream(LISTED, {}):
                pass
        await store.close()

    asyncio.run(main())


FIRST_PAGE: dict[str, Any] = {
    "limit": 51,
    "now": 10**15,
    "since": 10**12,
    "until": 10**15,
    "mac": past_session(0)["mac"],
}


@pytest.mark.parametrize(
    "query",
    [
        session_queries.list_sessions(session_queries.ListQuery(limited=True), merge_branches=False),
        session_queries.list_sessions(
            session_queries.ListQuery(frozenset({"mac"}), limited=True), merge_branches=False
        ),
        session_queries.list_sessions(
            session_queries.ListQuery(frozenset({"overlapping"}), limited=True), merge_branches=False
        ),
        session_queries.list_sessions(
            session_queries.ListQuery(frozenset({"mac", "overlapping"}), limited=True), merge_branches=False
        ),
        *(
            event_queries.event_page(kind, after=False, before=False, backward=False, merge_branches=False)
            for kind in ("ALL", "DOWN")
        ),
    ],
    ids=["all", "device", "overlapping", "device overlapping", "events", "rare events"],
)
def test_a_first_page_is_read_from_an_index(url: str, query: Any) -> None:
    """No plan has a sequential scan of the session table."""
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    values = (
        "'AA:BB:CC:DD:EE:' || n % 90 + 10, n, '::1', n::bigint * 60000000, (n::bigint + n % 9000) * 60000000, "
        "'Connected', 'Disconnected', ''"
    )
    sql(url, f"INSERT INTO session ({columns}) SELECT {values} FROM generate_series(0, 99999) AS s(n)")
    sql(url, "ANALYZE session")
    statement = compile_query(query)

    async def explain() -> str:
        connection = await asyncpg.connect(url, server_settings=SERVER_SETTINGS)
        rows = await connection.fetch(f"EXPLAIN {statement.sql}", *statement.arguments(FIRST_PAGE))
        await connection.close()
        return "\n".join(row[0] for row in rows)

    plan = asyncio.run(explain())
    assert "Seq Scan on session" not in plan, plan
    assert "Index" in plan
