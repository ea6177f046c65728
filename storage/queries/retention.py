"""Statements that prune sessions that ended before the instant `before`, one span class and one batch at a time."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, and_, delete, exists, func, literal_column, select

from storage.queries.clauses import count_sessions_where, in_span_classes, integer_param, last_known_end
from storage.tables import DEVICES, OPEN, SESSIONS, SPAN_CLASSES, device, session

CLOSED_CLASSES = [n for n in SPAN_CLASSES if n != OPEN]


def _is_expired(n: int) -> ColumnElement[bool]:
    before = integer_param("before")
    return and_(in_span_classes(session.span, n), session.starts_at < before, last_known_end() < before)


@cache
def count_expired() -> Select[Any]:
    """Count the sessions to prune."""
    return select(count_sessions_where(map(_is_expired, CLOSED_CLASSES)))


@cache
def next_batch(n: int) -> Select[int, Any]:
    """Select size and last start of the next batch of class `n`: sessions started at `since` or later, at most `limit`."""
    expired = select(session.starts_at).where(_is_expired(n), session.starts_at >= integer_param("since"))
    batch = expired.order_by(session.starts_at).limit(integer_param("limit")).subquery("batch")
    return select(func.count(), func.max(batch.c.starts_at))


@cache
def delete_batch(n: int) -> Delete:
    """Delete the sessions of class `n` to prune that started from `since` to `last`, inclusive."""
    since, last = integer_param("since"), integer_param("last")
    return delete(SESSIONS).where(_is_expired(n), session.starts_at >= since, session.starts_at <= last)


@cache
def delete_unused_devices() -> Delete:
    """Delete devices without a session, name or owner."""
    has_sessions = exists(literal_column("1")).where(session.mac == device.mac)
    return delete(DEVICES).where(device.name.is_(None), device.owner.is_(None), ~has_sessions)
