"""Pools of connections to the primary and to replicas, and what their failures mean."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import sample
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from storage.errors import StoreFullError, StoreUnavailableError

T = TypeVar("T")

CONNECTIONS = 12  # of one process to one database
SPARE = 4  # of them, those that are kept for the next short question
WAIT = 10.0  # seconds for a connection, or for an answer to a create
STATEMENTS = 512  # prepared statements that each connection keeps

SETTINGS = {
    "jit": "off",  # compiling a statement takes longer than these take
    "plan_cache_mode": "force_generic_plan",  # planning one over all span classes takes longer than to answer it
    "timezone": "UTC",
    "lock_timeout": "10s",
    "application_name": "netsessions",
}
REPLAYED_TO = """SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint"""


class LostError(Exception):
    """A connection turned out to be of no use: it has ended, or its replica is behind what its reader must see."""


def passing(cause: BaseException) -> bool:
    """Whether a failure is of the server, the way to it or of others' transactions, and not of the statement."""
    if isinstance(cause, asyncpg.PostgresError):
        # Classes: connection, rollback, resources, state, operator, system, internal; and a server that takes no writes.
        return (cause.sqlstate or "")[:2] in ("08", "40", "53", "55", "57", "58", "XX") or cause.sqlstate == "25006"
    return isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError | LostError)


def undone(cause: BaseException) -> bool:
    """Whether a commit that failed so surely left nothing behind."""
    return isinstance(cause, asyncpg.PostgresError) and (cause.sqlstate or "").startswith(("23", "25", "40", "53"))


def full(cause: BaseException) -> bool:
    """Whether the server has no room, which another try does not make."""
    return isinstance(cause, asyncpg.DiskFullError)


def unavailable(cause: BaseException) -> StoreUnavailableError:
    return (StoreFullError if full(cause) else StoreUnavailableError)(str(cause) or type(cause).__name__)


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """Knows how far its replica has come."""

    replayed = 0

    async def has_replayed(self, mark: int) -> bool:
        if self.replayed < mark:
            self.replayed = await self.fetchval(REPLAYED_TO) or 0
        return self.replayed >= mark


async def _keep(_: Any) -> None:
    """Connections are handed on as they are: nothing here leaves a trace on one."""


async def spread(url: str, **how: Any) -> Any:
    """A connection to any of the hosts of an address, so that each has its share."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    shuffled = ",".join(sample(hosts.split(","), k=hosts.count(",") + 1))
    return await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{user}{at}{shuffled}")), **how)


async def pool_of(url: str, **more: Any) -> Any:
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


class Readers:
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
