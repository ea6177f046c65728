"""What can happen on the way to a PostgreSQL server: tried again, or said to be unavailable, and never done twice."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction as Begun

from resolvers.context import Context
from rest_compat.app import rest_door
from schema.http.app import GraphQLDoor
from storage.errors import OutcomeUnknownError, StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.postgresql.pools import SETTINGS
from storage.postgresql.transaction import BULK, compiled
from storage.queries import events, sessions
from storage.queries import writes as changes
from storage.store import Transaction
from tests.conftest import TOLD, client_of, run, sql
from tests.integration.test_maintenance import ids, stay

LISTED = sessions.sessions(sessions.Listing())


@pytest.fixture(params=["postgresql"])
def url(url: str) -> str:
    """These are of PostgreSQL alone."""
    return url


def lose(monkeypatch: pytest.MonkeyPatch, *, committed: bool, times: int = 1) -> None:
    """The connection is lost with the commit, before or after the server carried it out."""
    commit, left = Begun.commit, [times]

    async def lost(self: Any) -> None:
        if left[0]:
            left[0] -= 1
            if committed:
                await commit(self)
            self._connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        await commit(self)

    monkeypatch.setattr(Begun, "commit", lost)


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("count", [1, 3, BULK])
def test_a_commit_without_an_answer_is_made_good_once(
    context: Context, url: str, monkeypatch: pytest.MonkeyPatch, committed: bool, count: int
) -> None:
    """Whether or not it had been carried out: every session is there, and there once."""
    lose(monkeypatch, committed=committed)
    rows = [stay(n) for n in range(count)]
    if count == 1:
        assert tuple(run(context.store.record_one(rows[0], TOLD)))[:2] == (rows[0]["mac"], 0)
    else:
        run(context.store.record(rows, TOLD))
    assert ids(url) == list(range(count))


def test_a_change_of_unknown_outcome_says_so(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion is not repeated behind its caller's back: by then the sessions might be others."""
    run(context.store.record([stay(0)], TOLD))
    lose(monkeypatch, committed=True)

    async def delete(transaction: Transaction) -> int:
        return await transaction.execute(changes.delete_sessions(), {"mac": stay(0)["mac"]})

    with pytest.raises(OutcomeUnknownError):
        run(context.store.write(delete))
    assert ids(url) == []


def test_connections_that_were_ended_are_replaced(context: Context, url: str) -> None:
    """By the server's operator, or by its restart: nobody hears of it."""
    run(context.store.record_one(stay(1), TOLD))
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> {}"
    for n in (2, 3):
        assert sql(url, ended.format("pg_backend_pid()"))
        run(context.store.record_one(stay(n), TOLD))
        assert sql(url, ended.format("pg_backend_pid()"))
        assert len(run(context.store.fetch(LISTED, {}))) == n
    assert ids(url) == [1, 2, 3]


def test_changes_that_lock_each_other_out_are_both_carried_out(context: Context, url: str) -> None:
    """The one that the server ends is begun anew."""
    run(context.store.record([stay(0), stay(1)], TOLD))
    tries: list[str] = []

    async def both() -> None:
        met = asyncio.Barrier(2)

        def naming(first: int, second: int) -> Any:
            async def change(transaction: Transaction) -> None:
                tries.append(f"{first}")
                for n in (first, second):
                    given = {"of": stay(n)["mac"], "name": f"by {first}"}
                    await transaction.execute(changes.update_device("name"), given)
                    if n == first and len(tries) <= 2:
                        await met.wait()

            return change

        await asyncio.gather(context.store.write(naming(0, 1)), context.store.write(naming(1, 0)))

    run(both())
    assert len(tries) > 2
    assert len(set(sql(url, "SELECT name FROM device"))) == 1


def test_a_failing_session_fails_alone(context: Context, url: str) -> None:
    """Of creates that share a commit, one that cannot be stored leaves the others alone."""

    async def all_at_once() -> list[Any]:
        rows = [stay(n) for n in (1, 2, 2, 3)]
        return await asyncio.gather(*(context.store.record_one(row, TOLD) for row in rows), return_exceptions=True)

    answers = run(all_at_once())
    assert [isinstance(answer, asyncpg.UniqueViolationError) for answer in answers] == [False, False, True, False]
    assert ids(url) == [1, 2, 3]


def test_without_a_free_connection_it_is_503(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At both doors, with the time after which to try again; and none of it stays when there is one again."""
    for module in ("pools", "store"):
        monkeypatch.setattr(f"storage.postgresql.{module}.WAIT", 0.1)
    monkeypatch.setattr("storage.postgresql.store.PATIENCE", 0.2)
    pool: Any = context.store._primary  # type: ignore[attr-defined]

    async def take_all() -> list[Any]:
        return [await pool.acquire() for _ in range(pool.get_max_size())]

    async def give_back(taken: list[Any]) -> None:
        for connection in taken:
            await pool.release(connection)

    taken = run(take_all())
    rest, graphql = client_of(rest_door(context)), client_of(GraphQLDoor(context))
    body = {"mac": "AA:BB:CC:DD:EE:FF", "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
    answers = [rest.get("/list"), rest.get("/list?limit=1"), rest.post("/create", json=body)]
    for query in ("{ sessions { nodes { id } } }", "{ sessions { nodes { id device { name } } } }"):
        answers += [graphql.post("/", json={"query": query}) for _ in range(2)]
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"] == "5"
    run(give_back(taken))
    assert rest.get("/list").json()["sessions"] == []


def test_a_replica_as_a_primary_is_refused(url: str) -> None:
    """Where no server of the address takes writes, the program says so and does not wait for ever."""
    sql(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnusableError, match="cannot be"):
        migrate(url)


@pytest.mark.parametrize("wrong", ["postgresql://127.0.0.1:1/x", "postgresql://u@127.0.0.1:1/x?nonsense=1"])
def test_a_server_that_is_not_there_is_one_sentence(wrong: str) -> None:
    """Without a traceback, and without the password."""
    with pytest.raises(StoreUnusableError) as refused:
        migrate(wrong.replace("u@", "u:secret@"))
    assert "secret" not in str(refused.value)


def test_what_cannot_be_reached_for_long_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that went away: the error that the doors answer as 503."""
    monkeypatch.setattr("storage.postgresql.store.PATIENCE", 0.2)

    async def main() -> None:
        store = await open_store("postgresql://postgres@127.0.0.1:1/x")
        with pytest.raises(StoreUnavailableError):
            await store.fetch(LISTED, {})
        with pytest.raises(StoreUnavailableError):
            await store.record_one(stay(1), TOLD)
        with pytest.raises(StoreUnavailableError):
            async for _ in store.stream(LISTED, {}):
                pass
        await store.close()

    asyncio.run(main())


FIRST_PAGE: dict[str, Any] = {"limit": 51, "now": 10**15, "since": 10**12, "until": 10**15, "mac": stay(0)["mac"]}


@pytest.mark.parametrize(
    "question",
    [
        sessions.sessions(sessions.Listing(limited=True), merges=False),
        sessions.sessions(sessions.Listing(frozenset({"mac"}), limited=True), merges=False),
        sessions.sessions(sessions.Listing(frozenset({"overlapping"}), limited=True), merges=False),
        sessions.sessions(sessions.Listing(frozenset({"mac", "overlapping"}), limited=True), merges=False),
        *(events.page(kind, after=False, before=False, backward=False, merges=False) for kind in ("ALL", "DOWN")),
    ],
    ids=["all", "device", "overlapping", "device overlapping", "events", "rare events"],
)
def test_a_first_page_reads_no_table_whole(url: str, question: Any) -> None:
    """Whatever its size: the plan walks indexes."""
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    made = (
        "'AA:BB:CC:DD:EE:' || n % 90 + 10, n, '::1', n::bigint * 60000000, (n::bigint + n % 9000) * 60000000, "
        "'Connected', 'Disconnected', ''"
    )
    sql(url, f"INSERT INTO session ({columns}) SELECT {made} FROM generate_series(0, 99999) AS s(n)")
    sql(url, "ANALYZE session")
    statement = compiled(question)

    async def planned() -> str:
        connection = await asyncpg.connect(url, server_settings=SETTINGS)
        rows = await connection.fetch(f"EXPLAIN {statement.sql}", *statement.arguments(FIRST_PAGE))
        await connection.close()
        return "\n".join(row[0] for row in rows)

    plan = asyncio.run(planned())
    assert "Seq Scan on session" not in plan, plan
    assert "Index" in plan
