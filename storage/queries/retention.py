"""Named questions and changes of pruning: sessions that ended before the instant `before`, a class and a batch at a time."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, and_, delete, exists, func, literal_column, select

from storage.queries.clauses import counted, known_end, number, of_classes
from storage.tables import CLASSES, DEVICES, OPEN, SESSIONS, device, session

# What is open has not ended.
CLOSED = [n for n in CLASSES if n != OPEN]


def _ended(n: int) -> ColumnElement[bool]:
    return and_(of_classes(session.span, n), session.starts_at < number("before"), known_end() < number("before"))


@cache
def count() -> Select[Any]:
    """How many there are."""
    return select(counted(map(_ended, CLOSED)))


@cache
def batch(n: int) -> Select[int, Any]:
    """How many the next batch of class `n` has, and its last start; from the start `since`, at most `limit`."""
    found = select(session.starts_at).where(_ended(n), session.starts_at >= number("since"))
    found_ = found.order_by(session.starts_at).limit(number("limit")).subquery("found")
    return select(func.count(), func.max(found_.c.starts_at))


@cache
def delete_batch(n: int) -> Delete:
    """Those of class `n` that started from `since` to `last`."""
    return delete(SESSIONS).where(_ended(n), session.starts_at >= number("since"), session.starts_at <= number("last"))


@cache
def delete_bare_devices() -> Delete:
    """Devices without a session, name or owner."""
    known = exists(literal_column("1")).where(session.mac == device.mac)
    return delete(DEVICES).where(device.name.is_(None), device.owner.is_(None), ~known)
