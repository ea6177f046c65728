"""Creates and upgrades the tables of a database."""

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

MAKE_WRITABLE = "give this user write access to the file and its folder"
ADVICE = {
    sqlite3.SQLITE_BUSY: "wait until the other process that writes to it has finished",
    sqlite3.SQLITE_READONLY: MAKE_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: MAKE_WRITABLE,
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_IOERR: "check that its disk works and has space",
}
CREATION_TIMEOUT = 2.0  # seconds in which another process may write to a file that it has created
ADVISORY_LOCK = 0x6E65_7400  # of two servers that start at once, the second waits


def migrate(url: str, revision: str = "head") -> None:
    """Create or upgrade a database in one transaction. Raise `StoreUnusableError` with a sentence for the operator."""
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
        advice = "ask its administrator"
        if path is not None:
            advice = ADVICE.get(getattr(problem, "sqlite_errorcode", 0) & 0xFF, "restore a backup")
        raise StoreUnusableError(
            f"{name} cannot be used as a database ({reason}). Set DATABASE_URL to another one, or {advice}."
        ) from cause
    except CommandError as cause:
        raise StoreUnusableError(
            f"{name} was written by a newer release of netsessions ({cause}). Install that release, or set DATABASE_URL to "
            "another database."
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


def _check_file(path: Path) -> None:
    """Raise `StoreUnusableError` if the file is read-only, or if SQLite would replace the rest of a lost database."""
    for location in (path, path.absolute().parent):
        if location.exists() and not os.access(location, os.W_OK):
            raise StoreUnusableError(
                f"{location} is read-only. Set DATABASE_URL to another database, or {MAKE_WRITABLE}."
            )
    log = Path(f"{path}-wal")
    if not path.exists():
        if log.exists() and log.stat().st_size:
            raise StoreUnusableError(
                f"{path} is missing, but its log {log.name} exists. Put the file back, or restore a backup. To start with an "
                "empty database, delete the log."
            )
        return
    deadline = time.monotonic() + CREATION_TIMEOUT
    while not path.stat().st_size:
        if time.monotonic() > deadline:
            raise StoreUnusableError(
                f"{path} is an empty file. Restore a backup, or delete the file to start with an empty database."
            )
        time.sleep(0.1)


def _migrate_sqlite(path: Path, revision: str) -> None:
    path.absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_file(path)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    # By default, the driver commits before DDL statements. With its own transactions switched off, a failed upgrade is
    # rolled back, and of two servers that start at once the second waits.
    @event.listens_for(engine, "connect")
    def _disable_driver_transactions(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
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
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        await connection.run_sync(_upgrade, revision)
