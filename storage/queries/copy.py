"""Statements that copy a database into another one."""

from functools import cache
from typing import Any

from sqlalchemy import Insert, Select, Table, func, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import table_parameters, text_param
from storage.tables import (
    ACCOUNTING,
    INSERT_COLUMNS,
    JOURNAL,
    JOURNAL_COLUMNS,
    SAVED_RESPONSES,
    TOKENS,
    entry,
    session,
)

TABLES_WITH_KEYS = (TOKENS, ACCOUNTING, SAVED_RESPONSES)  # copied whole; existing keys are skipped


@cache
def stored_sessions() -> Select[Any]:
    """Select every column of all sessions that the database does not compute, in the order of `INSERT_COLUMNS`."""
    return select(*(session[name] for name in INSERT_COLUMNS))


@cache
def stored_sessions_of_device() -> Select[Any]:
    """Select the same columns of the sessions of `mac`."""
    return stored_sessions().where(session.mac == text_param("mac"))


@cache
def history_entries() -> Select[Any]:
    """Select the journal entries of updated and deleted sessions, as `JOURNAL_COLUMNS`; oldest first."""
    return select(*(entry[name] for name in JOURNAL_COLUMNS)).where(entry.before.is_not(None)).order_by(entry.seq)


@cache
def count_history_entries() -> Select[Any]:
    """Count the journal entries of updated and deleted sessions."""
    return select(func.count()).select_from(JOURNAL).where(entry.before.is_not(None))


@cache
def all_rows(table: Table) -> Select[Any]:
    """Select all rows of a table."""
    return select(table)


@cache
def insert_if_absent(table: Table) -> Insert:
    """Insert a row into a table unless its key exists."""
    return insert(table).values(table_parameters(table, table.c.keys())).on_conflict_do_nothing()
