"""Named questions and changes of the journal: what was created, updated and deleted, in the order of commits.

What was created is kept for as long as a subscriber may come back for it; what changed or deleted a session, until it is
pruned: it is the session's history.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Delete, Insert, Select, Text, and_, delete, func, insert, literal_column, select

from storage.queries.clauses import COLUMNS, number, text
from storage.queries.sessions import SessionRow
from storage.store import CREATED
from storage.tables import CHANGES, SESSIONS, change, session

Kind = Literal["CREATED", "UPDATED", "DELETED"]

NOTED = ("at", "kind", "mac", "id", "who", "before", "after")


class ChangeRow(NamedTuple):
    """A change as the journal has it, and the session as it is when it is read; None where it is gone."""

    seq: int
    at: int
    kind: Kind
    mac: str
    id: int  # of the session, with its MAC; also where it is gone
    session: SessionRow | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of `since`."""
        seq, at, kind, mac, identity, *found = row
        return cls(seq, at, kind, mac, identity, None if found[0] is None else SessionRow._make(found))


@cache
def insert_change() -> Insert:
    """A change, of the parameters in `NOTED`."""
    numbers = ("at", "id")
    return insert(CHANGES).values({name: number(name) if name in numbers else text(name) for name in NOTED})


@cache
def last() -> Select[Any]:
    """The number of the last change; 0 where there is none."""
    return select(func.coalesce(func.max(change.seq), literal_column("0")))


@cache
def since() -> Select[Any]:
    """The changes after the number `after` and up to `upto`, at most `limit`, each with its session."""
    joined = CHANGES.outerjoin(SESSIONS, and_(session.mac == change.mac, session.id == change.id))
    return (
        select(change.seq, change.at, change.kind, change.mac, change.id, *COLUMNS)
        .select_from(joined)
        .where(change.seq > number("after"), change.seq <= number("upto"))
        .order_by(change.seq)
        .limit(number("limit"))
    )


@cache
def history() -> Select[Any]:
    """When, what, by whom, before and after: the changes of the session of `mac` and `id`, oldest first."""
    changed: ColumnElement[bool] = literal_column("before IS NOT NULL")
    return (
        select(change.at, change.kind, change.who, change.before, change.after)
        .where(change.mac == text("mac"), change.id == number("id"), changed)
        .order_by(change.seq)
    )


@cache
def old() -> Select[Any]:
    """The last change before the instant `until`, of those after the number `after`, but for the very last of all.

    Null where there is none.
    """
    newest = select(func.max(CHANGES.alias().c.seq)).scalar_subquery()
    return select(func.max(change.seq)).where(
        change.seq > number("after"), change.at < number("until"), change.seq < newest
    )


@cache
def forget_created() -> Delete:
    """What was created, of the changes after the number `after` up to `upto`."""
    inside = and_(change.seq > number("after"), change.seq <= number("upto"))
    return delete(CHANGES).where(inside, change.kind == literal_column(f"'{CREATED}'", Text))


@cache
def forget_all() -> Delete:
    """All changes before the instant `until`."""
    return delete(CHANGES).where(change.at < number("until"))
