"""PostgreSQL: pools of connections to the primary and to replicas, creates that share a commit, and what may be tried again.

A failure that surely undid what it met (a deadlock, a server that shuts down before the commit) is tried again until
`PATIENCE` is over; sessions keep their ids, so that they can be stored again even after a commit of which no answer came.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from random import sample
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.sql.elements import CompilerElement

from storage.changes import NUMBERS, WRITTEN
from storage.clauses import COLUMNS
from storage.errors import OutcomeUnknownError, StoreUnavailableError, StoreUnusableError
from storage.journal import NOTED
from storage.marks import Marks, asking
from storage.store import Change, Parameters, Purpose, created
from storage.tables import DEVICES

Row = Any  # asyncpg's record: a sequence
T = TypeVar("T")

CONNECTIONS, STREAMS = 12, 6  # of one process to one database; of them, those that answer long lists
SPARE = 4  # of them, those that are kept for the next short question
GROUP = 512  # creates in one commit at most
BULK = 256  # sessions from which on they are copied in and not inserted
CHUNK = 1000  # rows that a stream or a cursor holds at a time
PATIENCE = 6.0  # seconds for which what failed is tried again: a failover takes a few
PAUSE = 0.1  # seconds between two tries
WAIT = 10.0  # seconds for a connection, or for an answer to a create
COMMAND = 60.0  # seconds for any other statement
STATEMENTS = 512  # prepared statements that each connection keeps

SETTINGS = {
    "jit": "off",  # compiling a statement takes longer than these take
    "plan_cache_mode": "force_generic_plan",  # planning one over all span classes takes longer than to answer it
    "timezone": "UTC",
    "lock_timeout": "10s",
    "application_name": "netsessions",
}
# Taken by whoever stores sessions, shared, and by whoever may delete a device's row, alone.
DEVICES_LOCK, ALONE_LOCK = 0x6E65_7401, 0x6E65_7402
# Taken from the first line of the journal to the commit, so that its numbers are in the order of commits.
JOURNAL_LOCK = 0x6E65_7403
CHANNEL = "netsessions"

_NAMES = ", ".join(WRITTEN)


def _places(names: Iterable[str]) -> str:
    """Arrays as parameters, a column each."""
    types = ("bigint" if name in (*NUMBERS, "at") else "text" for name in names)
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))


_ARRAYS = _places(WRITTEN)
_COLUMNS = ", ".join(f"session.{column.name}" for column in COLUMNS)
_values = itemgetter(*WRITTEN)

INSERT = f"INSERT INTO session ({_NAMES}) SELECT * FROM unnest({_ARRAYS})"  # noqa: S608, from above
INSERT_RETURNING = f"{INSERT} RETURNING {_COLUMNS}"
INSERT_UNKNOWN = f"{INSERT} ON CONFLICT DO NOTHING RETURNING mac, id"
NOTE = f"""WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({JOURNAL_LOCK})), noted AS
    (INSERT INTO change ({", ".join(NOTED)}) SELECT n.* FROM alone, unnest({_places(NOTED)}) AS n)
    SELECT pg_notify('{CHANNEL}', '') FROM alone"""  # noqa: S608, from above
STORED = f"SELECT {_COLUMNS} FROM session JOIN unnest($1::text[], $2::bigint[]) AS of (mac, id) USING (mac, id)"  # noqa: S608
INSERT_DEVICES = """INSERT INTO device (mac, name, owner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"""
LOCK_SHARED = f"SELECT pg_advisory_xact_lock_shared({DEVICES_LOCK})"
LOCK = "SELECT pg_advisory_xact_lock($1)"
HOLD = "SELECT FROM device WHERE mac = ANY ($1::text[]) ORDER BY mac FOR NO KEY UPDATE"
WRITTEN_TO = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
REPLAYED_TO = """SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint"""


_DIALECT: Any = dialect.dialect  # of which SQLAlchemy tells no type


class _Compiled(NamedTuple):
    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, parameters: Parameters) -> list[Any]:
        constants = self.constants
        return [constants[name] if name in constants else parameters[name] for name in self.names]


@lru_cache(STATEMENTS)
def compiled(statement: CompilerElement) -> _Compiled:
    """The SQL of a named question or change, made once for each shape; what its places stand for; its own constants."""
    made: Any = statement.compile(dialect=_DIALECT())
    constants = {name: value for name, value in made.params.items() if value is not None}
    return _Compiled(str(made), tuple(made.positiontup or ()), constants)


class _LostError(Exception):
    """A connection turned out to be of no use: it has ended, or its replica is behind what its reader must see."""


def passing(cause: BaseException) -> bool:
    """Whether a failure is of the server, the way to it or of others' transactions, and not of the statement."""
    if isinstance(cause, asyncpg.PostgresError):
        # Classes: connection, rollback, resources, state, operator, system, internal; and a server that takes no writes.
        return (cause.sqlstate or "")[:2] in ("08", "40", "53", "55", "57", "58", "XX") or cause.sqlstate == "25006"
    return isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError | _LostError)


def undone(cause: BaseException) -> bool:
    """Whether a commit that failed so surely left nothing behind."""
    return isinstance(cause, asyncpg.PostgresError) and (cause.sqlstate or "").startswith(("23", "40", "25"))


def unavailable(cause: BaseException) -> StoreUnavailableError:
    return StoreUnavailableError(str(cause) or type(cause).__name__)


class Transaction:
    """What a change is handed: a connection inside a transaction that is not its own to end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._shared = False

    async def execute(self, change: CompilerElement, parameters: Parameters) -> int:
        """Carries out a named change; answers how many rows it touched."""
        statement = compiled(change)
        if change.is_delete and change.table is DEVICES:  # type: ignore[attr-defined]
            await self._connection.execute(LOCK, DEVICES_LOCK)
        done = await self._connection.execute(statement.sql, *statement.arguments(parameters))
        return int(done.rpartition(" ")[2])

    async def fetch(self, question: CompilerElement, parameters: Parameters) -> list[Row]:
        """Answers a named question as this transaction sees it."""
        statement = compiled(question)
        rows: list[Row] = await self._connection.fetch(statement.sql, *statement.arguments(parameters))
        return rows

    async def each(self, question: CompilerElement, parameters: Parameters) -> AsyncIterator[Row]:
        """The same, a row at a time."""
        statement = compiled(question)
        async for row in self._connection.cursor(statement.sql, *statement.arguments(parameters), prefetch=CHUNK):
            yield row

    async def record(self, rows: Sequence[Parameters], *, known: bool = False) -> None:
        """Stores sessions and their devices; where told, leaves out ids that are there."""
        await self._devices({row["mac"] for row in rows})
        if known:
            await self._connection.execute(INSERT_UNKNOWN, *_arrays(WRITTEN, rows))
        elif len(rows) < BULK:
            await self._connection.execute(INSERT, *_arrays(WRITTEN, rows))
        else:
            await self._connection.copy_records_to_table("session", records=map(_values, rows), columns=WRITTEN)

    async def record_new(self, rows: Sequence[Parameters]) -> list[Parameters]:
        """The same for sessions that may be there since an earlier try; answers those that were not."""
        await self._devices({row["mac"] for row in rows})
        found = await self._connection.fetch(INSERT_UNKNOWN, *_arrays(WRITTEN, rows))
        new = {(row[0], row[1]) for row in found}
        return [row for row in rows if (row["mac"], row["id"]) in new]

    async def record_each(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Stores sessions and their devices; answers each session as the store has it, by its MAC and id."""
        await self._devices({row["mac"] for row in rows})
        found = await self._connection.fetch(INSERT_RETURNING, *_arrays(WRITTEN, rows))
        return {(row[0], row[1]): row for row in found}

    async def stored(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Sessions as the store has them, by MAC and id."""
        found = await self._connection.fetch(STORED, *_arrays(("mac", "id"), rows))
        return {(row[0], row[1]): row for row in found}

    async def hold(self, macs: Iterable[str], purpose: Purpose = "add") -> None:
        """Keeps whoever else holds one of the devices waiting until this is over; to add sessions, makes them known."""
        wanted = sorted(set(macs))
        if purpose == "add":
            await self._devices(wanted)
        elif purpose == "remove":
            # Before any row: who adds sessions takes its share of this lock first, too.
            await self._connection.execute(LOCK, DEVICES_LOCK)
        await self._connection.execute(HOLD, wanted)

    async def note(self, noted: Sequence[Parameters]) -> None:
        """Puts changes into the journal; nobody else does from then until the commit."""
        if noted:
            await self._connection.execute(NOTE, *_arrays(NOTED, noted))

    async def name(self, devices: Iterable[Parameters]) -> None:
        """Stores devices with their names and owners, unless they are there."""
        given = sorted((row["mac"], row["name"], row["owner"]) for row in devices)
        await self._connection.execute(INSERT_DEVICES, *map(list, zip(*given, strict=True)))

    async def _devices(self, macs: Iterable[str]) -> None:
        if not self._shared:
            await self._connection.execute(LOCK_SHARED)
            self._shared = True
        # In order, so that of two who store the same devices one waits for the other, and not each for each.
        wanted = sorted(macs)
        nothing = [None] * len(wanted)
        await self._connection.execute(INSERT_DEVICES, wanted, nothing, nothing)


def _arrays(names: Iterable[str], rows: Sequence[Parameters]) -> list[Sequence[Any]]:
    return [[row[name] for row in rows] for name in names]


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """Knows how far its replica has come."""

    replayed = 0

    async def has_replayed(self, mark: int) -> bool:
        if self.replayed < mark:
            self.replayed = await self.fetchval(REPLAYED_TO) or 0
        return self.replayed >= mark


async def _keep(_: Any) -> None:
    """Connections are handed on as they are: nothing here leaves a trace on one."""


async def _spread(url: str, **how: Any) -> Any:
    """A connection to any of the hosts of an address, so that each has its share."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    shuffled = ",".join(sample(hosts.split(","), k=hosts.count(",") + 1))
    return await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{user}{at}{shuffled}")), **how)


async def _pool(url: str, **more: Any) -> Any:
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=CONNECTIONS,
        connection_class=_Connection,
        reset=_keep,
        server_settings=SETTINGS,
        statement_cache_size=STATEMENTS,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        timeout=WAIT,
        **more,
    )


class _Create:
    """A session that waits for its commit, and the task that waits for it."""

    def __init__(self, row: Parameters, told: Parameters) -> None:
        self.row = row
        self.told = told
        self.key = (row["mac"], row["id"])
        self.asking = asking.get()
        self.done: asyncio.Future[Row] = asyncio.get_running_loop().create_future()


class _Readers:
    """Connections that one reader hands to the next: giving one back to its pool and taking it again costs as much as a
    short question itself."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._spare: list[Any] = []

    async def read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        connection = await self._take()
        try:
            found = await read(connection)
        except BaseException:
            await self.pool.release(connection)
            raise
        if len(self._spare) < SPARE:
            self._spare.append(connection)
        else:
            await self.pool.release(connection)
        return found

    async def _take(self) -> Any:
        while self._spare:
            connection = self._spare.pop()
            if not connection.is_closed():
                return connection
            await self.pool.release(connection)
        return await self.pool.acquire(timeout=WAIT)

    async def close(self) -> None:
        while self._spare:
            await self.pool.release(self._spare.pop())
        with suppress(Exception):
            await asyncio.wait_for(self.pool.close(), WAIT)
        self.pool.terminate()


class Store:
    """The sessions in a PostgreSQL database. Opened and closed by whoever composes the program."""

    merges = False

    def __init__(self, url: str, primary: Any, replicas: Any | None, marks: Marks) -> None:
        self._url = url
        self._primary = primary
        self._replicas = replicas
        self._readers = _Readers(primary)
        self._replica_readers = None if replicas is None else _Readers(replicas)
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

        return await self._read(read, current=current)

    async def _read(self, read: Callable[[Any], Awaitable[T]], *, current: bool) -> T:
        if self._replica_readers is not None and not current:
            mark = self._marks.of(asking.get())

            async def caught_up(connection: Any) -> T:
                if not await connection.has_replayed(mark):
                    raise _LostError
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
                if loop.time() > end:
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
                cursor = await connection.cursor(sql, *arguments)
                while rows := await cursor.fetch(CHUNK):
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
            raise _LostError("the connection was lost")

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
                    await told.wait()
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
        primary = await _pool(url, target_session_attrs="read-write", command_timeout=COMMAND)
        replicas = None if read_url is None else await _pool(read_url, connect=_spread, command_timeout=COMMAND)
    except (asyncpg.InterfaceError, ValueError) as problem:
        raise StoreUnusableError(f"The address of the database cannot be used ({problem}).") from problem
    return Store(url, primary, replicas, marks or Marks())
