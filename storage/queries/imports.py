"""Queries of an import for sessions that the database already contains, matched by device, IP address and time."""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, or_, select

from storage.queries.clauses import in_span_classes, integer_param, last_known_end, text_param
from storage.tables import NO_START, OPEN, SPAN_CLASSES, session


class ExistingSession(NamedTuple):
    """What distinguishes one session of a device and address from another; instants in microseconds."""

    id: int
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str


_EXISTING_COLUMNS = tuple(session[name] for name in ExistingSession._fields)


@cache
def session_keys() -> Select[Any]:
    """Select device, start and address of every session."""
    return select(session.mac, session.starts_at, session.ip)


@cache
def ended_session() -> Select[Any]:
    """Select one row if a session of `mac` at `ip` that started at `starts_at` has ended."""
    return (
        select(session.id)
        .where(
            session.mac == text_param("mac"),
            in_span_classes(session.span, *(n for n in SPAN_CLASSES if n not in (OPEN, NO_START))),
            session.starts_at == integer_param("starts_at"),
            session.ip == text_param("ip"),
        )
        .limit(1)
    )


@cache
def sessions_started_at() -> Select[Any]:
    """Select the sessions of `mac` at `ip` that started at `starts_at`, as `ExistingSession`; oldest first."""
    return (
        select(*_EXISTING_COLUMNS)
        .where(
            session.mac == text_param("mac"),
            in_span_classes(session.span, *SPAN_CLASSES),
            session.starts_at == integer_param("starts_at"),
            session.ip == text_param("ip"),
        )
        .order_by(session.id)
    )


@cache
def sessions_reaching_into() -> Select[Any]:
    """Select the sessions of `mac` at `ip` that touch `since` to `until`, as `ExistingSession`; latest first."""
    return (
        select(*_EXISTING_COLUMNS)
        .where(
            session.mac == text_param("mac"),
            in_span_classes(session.span, *SPAN_CLASSES),
            session.starts_at <= integer_param("until"),
            session.ip == text_param("ip"),
            or_(session.span == OPEN, last_known_end() >= integer_param("since")),
        )
        .order_by(session.starts_at.desc(), session.id.desc())
    )
