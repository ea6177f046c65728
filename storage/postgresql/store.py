"""The store on PostgreSQL: group commit of new sessions, retries and reads from replicas.

A transaction that was certainly rolled back, by a deadlock or a server shutdown, is retried for RETRY_SECONDS. New
sessions are also retried after a commit with an unknown outcome: their ids show whether they were stored.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.sql.elements import CompilerElement

from storage.deadline import WithinDeadline
from storage.errors import OutcomeUnknownError, StoreUnavailableError, StoreUnusableError
from storage.postgresql.pools import (
    TIMEOUT,
    ConnectionLostError,
    ReaderPool,
    connect_to_any_host,
    create_pool,
    is_disk_full,
    is_transient,
    translate_error,
    was_rolled_back,
)
from storage.postgresql.transaction import (
    ADVISORY_LOCK,
    CHANNEL,
    CHUNK_ROWS,
    EXCLUSIVE_LOCK,
    PostgreSQLTransaction,
    Row,
    compile_query,
)
from storage.replicas import Watermarks, client_address
from storage.store import AuditStamp, Parameters, UnitOfWork, created_entries

T = TypeVar("T")

MAX_STREAMS = 6  # connections of a process used for long lists
MAX_GROUP = 512  # sessions in one commit
RETRY_SECONDS = 6.0  # a failover takes a few seconds
RETRY_INTERVAL = 0.1  # seconds
CHECK_INTERVAL = 15.0  # seconds between two checks that the server is alive while waiting for notifications
COMMAND_TIMEOUT = 60.0  # seconds

WRITTEN_POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"


class _PendingInsert:
    """A session to insert, and the future that its caller awaits."""

    def __init__(self, row: Parameters, stamp: AuditStamp) -> None:
        self.row = row
        self.stamp = stamp
        self.key = (row["mac"], row["id"])
        self.client_address = client_address.get()
        self.future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()


class PostgreSQLStore:
    """A PostgreSQL database, optionally with replicas. Implements `storage.store.Store`."""

    merges_ordered_unions = False

    def __init__(self, url: str, primary: Any, replicas: Any | None, watermarks: Watermarks) -> None:
        self._url = url
        self._primary = primary
        self._replicas = replicas
        self._readers = ReaderPool(primary)
        self._replica_readers = None if replicas is None else ReaderPool(replicas)
        self._watermarks = watermarks
        self._streams = asyncio.Semaphore(MAX_STREAMS)
        self._pending: list[_PendingInsert] = []
        self._writer_task: asyncio.Task[None] | None = None
        self._active_writes = 0
        self._write_finished = asyncio.Event()

    async def close(self) -> None:
        """Finish the submitted writes, and close the connections."""
        while self._active_writes:
            self._write_finished.clear()
            await self._write_finished.wait()
        for readers in filter(None, (self._readers, self._replica_readers)):
            await readers.close()

    async def fetch(
        self, query: CompilerElement, parameters: Parameters, *, inline: bool = False, primary: bool = False
    ) -> list[Row]:
        """Return all rows of a query, from a replica unless `primary` is set."""
        sql, arguments = _bind(query, parameters)

        async def read(connection: Any) -> list[Row]:
            rows: list[Row] = await connection.fetch(sql, *arguments)
            return rows

        async with WithinDeadline():
            return await self._read(read, primary=primary)

    async def _read(self, read: Callable[[Any], Awaitable[T]], *, primary: bool) -> T:
        if self._replica_readers is not None and not primary:
            watermark = self._watermarks.position_for(client_address.get())

            async def read_if_replayed(connection: Any) -> T:
                if not await connection.has_replayed(watermark):
                    raise ConnectionLostError
                return await read(connection)

            try:
                return await self._replica_readers.read(read_if_replayed)
            except Exception as cause:
                if not is_transient(cause):
                    raise
        return await self._retry_until_available(lambda _: self._readers.read(read))

    async def _retry_until_available(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Retry transient errors for RETRY_SECONDS. Pass to each attempt whether it is a retry."""
        loop = asyncio.get_running_loop()
        deadline, is_retry = loop.time() + RETRY_SECONDS, False
        while True:
            try:
                return await attempt(is_retry)
            except Exception as cause:
                if not is_transient(cause):
                    raise
                if is_disk_full(cause) or loop.time() > deadline:
                    raise translate_error(cause) from cause
            is_retry = True
            await asyncio.sleep(RETRY_INTERVAL)

    async def stream(self, query: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a query in chunks, from one snapshot. Slow clients delay only other streams."""
        sql, arguments = _bind(query, parameters)
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._streams.acquire()
        except TimeoutError as cause:
            raise StoreUnavailableError("too many long lists are being read at once") from cause
        try:
            async with self._acquire_for_stream() as connection, connection.transaction(readonly=True):
                async with WithinDeadline():
                    cursor = await connection.cursor(sql, *arguments)
                while True:
                    async with WithinDeadline():
                        rows = await cursor.fetch(CHUNK_ROWS)
                    if rows:
                        yield rows
                    if len(rows) < CHUNK_ROWS:
                        break
        except Exception as cause:
            if not is_transient(cause):
                raise
            raise translate_error(cause) from cause
        finally:
            self._streams.release()

    @asynccontextmanager
    async def _acquire_for_stream(self) -> AsyncIterator[Any]:
        """Acquire a connection that is known to work, because a stream that has begun cannot be retried."""

        async def acquire(pool: Any, watermark: int) -> Any:
            connection = await pool.acquire(timeout=TIMEOUT)
            with suppress(Exception):
                await connection.execute("SELECT 1")
                if await connection.has_replayed(watermark):
                    return connection
            await pool.release(connection)
            raise ConnectionLostError("the connection was lost")

        pool, connection = self._primary, None
        if self._replicas is not None:
            with suppress(Exception):
                connection = await acquire(self._replicas, self._watermarks.position_for(client_address.get()))
                pool = self._replicas
        if connection is None:
            connection = await self._retry_until_available(lambda _: acquire(self._primary, 0))
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def write(self, unit_of_work: UnitOfWork[T], *, exclusive: bool = False) -> T:
        """Run a unit of work in a transaction. Return its result after the commit. Roll back if it raises."""

        async def run(transaction: PostgreSQLTransaction, connection: Any) -> T:
            if exclusive:
                await connection.execute(ADVISORY_LOCK, EXCLUSIVE_LOCK)
            return await unit_of_work(transaction)

        with self._track_write():
            return await self._retry_until_available(lambda _: self._run_transaction(run, [client_address.get()]))

    @contextmanager
    def _track_write(self) -> Iterator[None]:
        """Count a write, so that `close` waits for it."""
        self._active_writes += 1
        try:
            yield
        finally:
            self._active_writes -= 1
            self._write_finished.set()

    async def insert_sessions(self, rows: Sequence[Parameters], stamp: AuditStamp) -> None:
        """Insert sessions and missing device rows in one transaction. Return after the commit."""

        async def attempt(is_retry: bool) -> None:
            async def insert(transaction: PostgreSQLTransaction, _: Any) -> None:
                new = rows
                if is_retry:
                    new = await transaction.insert_missing_sessions(rows)
                else:
                    await transaction.insert_sessions(rows)
                await transaction.write_journal(created_entries(new, stamp))

            await self._run_transaction(insert, [client_address.get()])

        if rows:
            with self._track_write():
                await self._retry_until_stored(attempt)

    async def insert_session(self, row: Parameters, stamp: AuditStamp) -> Row:
        """Insert a session and its device row. Return the stored row after the commit, which waiting sessions share."""
        pending = _PendingInsert(row, stamp)
        self._pending.append(pending)
        if self._writer_task is None:
            self._writer_task = asyncio.create_task(self._write_pending())
        with self._track_write():
            return await pending.future

    async def _write_pending(self) -> None:
        try:
            while self._pending:
                group, self._pending = self._pending[:MAX_GROUP], self._pending[MAX_GROUP:]
                # Sessions whose caller was cancelled are skipped. A group that has begun is always finished.
                await self._write_group([pending for pending in group if not pending.future.done()])
        finally:
            self._writer_task = None

    async def _write_group(self, group: list[_PendingInsert]) -> None:
        async def attempt(is_retry: bool) -> dict[tuple[str, int], Row]:
            rows = [pending.row for pending in group]

            async def insert(transaction: PostgreSQLTransaction, _: Any) -> dict[tuple[str, int], Row]:
                if is_retry:
                    new = {(row["mac"], row["id"]) for row in await transaction.insert_missing_sessions(rows)}
                    stored = await transaction.select_sessions(rows)
                else:
                    stored = await transaction.insert_sessions_returning(rows)
                    new = set(stored)
                entries = (created_entries([pending.row], pending.stamp)[0] for pending in group if pending.key in new)
                await transaction.write_journal(list(entries))
                return stored

            return await self._run_transaction(insert, [pending.client_address for pending in group])

        if not group:
            return
        try:
            stored = await self._retry_until_stored(attempt)
        except Exception as cause:
            if len(group) > 1 and not isinstance(cause, StoreUnavailableError):
                # One session cannot be stored. Insert each one on its own, so that only that one fails.
                for pending in group:
                    await self._write_group([pending])
                return
            for pending in group:
                if not pending.future.done():
                    pending.future.set_exception(cause)
        else:
            for pending in group:
                if not pending.future.done():
                    pending.future.set_result(stored[pending.key])

    async def watch_journal(self) -> AsyncGenerator[None, None]:
        """Yield when the journal may have new entries: on notifications, and after the connection was lost."""
        notified = asyncio.Event()

        def notify(*_: Any) -> None:
            notified.set()

        while True:
            try:
                connection = await asyncpg.connect(self._url, target_session_attrs="read-write", timeout=TIMEOUT)
            except Exception as cause:
                if not is_transient(cause):
                    raise
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            try:
                connection.add_termination_listener(notify)
                await connection.add_listener(CHANNEL, notify)
                while not connection.is_closed():
                    notified.clear()
                    yield
                    while not notified.is_set():
                        with suppress(TimeoutError):
                            async with asyncio.timeout(CHECK_INTERVAL):
                                await notified.wait()
                                break
                        # A connection that broke without a notice is detected only by a query.
                        await connection.execute("SELECT 1", timeout=TIMEOUT)
            except Exception as cause:
                if not is_transient(cause):
                    raise
            finally:
                connection.terminate()

    async def _retry_until_stored(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Retry also after a commit with an unknown outcome. For attempts that detect what is already stored."""
        loop = asyncio.get_running_loop()
        deadline, is_retry = loop.time() + RETRY_SECONDS, False
        while True:
            try:
                return await self._retry_until_available(lambda retried: attempt(is_retry or retried))  # noqa: B023
            except OutcomeUnknownError:
                if loop.time() > deadline:
                    raise
                is_retry = True

    async def _run_transaction(
        self, run: Callable[[PostgreSQLTransaction, Any], Awaitable[T]], client_addresses: Iterable[str | None]
    ) -> T:
        """Run a transaction. After the commit, advance the watermarks of the clients to the position of the commit."""
        async with self._primary.acquire(timeout=TIMEOUT) as connection:
            database_transaction = connection.transaction()
            await database_transaction.start()
            try:
                result = await run(PostgreSQLTransaction(connection), connection)
            except BaseException:
                with suppress(Exception):
                    await database_transaction.rollback()
                raise
            try:
                await asyncio.wait_for(database_transaction.commit(), TIMEOUT)
            except Exception as cause:
                if was_rolled_back(cause) or not is_transient(cause):
                    raise
                with suppress(asyncpg.InterfaceError):  # already closed
                    connection.terminate()
                raise OutcomeUnknownError(str(cause) or type(cause).__name__) from cause
            if self._replicas is not None:
                with suppress(Exception):
                    self._watermarks.advance(client_addresses, await connection.fetchval(WRITTEN_POSITION))
        return result


def _bind(query: CompilerElement, parameters: Parameters) -> tuple[str, list[Any]]:
    compiled = compile_query(query)
    return compiled.sql, compiled.arguments(parameters)


async def connect(url: str, read_url: str | None, watermarks: Watermarks | None = None) -> PostgreSQLStore:
    """Open a store. New connections look for the primary among the hosts of the URL. Raise StoreUnusableError."""
    try:
        primary = await create_pool(url, target_session_attrs="read-write", command_timeout=COMMAND_TIMEOUT)
        replicas = (
            None
            if read_url is None
            else await create_pool(read_url, connect=connect_to_any_host, command_timeout=COMMAND_TIMEOUT)
        )
    except (asyncpg.InterfaceError, ValueError) as error:
        raise StoreUnusableError(f"The database URL is invalid ({error}).") from error
    return PostgreSQLStore(url, primary, replicas, watermarks or Watermarks())
