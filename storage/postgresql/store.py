"""The store on PostgreSQL: creates that share a commit, and what may be tried again.

A failure that surely undid what it met (a deadlock, a server that shuts down before the commit) is tried again until
`PATIENCE` is over; sessions keep their ids, so that they can be stored again even after a commit of which no answer came.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.sql.elements import CompilerElement

from storage.deadline import InTime
from storage.errors import OutcomeUnknownError, StoreUnavailableError, StoreUnusableError
from storage.postgresql.pools import WAIT, LostError, Readers, full, passing, pool_of, spread, unavailable, undone
from storage.postgresql.transaction import ALONE_LOCK, CHANNEL, CHUNK, LOCK, Row, Transaction, compiled
from storage.replicas import Marks, asking
from storage.store import Change, Parameters, created

T = TypeVar("T")

STREAMS = 6  # connections that answer long lists, of those of a process
GROUP = 512  # creates in one commit at most
PATIENCE = 6.0  # seconds for which what failed is tried again: a failover takes a few
PAUSE = 0.1  # seconds between two tries
LOOK = 15.0  # seconds after which somebody who waits for changes looks whether the server is still there
COMMAND = 60.0  # seconds for any other statement

WRITTEN_TO = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"


class _Create:
    """A session that waits for its commit, and the task that waits for it."""

    def __init__(self, row: Parameters, told: Parameters) -> None:
        self.row = row
        self.told = told
        self.key = (row["mac"], row["id"])
        self.asking = asking.get()
        self.done: asyncio.Future[Row] = asyncio.get_running_loop().create_future()


class Store:
    """The sessions in a PostgreSQL database. Opened and closed by whoever composes the program."""

    merges = False

    def __init__(self, url: str, primary: Any, replicas: Any | None, marks: Marks) -> None:
        self._url = url
        self._primary = primary
        self._replicas = replicas
        self._readers = Readers(primary)
        self._replica_readers = None if replicas is None else Readers(replicas)
        self._marks = marks
        self._streams = asyncio.Semaphore(STREAMS)
        self._creates: list[_Create] = []
        self._creating: asyncio.Task[None] | None = None
        self._writes = 0
        self._written = asyncio.Event()

    async def close(self) -> None:
        """Carries out what was submitted, then lets go of the database."""
        while self._writes:
            self._written.clear()
            await self._written.wait()
        for readers in filter(None, (self._readers, self._replica_readers)):
            await readers.close()

    async def fetch(
        self, question: CompilerElement, parameters: Parameters, *, short: bool = False, current: bool = False
    ) -> list[Row]:
        """All rows that answer a named question."""
        sql, arguments = _asked(question, parameters)

        async def read(connection: Any) -> list[Row]:
            rows: list[Row] = await connection.fetch(sql, *arguments)
            return rows

        async with InTime():
            return await self._read(read, current=current)

    async def _read(self, read: Callable[[Any], Awaitable[T]], *, current: bool) -> T:
        if self._replica_readers is not None and not current:
            mark = self._marks.of(asking.get())

            async def caught_up(connection: Any) -> T:
                if not await connection.has_replayed(mark):
                    raise LostError
                return await read(connection)

            try:
                return await self._replica_readers.read(caught_up)
            except Exception as cause:
                if not passing(cause):
                    raise
        return await self._patiently(lambda _: self._readers.read(read))

    async def _patiently(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Tries until it works or patience is over; tells each attempt whether it is not the first."""
        loop = asyncio.get_running_loop()
        end, again = loop.time() + PATIENCE, False
        while True:
            try:
                return await attempt(again)
            except Exception as cause:
                if not passing(cause):
                    raise
                if full(cause) or loop.time() > end:
                    raise unavailable(cause) from cause
            again = True
            await asyncio.sleep(PAUSE)

    async def stream(self, question: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Row], None]:
        """The rows in chunks, all of one moment. Slow readers keep those of other long lists waiting, and nobody else."""
        sql, arguments = _asked(question, parameters)
        try:
            async with asyncio.timeout(WAIT):
                await self._streams.acquire()
        except TimeoutError as cause:
            raise StoreUnavailableError("too many long lists are being read") from cause
        try:
            async with self._for_stream() as connection, connection.transaction(readonly=True):
                async with InTime():
                    cursor = await connection.cursor(sql, *arguments)
                while True:
                    async with InTime():
                        rows = await cursor.fetch(CHUNK)
                    if rows:
                        yield rows
                    if len(rows) < CHUNK:
                        break
        except Exception as cause:
            if not passing(cause):
                raise
            raise unavailable(cause) from cause
        finally:
            self._streams.release()

    @asynccontextmanager
    async def _for_stream(self) -> AsyncIterator[Any]:
        """A connection that answers: what has begun to stream cannot be begun anew."""

        async def answering(pool: Any, mark: int) -> Any:
            connection = await pool.acquire(timeout=WAIT)
            with suppress(Exception):
                await connection.execute("SELECT 1")
                if await connection.has_replayed(mark):
                    return connection
            await pool.release(connection)
            raise LostError("the connection was lost")

        pool, connection = self._primary, None
        if self._replicas is not None:
            with suppress(Exception):
                connection = await answering(self._replicas, self._marks.of(asking.get()))
                pool = self._replicas
        if connection is None:
            connection = await self._patiently(lambda _: answering(self._primary, 0))
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def write(self, change: Change[T], *, alone: bool = False) -> T:
        """Carries out a change and answers its result when it is durable; a change that raises leaves nothing behind."""

        async def work(transaction: Transaction, connection: Any) -> T:
            if alone:
                await connection.execute(LOCK, ALONE_LOCK)
            return await change(transaction)

        with self._under_way():
            return await self._patiently(lambda _: self._transact(work, [asking.get()]))

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """What a close waits for."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1
            self._written.set()

    async def record(self, rows: Sequence[Parameters], told: Parameters) -> None:
        """Stores sessions and their devices, all or none; returns when they are durable."""

        async def attempt(again: bool) -> None:
            async def work(transaction: Transaction, _: Any) -> None:
                new = rows
                if again:
                    new = await transaction.record_new(rows)
                else:
                    await transaction.record(rows)
                await transaction.note(created(new, told))

            await self._transact(work, [asking.get()])

        if rows:
            with self._under_way():
                await self._surely(attempt)

    async def record_one(self, row: Parameters, told: Parameters) -> Row:
        """The same for one; answers it as the store has it. Those that arrive together share a commit."""
        create = _Create(row, told)
        self._creates.append(create)
        if self._creating is None:
            self._creating = asyncio.create_task(self._create_all())
        with self._under_way():
            return await create.done

    async def _create_all(self) -> None:
        try:
            while self._creates:
                group, self._creates = self._creates[:GROUP], self._creates[GROUP:]
                # One whose caller has gone away is not begun; one that is begun is carried through.
                await self._create([create for create in group if not create.done.done()])
        finally:
            self._creating = None

    async def _create(self, group: list[_Create]) -> None:
        async def attempt(again: bool) -> dict[tuple[str, int], Row]:
            rows = [create.row for create in group]

            async def work(transaction: Transaction, _: Any) -> dict[tuple[str, int], Row]:
                if again:
                    new = {(row["mac"], row["id"]) for row in await transaction.record_new(rows)}
                    found = await transaction.stored(rows)
                else:
                    found = await transaction.record_each(rows)
                    new = set(found)
                told = (created([create.row], create.told)[0] for create in group if create.key in new)
                await transaction.note(list(told))
                return found

            return await self._transact(work, [create.asking for create in group])

        if not group:
            return
        try:
            stored = await self._surely(attempt)
        except Exception as cause:
            if len(group) > 1 and not isinstance(cause, StoreUnavailableError):
                # One of them cannot be stored: each alone, so that it fails alone.
                for create in group:
                    await self._create([create])
                return
            for create in group:
                if not create.done.done():
                    create.done.set_exception(cause)
        else:
            for create in group:
                if not create.done.done():
                    create.done.set_result(stored[create.key])

    async def changed(self) -> AsyncGenerator[None, None]:
        """Yields when the journal may have grown, as the database tells; and whenever it could not for a while."""
        told = asyncio.Event()

        def tell(*_: Any) -> None:
            told.set()

        while True:
            try:
                connection = await asyncpg.connect(self._url, target_session_attrs="read-write", timeout=WAIT)
            except Exception as cause:
                if not passing(cause):
                    raise
                await asyncio.sleep(PAUSE)
                continue
            try:
                connection.add_termination_listener(tell)
                await connection.add_listener(CHANNEL, tell)
                while not connection.is_closed():
                    told.clear()
                    yield
                    while not told.is_set():
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK):
                                await told.wait()
                                break
                        # A server that is gone without a word is noticed by those alone who ask it something.
                        await connection.execute("SELECT 1", timeout=WAIT)
            except Exception as cause:
                if not passing(cause):
                    raise
            finally:
                connection.terminate()

    async def _surely(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Stores what may be stored again: also after a commit without an answer."""
        loop = asyncio.get_running_loop()
        end, again = loop.time() + PATIENCE, False
        while True:
            try:
                return await self._patiently(lambda retried: attempt(again or retried))  # noqa: B023
            except OutcomeUnknownError:
                if loop.time() > end:
                    raise
                again = True

    async def _transact(self, work: Callable[[Transaction, Any], Awaitable[T]], told: Iterable[str | None]) -> T:
        """One transaction from begin to commit; notes for those who are told how far a replica must have come for them."""
        async with self._primary.acquire(timeout=WAIT) as connection:
            begun = connection.transaction()
            await begun.start()
            try:
                result = await work(Transaction(connection), connection)
            except BaseException:
                with suppress(Exception):
                    await begun.rollback()
                raise
            try:
                await asyncio.wait_for(begun.commit(), WAIT)
            except Exception as cause:
                if undone(cause) or not passing(cause):
                    raise
                with suppress(asyncpg.InterfaceError):  # ended already
                    connection.terminate()
                raise OutcomeUnknownError(str(cause) or type(cause).__name__) from cause
            if self._replicas is not None:
                with suppress(Exception):
                    self._marks.note(told, await connection.fetchval(WRITTEN_TO))
        return result


def _asked(question: CompilerElement, parameters: Parameters) -> tuple[str, list[Any]]:
    statement = compiled(question)
    return statement.sql, statement.arguments(parameters)


async def connect(url: str, read_url: str | None, marks: Marks | None = None) -> Store:
    """A store on the primary, which is looked for anew whenever connections to it end."""
    try:
        primary = await pool_of(url, target_session_attrs="read-write", command_timeout=COMMAND)
        replicas = None if read_url is None else await pool_of(read_url, connect=spread, command_timeout=COMMAND)
    except (asyncpg.InterfaceError, ValueError) as problem:
        raise StoreUnusableError(f"The address of the database cannot be used ({problem}).") from problem
    return Store(url, primary, replicas, marks or Marks())
