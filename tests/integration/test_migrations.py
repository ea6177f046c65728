"""Migrations create the tables that the program declares, and upgrade databases of earlier releases with their rows."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel

from storage import migrations
from storage.errors import StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.queries import journal
from storage.store import sqlite_path
from storage.tables import SessionRow
from tests.conftest import DATABASES, MAC, new_database, sql
from tests.support import postgres
from tests.support.rows import FIRST_COLUMNS, ROW, SESSION_KINDS, insert_statement

POSTGRESQL_INDEXES = ("session_in_order", "session_of_device_in_order")


def test_migrations_create_the_tables_that_the_program_declares(url: str) -> None:
    """Autogenerate finds no difference, and generated columns have the values that the declarations compute."""

    async def compare() -> Any:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda c: compare_metadata(MigrationContext.configure(c), SQLModel.metadata)
            )
        await engine.dispose()
        return differences

    path = sqlite_path(url)
    if path is None:
        assert asyncio.run(compare()) == []
    else:
        engine = create_engine(url)
        with engine.connect() as connection:
            # Alembic does not know which indexes are for another database.
            options = {"include_object": lambda _, name, *__: name not in POSTGRESQL_INDEXES}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, SQLModel.metadata) == []
        engine.dispose()
    with closing(sqlite3.connect(":memory:")) as declared:
        for table in SQLModel.metadata.sorted_tables:
            declared.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for n, row in enumerate(SESSION_KINDS):
            declared.execute(insert_statement(ROW | row | {"id": n}))
            sql(url, insert_statement(ROW | row | {"id": n}))
        query = "SELECT state, starts_at, span FROM session ORDER BY id"
        assert sql(url, query) == declared.execute(query).fetchall()


REVISIONS = sorted(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("0*.py"))

INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
}


@pytest.fixture(params=DATABASES)
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'old.db'}"
    else:
        server, name = postgres.shared_cluster(), f"old_{uuid.uuid4().hex}"
        sql(server.url(), f"CREATE DATABASE {name}")
        yield server.url(name)
        postgres.drop_database(sql, server.url(name))


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_upgrade_keeps_sessions_and_computes_their_columns_as_in_a_new_database(
    tmp_path: Path, old_url: str, revision: str
) -> None:
    """The upgraded database equals a new one with the same sessions, indexes included."""
    kind = "sqlite" if sqlite_path(old_url) else "postgresql"
    new_url = new_database(kind, tmp_path)
    migrate(old_url, revision)
    for url in (old_url, new_url):
        for n, row in enumerate(SESSION_KINDS):
            values = {name: value for name, value in (ROW | row).items() if name in FIRST_COLUMNS}
            sql(url, insert_statement(values | {"id": n}))
        sql(url, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:FF', 'Phone', NULL)")
    migrate(old_url)
    columns = f"{', '.join(ROW)}, id, state, starts_at, span"
    queries = [f"SELECT {columns} FROM session ORDER BY id", "SELECT * FROM device", INDEXES[kind]]
    old, new = [[sql(url, query) for query in queries] for url in (old_url, new_url)]
    assert old == new
    assert len(old[0]) == len(SESSION_KINDS)


class OldSnapshot(NamedTuple):
    """A snapshot as releases up to migration 0005 stored it: as a JSON array of these values."""

    mac: str
    id: int
    ip: str
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str
    state: str


@pytest.mark.parametrize("revision", ["0004", "0005"])
def test_upgrade_keeps_live_sessions_and_histories(old_url: str, revision: str) -> None:
    """Renamed columns keep their values, and snapshots that were stored by position are read by name."""
    migrate(old_url, revision)
    values = {name: value for name, value in ROW.items() if name in FIRST_COLUMNS}
    sql(old_url, insert_statement(values | {"id": 1, "live": 1, "seen_at": 2**52, "told_at": 3}))
    before = OldSnapshot(MAC, 2**62, "10.0.0.1", 0, None, "Connected", None, '"quoted", it\'s \\ ü 😀 <b>', "CONNECTED")
    after = before._replace(disconnected_at=2**52, disconnection_event="Disconnected", state="COMPLETE", info="")
    entries = [("CREATED", None, None), ("UPDATED", before, after), ("DELETED", after, None)]
    for at, (kind, *snapshots) in enumerate(entries):
        texts = [None if row is None else json.dumps(row) for row in snapshots]
        names = ("at", "kind", "mac", "id", "who", "before", "after")
        values = dict(zip(names, (at, kind, MAC, before.id, "API_TOKEN", *texts), strict=True))
        sql(old_url, insert_statement(values, "change"))
    migrate(old_url)
    assert sql(old_url, "SELECT live, last_seen_at, last_reported_at FROM session") == [(1, 2**52, 3)]
    assert sql(old_url, "SELECT kind, before, after FROM change WHERE at = 0") == [("CREATED", None, None)]
    texts = [text for row in sql(old_url, "SELECT before, after FROM change WHERE at > 0 ORDER BY at") for text in row]
    assert [text and json.loads(text) for text in texts] == [before._asdict(), after._asdict(), after._asdict(), None]

    async def read_history() -> list[tuple[Any, ...]]:
        store = await open_store(old_url)
        rows = await store.fetch(journal.session_history(), {"mac": MAC, "id": before.id})
        await store.close()
        return [(row[1], *(text and journal.read_snapshot(text) for text in row[3:])) for row in rows]

    rows = [(kind, *(old and SessionRow(**old._asdict()) for old in snapshots)) for kind, *snapshots in entries[1:]]
    assert asyncio.run(read_history()) == rows


def test_snapshots_tolerate_added_and_removed_columns() -> None:
    """A column that was added later is None; a column that no longer exists is ignored."""
    row = SessionRow(MAC, 1, "10.0.0.1", 0, None, "Connected", None, "", "CONNECTED")
    values = json.loads(journal.write_snapshot(row))
    assert list(values) == list(SessionRow._fields)
    del values["info"]
    text = json.dumps({"removed": 1} | dict(reversed(values.items())))
    assert journal.read_snapshot(text) == row._replace(info=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, b"\0" * 5000])
def test_file_that_is_not_a_database_is_rejected_and_unchanged(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(StoreUnusableError, match="cannot be used as a database"):
        migrate(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_database_of_a_newer_release_is_rejected(url: str) -> None:
    sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnusableError, match="newer release"):
        migrate(url)
