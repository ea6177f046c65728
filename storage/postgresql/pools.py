"""Connection pools for the primary and the replicas, and the classification of their errors."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import sample
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from storage.errors import StoreFullError, StoreUnavailableError

T = TypeVar("T")

MAX_CONNECTIONS = 12  # of a process to a database
MAX_SPARE = 4  # kept out of the pool for the next query
TIMEOUT = 10.0  # seconds for a connection or a commit
STATEMENT_CACHE_SIZE = 512  # prepared statements of a connection

SERVER_SETTINGS = {
    "jit": "off",  # these queries run faster than they compile
    "plan_cache_mode": "force_generic_plan",  # planning a query over all span classes takes longer than running it
    "timezone": "UTC",
    "lock_timeout": "10s",
    "application_name": "netsessions",
}
REPLAYED_POSITION = """SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint"""


class ConnectionLostError(Exception):
    """The connection ended, or its replica has not replayed the reader's last write."""


TRANSIENT_ERRORS = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ConnectionLostError,
)


def is_transient(cause: BaseException) -> bool:
    """Return whether an error is due to the server, the network or concurrent transactions, not to the statement."""
    if isinstance(cause, asyncpg.PostgresError):
        # Classes: connection, rollback, resources, state, operator, system, internal. 25006: the server is read-only.
        return (cause.sqlstate or "")[:2] in ("08", "40", "53", "55", "57", "58", "XX") or cause.sqlstate == "25006"
    return isinstance(cause, TRANSIENT_ERRORS)


def was_rolled_back(cause: BaseException) -> bool:
    """Return whether a commit that failed with this error was certainly rolled back."""
    return isinstance(cause, asyncpg.PostgresError) and (cause.sqlstate or "").startswith(("23", "25", "40", "53"))


def is_disk_full(cause: BaseException) -> bool:
    """Return whether the server's disk is full, which makes a retry useless."""
    return isinstance(cause, asyncpg.DiskFullError)


def translate_error(cause: BaseException) -> StoreUnavailableError:
    return (StoreFullError if is_disk_full(cause) else StoreUnavailableError)(str(cause) or type(cause).__name__)


class _TrackedConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that caches how far its server has replayed the write-ahead log."""

    replayed_position = 0

    async def has_replayed(self, position: int) -> bool:
        if self.replayed_position < position:
            self.replayed_position = await self.fetchval(REPLAYED_POSITION) or 0
        return self.replayed_position >= position


async def _skip_reset(_: Any) -> None:
    """Do nothing instead of a RESET: no query here changes the state of a connection."""


async def connect_to_any_host(url: str, **options: Any) -> Any:
    """Connect to a random host of the URL, to spread the load."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    shuffled = ",".join(sample(hosts.split(","), k=hosts.count(",") + 1))
    return await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{user}{at}{shuffled}")), **options)


async def create_pool(url: str, **options: Any) -> Any:
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        connection_class=_TrackedConnection,
        reset=_skip_reset,
        server_settings=SERVER_SETTINGS,
        statement_cache_size=STATEMENT_CACHE_SIZE,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        timeout=TIMEOUT,
        **options,
    )


class ReaderPool:
    """Acquires connections for reads. Keeps a few, because release and acquire take as long as a short query."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._spare: list[Any] = []

    async def read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        connection = await self._acquire()
        try:
            result = await read(connection)
        except BaseException:
            await self.pool.release(connection)
            raise
        if len(self._spare) < MAX_SPARE:
            self._spare.append(connection)
        else:
            await self.pool.release(connection)
        return result

    async def _acquire(self) -> Any:
        while self._spare:
            connection = self._spare.pop()
            if not connection.is_closed():
                return connection
            await self.pool.release(connection)
        return await self.pool.acquire(timeout=TIMEOUT)

    async def close(self) -> None:
        while self._spare:
            await self.pool.release(self._spare.pop())
        with suppress(Exception):
            await asyncio.wait_for(self.pool.close(), TIMEOUT)
        self.pool.terminate()
