"""Named questions and changes about sessions that are reported as they happen: who is connected, and when it was seen."""

from functools import cache
from typing import Any

from sqlalchemy import Select, Update, exists, func, literal_column, or_, select, update

from storage.queries.clauses import COLUMNS, among, among_many, number, text
from storage.tables import OPEN, SESSIONS, session


@cache
def open_of_device() -> Select[Any]:
    """The newest open session of `mac` that began at the instant `at` or before, and when it was last seen and told of."""
    return (
        select(*COLUMNS, session.seen_at, session.told_at)
        .where(session.mac == text("mac"), session.span == OPEN, session.starts_at <= number("at"))
        .order_by(session.starts_at.desc(), session.id.desc())
        .limit(1)
    )


@cache
def open_of_devices() -> Select[Any]:
    """The open sessions of `macs` (a JSON array) that began at the instant `at` or before, and when each was last
    seen and told of."""
    return (
        select(*COLUMNS, session.seen_at, session.told_at)
        .where(among_many(session.mac, "macs"), session.span == OPEN, session.starts_at <= number("at"))
        .order_by(session.starts_at, session.id)
    )


@cache
def last_known() -> Select[Any]:
    """The last instant that the sessions of each of `macs` (a JSON array) tell of."""
    return (
        select(session.mac, func.max(session.starts_at), func.max(session.disconnected_at))
        .where(among(session.mac, "macs"))
        .group_by(session.mac)
    )


@cache
def last_seen() -> Select[Any]:
    """When the session of `mac` and `id` was last seen and told of; no row if it was not reported as it happened."""
    of = (session.mac == text("mac"), session.id == number("id"), session.live == 1)
    return select(session.seen_at, session.told_at).where(*of)


@cache
def open_beside() -> Select[Any]:
    """One row if the session of `mac` and `id`, reported as it happened, would be open beside another such."""
    other = SESSIONS.alias().c
    beside = exists(literal_column("1")).where(
        other.mac == text("mac"), other.span == OPEN, other.live == 1, other.id != number("id")
    )
    return last_seen().where(beside)


@cache
def see() -> Update:
    """The open sessions of `macs` (a JSON array) were seen at the instant `at`, those that had begun by then."""
    return (
        update(SESSIONS)
        .where(
            among_many(session.mac, "macs"),
            session.span == OPEN,
            session.starts_at <= number("at"),
            or_(session.seen_at.is_(None), session.seen_at < number("at")),
        )
        .values(seen_at=number("at"))
    )


@cache
def unseen() -> Select[Any]:
    """Open sessions that were last seen before the instant `before`, at most `limit`; and when each was."""
    return (
        select(*COLUMNS, session.seen_at)
        .where(session.span == OPEN, session.seen_at < number("before"))
        .order_by(session.mac)
        .limit(number("limit"))
    )
