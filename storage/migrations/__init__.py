"""Brings a database to the tables that this release expects."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from storage.errors import StoreUnusableError


def migrate(path: Path, revision: str = "head") -> None:
    """Creates the file, or upgrades it, in one transaction; raises `StoreUnusableError` with one sentence for a person."""
    path.absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except (DatabaseError, sqlite3.DatabaseError) as cause:
        reason = str(getattr(cause, "orig", cause))
        raise StoreUnusableError(
            f"{path} cannot be used as a database ({reason}). Name another file in DATABASE_URL, or restore a backup."
        ) from cause
    except CommandError as cause:
        raise StoreUnusableError(
            f"{path} was made by a newer release of netsessions ({cause}). Install that release, or name another file."
        ) from cause
