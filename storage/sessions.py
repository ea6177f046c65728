"""Named questions about sessions. Each answers a statement for its shape; values come later, as parameters.

Parameters of every filter: `mac`, `macs`, `ips`, `states` (JSON arrays), `started_since`, `ended_until`, `since`, `until`
(instants), `now` (the instant of asking), `needle` (see `clauses.like`).
"""

from functools import cache
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, select, tuple_
from sqlalchemy.orm import aliased

from storage.clauses import COLUMNS, contains, duration, in_json, known_end, number, overlapping, text
from storage.tables import HOUR, MISSING_CONNECTION, MISSING_DISCONNECTION, OPEN, Session

Condition = Literal[
    "mac", "macs", "ips", "states", "started_since", "ended_until", "overlapping", "search", "search_unicode"
]
Key = Literal["start", "longest", "shortest"]


class SessionRow(NamedTuple):
    """One session as storage answers it; instants in microseconds since 1970-01-01T00:00Z."""

    mac: str
    id: int
    ip: str
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str
    state: str


class SpannedRow(NamedTuple):
    """A session and the two instants between which a calendar draws it."""

    mac: str
    id: int
    ip: str
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str
    state: str
    drawn_from: int
    drawn_until: int


def _condition(name: Condition) -> ColumnElement[bool]:
    match name:
        case "mac":
            return Session.mac == text("mac")
        case "macs" | "ips" | "states":
            return in_json(getattr(Session, name[:-1]), text(name))
        case "started_since":
            return Session.starts_at >= number("started_since")
        case "ended_until":
            return and_(Session.span != OPEN, known_end() < number("ended_until"))
        case "overlapping":
            return overlapping()
        case "search" | "search_unicode":
            searched = (Session.info, Session.connection_event, Session.disconnection_event)
            return contains(searched, ascii_needle=name == "search")


def key_of(key: Key) -> ColumnElement[int]:
    """What a list is ordered by, before the id: never null, sessions without a duration last."""
    match key:
        case "start":
            return Session.starts_at
        case "longest":
            return func.coalesce(duration(number("now")), -1)
        case "shortest":
            return func.coalesce(duration(number("now")), 2**62)


@cache
def sessions(
    conditions: frozenset[Condition],
    key: Key = "start",
    *,
    descending: bool = True,
    after: bool = False,
    before: bool = False,
    limited: bool = False,
    offset: bool = False,
) -> Select[tuple[object, ...]]:
    """Sessions under the conditions, each with its order key last.

    `after`: only those beyond (`after_key`, `after_id`) in this order; `before`: only those ahead of (`before_key`,
    `before_id`). Parameters `limit` and `offset` where asked for.
    """
    by = key_of(key)
    statement = select(*COLUMNS, by.label("key")).where(*map(_condition, sorted(conditions)))
    position = tuple_(by, Session.id)
    if after:
        mark = tuple_(number("after_key"), number("after_id"))
        statement = statement.where(position < mark if descending else position > mark)
    if before:
        mark = tuple_(number("before_key"), number("before_id"))
        statement = statement.where(position > mark if descending else position < mark)
    statement = statement.order_by(*((by.desc(), Session.id.desc()) if descending else (by.asc(), Session.id.asc())))
    if limited:
        statement = statement.limit(number("limit"))
    if offset:
        statement = statement.offset(number("offset"))
    return statement


@cache
def count(conditions: frozenset[Condition]) -> Select[tuple[int]]:
    """How many sessions there are under the conditions."""
    return select(func.count()).select_from(Session).where(*map(_condition, sorted(conditions)))


@cache
def by_id() -> Select[tuple[object, ...]]:
    """The session of `mac` and `id`."""
    return select(*COLUMNS).where(Session.mac == text("mac"), Session.id == number("id"))


@cache
def any_session() -> Select[tuple[int]]:
    """One row if the store holds a session at all."""
    return select(Session.id).limit(1)


@cache
def drawn(*, one_device: bool) -> Select[tuple[object, ...]]:
    """Sessions overlapping the window, with the ends that a calendar draws; in order of device and time.

    An end never seen is estimated: a start from the same device's previous end, an end from its next start, an hour
    away at most.
    """
    earlier, later = aliased(Session), aliased(Session)
    previous_end = (
        select(func.max(earlier.disconnected_at))
        .where(
            earlier.mac == Session.mac,
            earlier.disconnected_at < Session.disconnected_at,
            earlier.disconnected_at >= Session.disconnected_at - HOUR,
        )
        .scalar_subquery()
    )
    next_start = (
        select(func.min(later.connected_at))
        .where(
            later.mac == Session.mac,
            later.starts_at > Session.starts_at,
            later.starts_at <= Session.starts_at + HOUR,
        )
        .scalar_subquery()
    )
    now = number("now")
    start = case(
        (Session.state == MISSING_CONNECTION, func.coalesce(previous_end, Session.disconnected_at - HOUR)),
        else_=Session.connected_at,
    )
    end = case(
        (Session.state == MISSING_DISCONNECTION, func.coalesce(next_start, Session.connected_at + HOUR)),
        (Session.span == OPEN, case((Session.connected_at > now, Session.connected_at), else_=now)),
        else_=Session.disconnected_at,
    )
    statement = select(*COLUMNS, start.label("drawn_from"), end.label("drawn_until")).where(overlapping())
    if one_device:
        statement = statement.where(Session.mac == text("mac"))
    return statement.order_by(Session.starts_at, Session.id)
