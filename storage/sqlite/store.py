"""SQLite: one writer that commits in groups, readers on read-only connections, and the only place that opens the file."""

import asyncio
import errno
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import lru_cache
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.sql.elements import CompilerElement

from storage.deadline import InTime
from storage.errors import StoreFullError, StoreUnavailableError, StoreUnusableError
from storage.queries import journal
from storage.queries import writes as changes
from storage.store import Change, Parameters, Purpose, created
from storage.store import Transaction as StoreTransaction
from storage.tables import SHORT

Row = tuple[Any, ...]
T = TypeVar("T")

READERS = 4
GROUP = 512  # writes in one commit at most: bounds how long the first of them waits for the last
CHUNK = 1000  # rows a stream holds at a time
BUSY_MS = 30_000  # how long to wait for another process's write lock
GIVEN_UP = 0.01  # seconds after which a thread that did not give up, as it had only just begun, is told again
LOOK = 0.1  # seconds after which somebody who waits for changes looks whether another process made some
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGED = (apsw.CorruptError, apsw.NotADBError)
STATEMENTS = 512  # compiled statements that are kept: a client can ask for lists in any number of shapes


@lru_cache(STATEMENTS)
def compiled(statement: CompilerElement) -> tuple[str, Parameters]:
    """The SQL of a named question or change, made once for each shape, and the constants that it was written with."""
    made = statement.compile(dialect=dialect.dialect(paramstyle="named"))
    return str(made), {name: value for name, value in made.params.items() if value is not None}


def bound(statement: CompilerElement, parameters: Parameters) -> tuple[str, Parameters]:
    """A named question or change and its parameters, as the driver takes them."""
    sql, constants = compiled(statement)
    return sql, {**constants, **parameters}


def _ip_order(*ips: Any) -> bytes | None:
    (ip,) = ips
    if ip is None:
        return None
    address = ip_address(ip)
    return bytes([address.version]) + address.packed


def _fold(*texts: Any) -> str | None:
    (text,) = texts
    return None if text is None else str(text).casefold()


def connect(path: Path, *, read_only: bool) -> apsw.Connection:
    """A connection in the modes that the store relies on: WAL, and a sync at every commit."""
    mode = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    # No connection is used by two threads at a time, so none needs a lock at every call.
    mode |= apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(str(path), mode, statementcachesize=STATEMENTS)
    connection.set_busy_timeout(BUSY_MS)
    # Plans are made without a look at the parameters: with one, most statements would be prepared anew at each execution.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("PRAGMA cache_size = -16000")
    if not read_only:
        connection.execute("PRAGMA synchronous = FULL")
    connection.create_scalar_function("fold", _fold, 1, deterministic=True)
    connection.create_scalar_function("ip_order", _ip_order, 1, deterministic=True)
    return connection


class Transaction:
    """What a change is handed: the writer's connection, inside a transaction that is not its own to end."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def execute(self, change: CompilerElement, parameters: Parameters) -> int:
        """Carries out a named change; answers how many rows it touched."""
        self._connection.execute(*bound(change, parameters))
        return self._connection.changes()

    async def fetch(self, question: CompilerElement, parameters: Parameters) -> list[Row]:
        """Answers a named question as this transaction sees it."""
        return self._connection.execute(*bound(question, parameters)).fetchall()

    async def each(self, question: CompilerElement, parameters: Parameters) -> AsyncIterator[Row]:
        """The same, a row at a time."""
        for row in self._connection.execute(*bound(question, parameters)):
            yield row

    async def record(self, rows: Sequence[Parameters], *, known: bool = False) -> None:
        """Stores sessions and their devices; where told, leaves out ids that are there."""
        await self.hold({row["mac"] for row in rows})
        self._many(changes.insert_unknown_session() if known else changes.insert_session(), rows)

    async def hold(self, macs: Iterable[str], purpose: Purpose = "add") -> None:
        """Makes rows for devices that have none, to add sessions to them. Nobody else writes meanwhile."""
        if purpose == "add":
            self._many(changes.insert_device(), [{"mac": mac} for mac in macs])

    async def note(self, noted: Sequence[Parameters]) -> None:
        """Puts changes into the journal."""
        self._many(journal.insert_change(), noted)

    async def name(self, devices: Iterable[Parameters]) -> None:
        """Stores devices with their names and owners, unless they are there."""
        self._many(changes.name_device(), devices)

    def _many(self, change: CompilerElement, parameters: Iterable[Parameters]) -> None:
        sql, constants = compiled(change)
        self._connection.executemany(sql, ({**constants, **row} for row in parameters) if constants else parameters)


def _finish(change: Coroutine[Any, Any, T]) -> T:
    """Runs a change to its end: none of what it waits for here takes time."""
    try:
        change.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    change.close()
    raise RuntimeError("a change waits for nothing but its transaction")


class _Write:
    """A change that waits for its commit, and the task that waits for it."""

    def __init__(self, change: Change[Any]) -> None:
        self.change = change
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


def _settle(writes: list[_Write]) -> None:
    """Tells the tasks of one event loop what became of their writes."""
    for write in writes:
        if write.done.cancelled():
            continue
        if write.error is None:
            write.done.set_result(write.result)
        else:
            write.done.set_exception(write.error)


class _Writer(threading.Thread):
    """Takes whatever waits, carries it out in one transaction and answers after the commit. It never waits for more."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="writer", daemon=True)
        self._connection = connect(path, read_only=False)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()

    def submit(self, change: Change[Any]) -> asyncio.Future[Any]:
        write = _Write(change)
        self._queue.put(write)
        return write.done

    def stop(self) -> None:
        """Ends after everything that was submitted before."""
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        with closing(self._connection):
            running = True
            while running:
                waiting: list[_Write | None] = [self._queue.get()]
                while len(waiting) < GROUP and not self._queue.empty():
                    waiting.append(self._queue.get())
                running = None not in waiting
                # One whose caller has gone away is not begun; one that is begun is carried through.
                group = [write for write in waiting if write and not write.done.cancelled()]
                if group:
                    self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._carry_out(write)
            self._connection.execute("COMMIT")
        except Exception as cause:
            problem = unavailable(cause, self._connection)
            with suppress(apsw.Error):  # those who wait must be told in any case
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            for write in group:
                write.error = problem
        # One call for all of them: waking the event loop for each would cost more than its insert.
        for loop in {write.loop for write in group}:
            with suppress(RuntimeError):  # closed meanwhile, and nobody waits any more
                loop.call_soon_threadsafe(_settle, [write for write in group if write.loop is loop])

    def _carry_out(self, write: _Write) -> None:
        """A change that fails is undone alone; only one that takes the transaction with it fails its group."""
        self._connection.execute("SAVEPOINT one")
        try:
            write.result = _finish(cast("Coroutine[Any, Any, Any]", write.change(Transaction(self._connection))))
        except Exception as cause:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO one")
            write.error = unavailable(cause, self._connection)
        self._connection.execute("RELEASE one")


def unavailable(cause: Exception, connection: apsw.Connection | None = None) -> Exception:
    """The cause itself, or, where SQLite could not serve, what a door can tell its caller."""
    if not isinstance(cause, apsw.Error) or isinstance(cause, apsw.ConstraintError | apsw.BindingsError):
        return cause
    # A quota and a limit of file sizes are for SQLite errors of the disk like any other.
    denied = isinstance(cause, apsw.IOError) and connection is not None and connection.system_errno in NO_ROOM
    error = (StoreFullError if denied or isinstance(cause, apsw.FullError) else StoreUnavailableError)(
        f"{cause}; stop the server and restore a backup" if isinstance(cause, DAMAGED) else str(cause)
    )
    error.__cause__ = cause
    return error


def check(path: Path) -> None:
    """Looks through a file that was not closed in order, before it is served; raises `StoreUnusableError`.

    What is left in its write-ahead log becomes part of it, and SQLite does not know whether that log is its own. It takes
    half a second for a million sessions; a file that was closed in order is not looked through.
    """
    log = Path(f"{path}-wal")
    if not path.is_file() or not log.is_file() or not log.stat().st_size:
        return
    try:
        # Read only, so that a log that does not belong to the file is not written into it by this.
        with closing(connect(path, read_only=True)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchall()[0][0])
    except DAMAGED as cause:
        found = str(cause)
    except apsw.Error as cause:
        raise StoreUnusableError(f"{path} cannot be opened ({cause}).") from cause
    if found != "ok":
        raise StoreUnusableError(
            f"{path} is damaged, or {log.name} beside it is of another file ({found.splitlines()[-1]}). "
            "Keep both, and restore a backup."
        )


async def _finished(connection: apsw.Connection, function: Callable[..., T], *arguments: Any) -> T:
    """What a thread answers. A caller that is cancelled has it give up, and waits: it may not lose its connection midway."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            connection.interrupt()
            await asyncio.wait([running], timeout=GIVEN_UP)
        raise


class _Question:
    """A question on its way through a thread, which can be made to give it up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that the next question of the same connection is never meant
        self._connection: apsw.Connection | None = None

    def ask(self, connection: apsw.Connection, sql: str, bindings: Parameters) -> list[Row]:
        self._connection = connection
        try:
            return connection.execute(sql, bindings).fetchall()
        finally:
            with self._lock:
                self._connection = None

    def give_up(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()


class Store:
    """The sessions in one SQLite file. Opened and closed by whoever composes the program."""

    merges = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = _Writer(path)
        self._writer.start()
        self._inline = connect(path, read_only=True)
        self._inline.set_busy_timeout(0)
        self._local = threading.local()
        self._written = asyncio.Event()
        self._connections = [self._inline]
        self._idle: list[apsw.Connection] = []  # of streams that were read to their ends
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    async def close(self) -> None:
        """Carries out what was submitted, then lets go of the file."""
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (*self._connections, *self._idle):
            connection.close()
        # The last: only one that writes can take the write-ahead log into the file, and leave none.
        await asyncio.to_thread(self._writer.stop)

    async def fetch(
        self, question: CompilerElement, parameters: Parameters, *, short: bool = False, current: bool = False
    ) -> list[Row]:
        """All rows that answer a named question.

        A `short` one, a few seeks and a few rows, is answered in place: it takes less than the way to a thread and back.
        One that turns out longer is given up and begun anew in a thread.
        """
        sql, bindings = bound(question, parameters)
        if short:
            try:
                cursor = self._inline.execute(sql, bindings)
                rows = list(islice(cursor, SHORT + 1))
                cursor.close()
                if len(rows) <= SHORT:
                    return rows
            except apsw.BusyError:
                pass  # a thread may wait, the event loop may not
            except apsw.Error as cause:
                raise unavailable(cause) from cause
        async with InTime():
            return await self._in_thread(sql, bindings)

    async def _in_thread(self, sql: str, bindings: Parameters) -> list[Row]:
        question = _Question()
        running = self._readers.submit(self._fetch, question, sql, bindings)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            while not running.done():
                question.give_up()
                await asyncio.sleep(GIVEN_UP)
            raise

    def _fetch(self, question: _Question, sql: str, bindings: Parameters) -> list[Row]:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = connect(self._path, read_only=True)
                self._connections.append(connection)
            return question.ask(connection, sql, bindings)
        except apsw.Error as cause:
            raise unavailable(cause) from cause

    async def stream(self, question: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Row], None]:
        """The rows in chunks, all of one moment, on a connection of their own so that a slow reader keeps nobody waiting."""
        # Opened here and not in a thread: it takes no time, and what is opened cannot get lost when we are cancelled.
        connection = self._idle.pop() if self._idle else connect(self._path, read_only=True)
        try:
            async with InTime():
                cursor = await _finished(connection, connection.execute, *bound(question, parameters))
            while True:
                async with InTime():
                    rows = await _finished(connection, _chunk, cursor)
                if rows:
                    yield rows
                if len(rows) < CHUNK:
                    break
            cursor.close()
            if len(self._idle) < READERS:
                self._idle.append(connection)
        except apsw.Error as cause:
            raise unavailable(cause) from cause
        finally:
            if connection not in self._idle:
                connection.close()

    async def write(self, change: Change[T], *, alone: bool = False) -> T:
        """Carries out a change and answers its result when it is durable; a change that raises leaves nothing behind.

        Here every change is alone: there is one writer, and one lock for those of other processes.
        """
        result: T = await self._writer.submit(change)
        self._written.set()
        return result

    async def record(self, rows: Sequence[Parameters], told: Parameters) -> None:
        """Stores sessions and their devices, all or none; returns when they are durable."""

        async def change(transaction: StoreTransaction) -> None:
            await transaction.record(rows)
            await transaction.note(created(rows, told))

        await self.write(change)

    async def record_one(self, row: Parameters, told: Parameters) -> Row:
        """The same for one; answers it as the store has it."""

        async def change(transaction: StoreTransaction) -> Row:
            await transaction.execute(changes.insert_device(), row)
            (stored,) = await transaction.fetch(changes.insert_one_session(), row)
            await transaction.execute(journal.insert_change(), created([row], told)[0])
            return cast("Row", stored)

        return await self.write(change)

    async def changed(self) -> AsyncGenerator[None, None]:
        """Yields when the journal may have grown: at once after a write of this process, soon after one of another."""
        version: object = None
        while True:
            self._written.clear()
            with suppress(apsw.Error):  # looked at again in a moment
                ((found,),) = self._inline.execute("PRAGMA data_version").fetchall()
                if found != version:
                    version = found
                    yield
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._written.wait()


def _chunk(cursor: apsw.Cursor) -> list[Row]:
    return list(islice(cursor, CHUNK))
