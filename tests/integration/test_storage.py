"""The store keeps what it acknowledged, and nothing else."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from storage.errors import StoreUnavailableError
from storage.opening import open_store
from storage.queries import sessions as session_queries
from storage.sqlite.connection import connect
from storage.store import Store, UnitOfWork
from storage.tables import INLINE_ROWS, MISSING_EVENT
from tests.conftest import new_database
from tests.support.rows import ROW, stored_ids

CONSTRAINT_ERRORS = (apsw.ConstraintError, asyncpg.IntegrityConstraintViolationError)


def insert_transaction(*ids: int, **changes: Any) -> UnitOfWork[None]:
    """Return a unit of work that inserts sessions with these ids."""
    return lambda transaction: transaction.insert_sessions([ROW | changes | {"id": identity} for identity in ids])


def test_write_that_fails_in_a_group_fails_alone(url: str) -> None:
    """Other writes in the same commit are stored, and no part of the failed one is."""

    async def main() -> list[Any]:
        store = await open_store(url)
        writes = [store.write(insert_transaction(n, n) if n == 5 else insert_transaction(n)) for n in range(10)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        await store.close()
        return results

    results = asyncio.run(main())
    assert isinstance(results.pop(5), CONSTRAINT_ERRORS)
    assert results == [None] * 9
    assert stored_ids(url) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_close_waits_for_submitted_writes(url: str) -> None:
    async def main() -> None:
        store = await open_store(url)
        writes = [asyncio.ensure_future(store.write(insert_transaction(n))) for n in range(2000)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*writes)

    asyncio.run(main())
    assert stored_ids(url) == list(range(2000))


def test_write_fails_while_another_process_holds_the_write_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is stored, reads still work, and the next write succeeds."""
    monkeypatch.setattr("storage.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    url = new_database("sqlite", tmp_path)
    other = connect(tmp_path / "netsessions.db", read_only=False)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        store = await open_store(url)
        with pytest.raises(StoreUnavailableError, match="locked"):
            await store.write(insert_transaction(1))
        assert await store.fetch(session_queries.any_session(), {}) == []
        other.execute("ROLLBACK")
        await store.write(insert_transaction(2))
        await store.close()

    asyncio.run(main())
    other.close()
    assert stored_ids(url) == [2]


def test_cancelled_streams_leave_no_files_open(url: str) -> None:
    """Streams that are cancelled while the database works return their connection, and later streams work."""

    async def consume(store: Store) -> None:
        async with aclosing(store.stream(session_queries.list_sessions(session_queries.ListQuery()), {})) as chunks:
            async for _ in chunks:
                pass

    async def main() -> None:
        store = await open_store(url)
        await store.write(insert_transaction(*range(5000)))
        open_files = []
        for attempt in range(40):
            readers = [asyncio.ensure_future(consume(store)) for _ in range(8)]
            await asyncio.sleep(attempt / 10_000)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            open_files.append(len(os.listdir("/proc/self/fd")))
        # SQLite keeps the files of closed connections for the next ones, as many as were ever open at once.
        assert open_files[-1] < open_files[0] + 8
        await consume(store)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "changes",
    [
        {"connected_at": None},
        {"disconnected_at": -1, "disconnection_event": "Disconnected"},
        {"connected_at": None, "disconnected_at": 5, "disconnection_event": "Disconnected"},
        {"connection_event": MISSING_EVENT},
        {"disconnected_at": 5},
        {"disconnection_event": "Disconnected"},
    ],
)
def test_database_constraints_reject_impossible_sessions(url: str, changes: dict[str, Any]) -> None:
    """An end before its start, a session without any end, an event without its time, or a time without its event."""

    async def main() -> None:
        store = await open_store(url)
        with pytest.raises(CONSTRAINT_ERRORS):
            await store.write(insert_transaction(1, **changes))
        await store.close()

    asyncio.run(main())
    assert stored_ids(url) == []


def test_inline_query_with_many_rows_returns_all_of_them(url: str) -> None:
    """A query that was expected to be short is repeated in a thread, from its first row."""

    async def main() -> None:
        store = await open_store(url)
        count = INLINE_ROWS + 500
        await store.write(insert_transaction(*range(count)))
        query = session_queries.list_sessions(session_queries.ListQuery(frozenset({"mac"})))
        rows = await store.fetch(query, {"mac": ROW["mac"]}, inline=True)
        assert [row[1] for row in rows] == list(reversed(range(count)))
        await store.close()

    asyncio.run(main())
