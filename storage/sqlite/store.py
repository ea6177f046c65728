"""The store on SQLite: one writer thread that commits in groups, and readers on read-only connections."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

import apsw
from sqlalchemy.sql.elements import CompilerElement

from storage.deadline import WithinDeadline
from storage.queries import journal, writes
from storage.sqlite.connection import Row, bind, connect, translate_error
from storage.sqlite.reader import INTERRUPT_INTERVAL, InterruptibleQuery, run_interruptible
from storage.sqlite.writer import Writer
from storage.store import AuditStamp, Parameters, Transaction, UnitOfWork, created_entries
from storage.tables import INLINE_ROWS

T = TypeVar("T")

READER_THREADS = 4
CHUNK_ROWS = 1000  # of a stream
POLL_INTERVAL = 0.1  # seconds between two checks for commits of other processes


class SQLiteStore:
    """A SQLite file. Implements `storage.store.Store`."""

    merges_ordered_unions = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = Writer(path)
        self._writer.start()
        self._inline = connect(path, read_only=True)
        self._inline.set_busy_timeout(0)
        self._thread_local = threading.local()
        self._written = asyncio.Event()
        self._read_connections = [self._inline]
        self._idle_for_streams: list[apsw.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")

    async def close(self) -> None:
        """Finish the submitted writes, and close the file."""
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (*self._read_connections, *self._idle_for_streams):
            connection.close()
        # The writer closes last: only a writable connection can checkpoint and remove the write-ahead log.
        await asyncio.to_thread(self._writer.stop)

    async def fetch(
        self, query: CompilerElement, parameters: Parameters, *, inline: bool = False, primary: bool = False
    ) -> list[Row]:
        """Return all rows of a query.

        An `inline` query runs in the event loop, because a few seeks take less time than a thread switch. If it returns
        more than INLINE_ROWS rows, it is run again in a thread.
        """
        sql, bindings = bind(query, parameters)
        if inline:
            try:
                cursor = self._inline.execute(sql, bindings)
                rows = list(islice(cursor, INLINE_ROWS + 1))
                cursor.close()
                if len(rows) <= INLINE_ROWS:
                    return rows
            except apsw.BusyError:
                pass  # only a thread may wait
            except apsw.Error as cause:
                raise translate_error(cause) from cause
        async with WithinDeadline():
            return await self._fetch_in_thread(sql, bindings)

    async def _fetch_in_thread(self, sql: str, bindings: Parameters) -> list[Row]:
        interruptible = InterruptibleQuery()
        future = self._readers.submit(self._execute_in_thread, interruptible, sql, bindings)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            while not future.done():
                interruptible.interrupt()
                await asyncio.sleep(INTERRUPT_INTERVAL)
            raise

    def _execute_in_thread(self, interruptible: InterruptibleQuery, sql: str, bindings: Parameters) -> list[Row]:
        connection: apsw.Connection | None = getattr(self._thread_local, "connection", None)
        try:
            if connection is None:
                connection = self._thread_local.connection = connect(self._path, read_only=True)
                self._read_connections.append(connection)
            return interruptible.execute(connection, sql, bindings)
        except apsw.Error as cause:
            raise translate_error(cause) from cause

    async def stream(self, query: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a query in chunks, from one snapshot. A connection of its own lets clients read slowly."""
        # Not opened in a thread: opening is fast, and a cancellation could lose the connection.
        connection = self._idle_for_streams.pop() if self._idle_for_streams else connect(self._path, read_only=True)
        try:
            async with WithinDeadline():
                cursor = await run_interruptible(connection, connection.execute, *bind(query, parameters))
            while True:
                async with WithinDeadline():
                    rows = await run_interruptible(connection, _next_chunk, cursor)
                if rows:
                    yield rows
                if len(rows) < CHUNK_ROWS:
                    break
            cursor.close()
            if len(self._idle_for_streams) < READER_THREADS:
                self._idle_for_streams.append(connection)
        except apsw.Error as cause:
            raise translate_error(cause) from cause
        finally:
            if connection not in self._idle_for_streams:
                connection.close()

    async def write(self, unit_of_work: UnitOfWork[T], *, exclusive: bool = False) -> T:
        """Run a unit of work in a transaction. Return its result after the commit. Roll back if it raises.

        Every write is exclusive here: one thread writes, and the lock of SQLite excludes other processes.
        """
        result: T = await self._writer.submit(unit_of_work)
        self._written.set()
        return result

    async def insert_sessions(self, rows: Sequence[Parameters], stamp: AuditStamp) -> None:
        """Insert sessions and missing device rows in one transaction. Return after the commit."""

        async def insert_transaction(transaction: Transaction) -> None:
            await transaction.insert_sessions(rows)
            await transaction.write_journal(created_entries(rows, stamp))

        await self.write(insert_transaction)

    async def insert_session(self, row: Parameters, stamp: AuditStamp) -> Row:
        """Insert a session and its device row. Return the stored row after the commit."""

        async def insert_transaction(transaction: Transaction) -> Row:
            await transaction.execute(writes.insert_device(), row)
            (stored,) = await transaction.fetch(writes.insert_one_session(), row)
            await transaction.execute(journal.insert_entry(), created_entries([row], stamp)[0])
            return cast("Row", stored)

        return await self.write(insert_transaction)

    async def watch_journal(self) -> AsyncGenerator[None, None]:
        """Yield when the journal may have new entries: first at once, then after writes of this or another process."""
        version: object = None
        while True:
            self._written.clear()
            with suppress(apsw.Error):  # checked again after POLL_INTERVAL
                ((current,),) = self._inline.execute("PRAGMA data_version").fetchall()
                if current != version:
                    version = current
                    yield
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL):
                    await self._written.wait()


def _next_chunk(cursor: apsw.Cursor) -> list[Row]:
    return list(islice(cursor, CHUNK_ROWS))
