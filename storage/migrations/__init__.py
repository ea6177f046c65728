"""Brings a database to the tables that this release expects."""

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from storage.errors import StoreUnusableError
from storage.store import sqlite_path

WRITABLE = "write to the file and to its folder"
WAYS = {
    sqlite3.SQLITE_BUSY: "wait until the other process that writes to it is done",
    sqlite3.SQLITE_READONLY: f"let this user {WRITABLE}",
    sqlite3.SQLITE_CANTOPEN: f"let this user {WRITABLE}",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "see that its disk works and has room",
}
BORN = 2.0  # seconds that another process may take to begin a file that it has made
LOCK = 0x6E65_7400  # of two servers that start at once the second waits


def migrate(url: str, revision: str = "head") -> None:
    """Creates or upgrades a database, in one transaction; raises `StoreUnusableError` with one sentence for a person."""
    path = sqlite_path(url)
    name = "The PostgreSQL database" if path is None else str(path)
    try:
        if path is None:
            asyncio.run(_migrate_postgresql(url, revision))
        else:
            _migrate_sqlite(path, revision)
    except (DatabaseError, sqlite3.DatabaseError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as cause:
        problem = getattr(cause, "orig", cause)
        reason = str(problem).partition("\n")[0]
        way = "have its operator look"
        if path is not None:
            way = WAYS.get(getattr(problem, "sqlite_errorcode", 0) & 0xFF, "restore a backup")
        raise StoreUnusableError(
            f"{name} cannot be used as a database ({reason}). Name another one in DATABASE_URL, or {way}."
        ) from cause
    except CommandError as cause:
        raise StoreUnusableError(
            f"{name} was made by a newer release of netsessions ({cause}). Install that release, or name another database."
        ) from cause
    except OSError as cause:
        if path is not None:
            raise
        raise StoreUnusableError(f"The PostgreSQL server of DATABASE_URL cannot be reached ({cause}).") from cause


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _usable(path: Path) -> None:
    """Raises `StoreUnusableError` where SQLite would begin anew in place of a database of which something is left, and
    where it would find out only later that it cannot write."""
    for place in (path, path.absolute().parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreUnusableError(
                f"{place} is read only. Let this user {WRITABLE}, or name another in DATABASE_URL."
            )
    log = Path(f"{path}-wal")
    if not path.exists():
        if log.exists() and log.stat().st_size:
            raise StoreUnusableError(
                f"{path} is missing, but {log.name} of it is there. Put it back, or restore a backup; to begin with an empty "
                "database, delete that."
            )
        return
    end = time.monotonic() + BORN
    while not path.stat().st_size:
        if time.monotonic() > end:
            raise StoreUnusableError(
                f"{path} has no content. Restore a backup, or delete it to begin with an empty database."
            )
        time.sleep(0.1)


def _migrate_sqlite(path: Path, revision: str) -> None:
    path.absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _usable(path)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    # The driver would commit before DDL; told to keep out, it leaves the transaction to us, so a failed upgrade undoes
    # itself, and of two servers that start at once the second waits.
    @event.listens_for(engine, "connect")
    def _keep_out(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101, for the type checker
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        _upgrade(connection, revision)


async def _migrate_postgresql(url: str, revision: str) -> None:
    async def connect() -> Any:
        return await asyncpg.connect(url, target_session_attrs="read-write", timeout=10)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.run_sync(_upgrade, revision)
