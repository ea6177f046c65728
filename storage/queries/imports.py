"""Named questions of an import: which stays the store holds already. A stay is a session of a device at an address."""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, or_, select

from storage.queries.clauses import known_end, number, of_classes, text
from storage.tables import CLASSES, NO_START, OPEN, session


class HeldRow(NamedTuple):
    """What tells one stay of `mac` at `ip` from another; instants in microseconds."""

    id: int
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str


_HELD = (
    session.id,
    session.connected_at,
    session.disconnected_at,
    session.connection_event,
    session.disconnection_event,
    session.info,
)


@cache
def stays() -> Select[Any]:
    """Device, start and address of every session."""
    return select(session.mac, session.starts_at, session.ip)


@cache
def ended_stay() -> Select[Any]:
    """One row if the store holds the stay of `mac` at `ip` that began at `starts_at`, and knows that it ended."""
    return (
        select(session.id)
        .where(
            session.mac == text("mac"),
            of_classes(session.span, *(n for n in CLASSES if n not in (OPEN, NO_START))),
            session.starts_at == number("starts_at"),
            session.ip == text("ip"),
        )
        .limit(1)
    )


@cache
def begun_at() -> Select[Any]:
    """The stays of `mac` at `ip` that began at `starts_at`, as `HeldRow`; the oldest first."""
    return (
        select(*_HELD)
        .where(
            session.mac == text("mac"),
            of_classes(session.span, *CLASSES),
            session.starts_at == number("starts_at"),
            session.ip == text("ip"),
        )
        .order_by(session.id)
    )


@cache
def reaching_into() -> Select[Any]:
    """The stays of `mac` at `ip` that touch the time from `since` to `until`, as `HeldRow`; the latest first."""
    return (
        select(*_HELD)
        .where(
            session.mac == text("mac"),
            of_classes(session.span, *CLASSES),
            session.starts_at <= number("until"),
            session.ip == text("ip"),
            or_(session.span == OPEN, known_end() >= number("since")),
        )
        .order_by(session.starts_at.desc(), session.id.desc())
    )
