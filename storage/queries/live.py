"""Statements on live sessions: those reported as they happen by start, stop and heartbeat."""

from functools import cache
from typing import Any

from sqlalchemy import Select, Update, exists, func, literal_column, or_, select, update

from storage.queries.clauses import in_json_array, in_large_json_array, integer_param, text_param
from storage.tables import OPEN, SESSION_COLUMNS, SESSIONS, session


@cache
def open_session() -> Select[Any]:
    """Select the newest open session of `mac` that started at or before `at`, with last heartbeat and start report."""
    return (
        select(*SESSION_COLUMNS, session.last_seen_at, session.last_reported_at)
        .where(session.mac == text_param("mac"), session.span == OPEN, session.starts_at <= integer_param("at"))
        .order_by(session.starts_at.desc(), session.id.desc())
        .limit(1)
    )


@cache
def open_sessions() -> Select[Any]:
    """Select the open sessions of `macs` (a JSON array) that started at or before `at`, with the same instants."""
    return (
        select(*SESSION_COLUMNS, session.last_seen_at, session.last_reported_at)
        .where(in_large_json_array(session.mac, "macs"), session.span == OPEN, session.starts_at <= integer_param("at"))
        .order_by(session.starts_at, session.id)
    )


@cache
def latest_ends() -> Select[Any]:
    """Select the last start and the last disconnection of each of `macs` (a JSON array)."""
    return (
        select(session.mac, func.max(session.starts_at), func.max(session.disconnected_at))
        .where(in_json_array(session.mac, "macs"))
        .group_by(session.mac)
    )


@cache
def live_timestamps() -> Select[Any]:
    """Select last heartbeat and start report of session `mac`, `id`; no row if the session was not reported live."""
    is_live_session = (session.mac == text_param("mac"), session.id == integer_param("id"), session.live == 1)
    return select(session.last_seen_at, session.last_reported_at).where(*is_live_session)


@cache
def other_open_session() -> Select[Any]:
    """Select one row if session `mac`, `id` and another session of the device are live, and the other one is open."""
    other = SESSIONS.alias().c
    exists_other = exists(literal_column("1")).where(
        other.mac == text_param("mac"), other.span == OPEN, other.live == 1, other.id != integer_param("id")
    )
    return live_timestamps().where(exists_other)


@cache
def mark_seen() -> Update:
    """Set the last heartbeat of the open sessions of `macs` (a JSON array) that started at or before `at` to `at`."""
    return (
        update(SESSIONS)
        .where(
            in_large_json_array(session.mac, "macs"),
            session.span == OPEN,
            session.starts_at <= integer_param("at"),
            or_(session.last_seen_at.is_(None), session.last_seen_at < integer_param("at")),
        )
        .values(last_seen_at=integer_param("at"))
    )


@cache
def unseen_sessions() -> Select[Any]:
    """Select open sessions with a last heartbeat before the instant `before`, at most `limit`; and that heartbeat."""
    return (
        select(*SESSION_COLUMNS, session.last_seen_at)
        .where(session.span == OPEN, session.last_seen_at < integer_param("before"))
        .order_by(session.mac)
        .limit(integer_param("limit"))
    )
