"""Named questions and changes about what a database holds beside sessions and devices, for moving it into another."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Insert, Select, Table, func, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import number, text
from storage.queries.journal import NOTED
from storage.tables import ACCOUNTING, CHANGES, TOKENS, change

KEYED = (TOKENS, ACCOUNTING)


@cache
def histories() -> Select[Any]:
    """What was changed of sessions, in the order of `NOTED`, oldest first."""
    return select(*(change[name] for name in NOTED)).where(change.before.is_not(None)).order_by(change.seq)


@cache
def count_histories() -> Select[Any]:
    """How many such changes there are."""
    return select(func.count()).select_from(CHANGES).where(change.before.is_not(None))


@cache
def every(table: Table) -> Select[Any]:
    """All rows of a table."""
    return select(table)


@cache
def put(table: Table) -> Insert:
    """A row of a table, unless its key is there."""
    numbers = {column.name for column in table.c if isinstance(column.type, BigInteger)}
    values = {column.name: number(column.name) if column.name in numbers else text(column.name) for column in table.c}
    return insert(table).values(values).on_conflict_do_nothing()
