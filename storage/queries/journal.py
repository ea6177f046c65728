"""Statements on the journal: which sessions were created, updated and deleted, in the order of commits.

Entries of created sessions are kept while subscribers may resume from them. Entries of updated and deleted sessions are
the history of a session and are kept until they are pruned.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Delete, Insert, Select, Text, and_, delete, func, insert, literal_column, select

from storage.queries.clauses import integer_param, table_parameters, text_param
from storage.store import CREATED
from storage.tables import JOURNAL, JOURNAL_COLUMNS, SESSION_COLUMNS, SESSIONS, SessionRow, entry, session

JournalKind = Literal["CREATED", "UPDATED", "DELETED"]


class JournalRow(NamedTuple):
    """A journal entry with the session as it is at the time of reading, or None if the session no longer exists."""

    seq: int
    at: int
    kind: JournalKind
    mac: str
    id: int  # of the session, with its MAC; set even if the session no longer exists
    session: SessionRow | None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Convert a row of `entries_since`."""
        seq, at, kind, mac, identity, *columns = row
        return cls(seq, at, kind, mac, identity, None if columns[0] is None else SessionRow._make(columns))


def write_snapshot(row: SessionRow) -> str:
    """Return a session as a JSON object by column name, the form of `before` and `after`."""
    return json.dumps(row._asdict())


def read_snapshot(text: str) -> SessionRow:
    """Return the session of a snapshot. Columns that it lacks are None; columns that no longer exist are ignored."""
    values = json.loads(text)
    return SessionRow._make(map(values.get, SessionRow._fields))


@cache
def insert_entry() -> Insert:
    """Insert an entry with the parameters `JOURNAL_COLUMNS`."""
    return insert(JOURNAL).values(table_parameters(JOURNAL, JOURNAL_COLUMNS))


@cache
def last_seq() -> Select[Any]:
    """Select the number of the last entry, or 0."""
    return select(func.coalesce(func.max(entry.seq), literal_column("0")))


@cache
def entries_since() -> Select[Any]:
    """Select the entries after number `after`, up to number `until`, at most `limit`, each with its session."""
    joined = JOURNAL.outerjoin(SESSIONS, and_(session.mac == entry.mac, session.id == entry.id))
    return (
        select(entry.seq, entry.at, entry.kind, entry.mac, entry.id, *SESSION_COLUMNS)
        .select_from(joined)
        .where(entry.seq > integer_param("after"), entry.seq <= integer_param("until"))
        .order_by(entry.seq)
        .limit(integer_param("limit"))
    )


@cache
def session_history() -> Select[Any]:
    """Select time, kind, author, and snapshots before and after of each change of session `mac`, `id`; oldest first."""
    is_change: ColumnElement[bool] = literal_column("before IS NOT NULL")
    return (
        select(entry.at, entry.kind, entry.who, entry.before, entry.after)
        .where(entry.mac == text_param("mac"), entry.id == integer_param("id"), is_change)
        .order_by(entry.seq)
    )


@cache
def last_expired() -> Select[Any]:
    """Select the number of the last entry after number `after` that is older than the instant `until`, or null.

    The newest entry of the journal never expires.
    """
    newest = select(func.max(JOURNAL.alias().c.seq)).scalar_subquery()
    return select(func.max(entry.seq)).where(
        entry.seq > integer_param("after"), entry.at < integer_param("until"), entry.seq < newest
    )


@cache
def delete_created() -> Delete:
    """Delete entries of created sessions after number `after`, up to number `until`."""
    in_range = and_(entry.seq > integer_param("after"), entry.seq <= integer_param("until"))
    return delete(JOURNAL).where(in_range, entry.kind == literal_column(f"'{CREATED}'", Text))


@cache
def delete_before() -> Delete:
    """Delete all entries older than the instant `until`."""
    return delete(JOURNAL).where(entry.at < integer_param("until"))
