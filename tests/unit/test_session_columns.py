"""Every place that lists the columns of the session table has all of them, except those that this test excludes.

A new column fails a test here until each place handles it, or until it is added to one of the sets below.
"""

import asyncio
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resolvers.corrections import CORRECTABLE_COLUMNS, FIELD_NAMES, _as_input
from resolvers.maintenance.copy import _digest, copy_database
from resolvers.sessions import build_row
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewSession, validate
from storage.opening import open_store
from storage.postgresql import transaction as postgresql_transaction
from storage.queries import copy as copy_queries
from storage.queries import journal, writes
from storage.queries import sessions as session_queries
from storage.queries.json_objects import JSON_FIELDS
from storage.sources.exported import EXPORT_COLUMNS
from storage.sqlite.backups import back_up
from storage.tables import INSERT_COLUMNS, SESSION_COLUMNS, SESSION_DEFAULTS, SESSIONS, SessionRow
from tests.conftest import AUDIT_STAMP, new_database, sql

COLUMNS = SESSIONS.c.keys()
COMPUTED_BY_DATABASE = {"state", "starts_at", "span"}
INTERNAL = {"starts_at", "span", "live", "last_seen_at", "last_reported_at"}  # neither returned nor in histories
NOT_EXPORTED = INTERNAL | {"id"}

STORED = [name for name in COLUMNS if name not in COMPUTED_BY_DATABASE]
RETURNED = [name for name in COLUMNS if name not in INTERNAL]

# A session in which no stored column has its default value.
ROW: dict[str, Any] = {
    "mac": "AA:BB:CC:DD:EE:FF",
    "id": 1,
    "ip": "10.0.0.1",
    "connected_at": 10,
    "disconnected_at": 40,
    "connection_event": "New Device",
    "disconnection_event": "Device Down",
    "info": "desk 7",
    "live": 1,
    "last_seen_at": 20,
    "last_reported_at": 30,
}


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a SQLite database that contains `ROW`."""
    url = new_database("sqlite", tmp_path)

    async def insert() -> None:
        store = await open_store(url)
        await store.insert_sessions([ROW], AUDIT_STAMP)
        await store.close()

    asyncio.run(insert())
    return url


def read_rows(url: str) -> list[dict[str, Any]]:
    """Return all columns of all sessions by name."""
    names = [name for (name,) in sql(url, "SELECT name FROM pragma_table_xinfo('session')")]
    columns = ", ".join(f'"{name}"' for name in names)
    return [dict(zip(names, row, strict=True)) for row in sql(url, f"SELECT {columns} FROM session")]


def test_the_example_sets_every_stored_column_to_another_value_than_the_default() -> None:
    assert list(ROW) == STORED
    assert all(ROW[name] != value for name, value in SESSION_DEFAULTS.items())


def test_defaults_cover_every_optional_stored_column() -> None:
    optional = {name for name in STORED if SESSIONS.c[name].nullable or SESSIONS.c[name].server_default is not None}
    assert set(SESSION_DEFAULTS) == optional


def test_inserts_set_every_stored_column(database: str) -> None:
    assert list(INSERT_COLUMNS) == STORED
    assert set(writes.insert_session().compile().params) == set(STORED)
    assert f"INSERT INTO session ({', '.join(STORED)})" in postgresql_transaction.INSERT_SESSIONS
    (stored,) = read_rows(database)
    assert list(stored) == COLUMNS
    assert {name: stored[name] for name in STORED} == ROW


def test_rows_have_every_column_that_is_not_internal() -> None:
    assert [column.name for column in SESSION_COLUMNS] == RETURNED
    assert list(SessionRow._fields) == RETURNED
    assert [column.name for column in session_queries.session_by_id().selected_columns] == RETURNED


def test_json_objects_have_every_column_that_is_not_internal() -> None:
    assert set(JSON_FIELDS) == {*RETURNED, "duration_seconds"}


def test_exports_have_every_column_that_is_not_excluded() -> None:
    assert set(EXPORT_COLUMNS) == set(COLUMNS) - NOT_EXPORTED


def test_journal_snapshots_have_every_column_that_is_not_internal() -> None:
    row = SessionRow._make(ROW.get(name, "COMPLETE") for name in SessionRow._fields)
    assert list(json.loads(journal.write_snapshot(row))) == RETURNED
    assert journal.read_snapshot(journal.write_snapshot(row)) == row


@pytest.mark.parametrize("name", STORED)
def test_checksum_depends_on_every_stored_column(name: str) -> None:
    assert [column.name for column in copy_queries.stored_sessions().selected_columns] == STORED
    changed = ROW | {name: "other" if isinstance(ROW[name], str) else ROW[name] + 1}
    assert _digest(changed.values()) != _digest(ROW.values())


def test_copies_have_every_column(database: str, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copied = new_database("sqlite", tmp_path / "copy")

    async def copy() -> None:
        source, target = await open_store(database), await open_store(copied)
        await copy_database(source, target, lambda *_: None)
        await source.close()
        await target.close()

    asyncio.run(copy())
    assert read_rows(copied) == read_rows(database)


def test_backups_have_every_column(database: str, tmp_path: Path) -> None:
    back_up(Path(database.removeprefix("sqlite:///")), tmp_path / "backup.db", lambda *_: None)
    assert read_rows(f"sqlite:///{tmp_path / 'backup.db'}") == read_rows(database)


def test_create_sets_every_column_that_clients_provide() -> None:
    """Otherwise `build_row` would store the default value of a new column."""
    new = NewSession.model_construct(**{FIELD_NAMES.get(name, name): value for name, value in ROW.items()})
    provided = set(STORED) - INTERNAL
    assert {name: value for name, value in build_row(new, ROW["id"]).items() if name in provided} == {
        name: ROW[name] for name in provided
    }


def test_corrections_can_change_every_column_that_clients_provide() -> None:
    """A correction passes the session through `NewSession`, so `_as_input` has a field for each column."""
    assert set(CORRECTABLE_COLUMNS) == set(STORED) - INTERNAL - {"mac", "id"}
    row = SessionRow._make(ROW.get(name, "COMPLETE") for name in SessionRow._fields)
    clock = Clock(ZoneInfo("UTC"))
    unchanged = build_row(validate(NewSession, _as_input(row, {}), clock), row.id)
    assert {name: unchanged[name] for name in CORRECTABLE_COLUMNS} == {name: ROW[name] for name in CORRECTABLE_COLUMNS}
