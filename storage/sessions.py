"""Named questions about sessions. Each answers a statement for its shape; values come later, as parameters.

Parameters of every filter: `mac`, `macs`, `ips`, `states` (JSON arrays), `started_since`, `ended_until`, `since`, `until`
(instants), `now` (the instant of asking), `needle` (see `clauses.like`).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from storage.clauses import COLUMNS, contains, duration, keyset, known_end, members, number, overlapping, text
from storage.tables import HOUR, MISSING_CONNECTION, MISSING_DISCONNECTION, OPEN, SESSIONS, session

Condition = Literal[
    "mac", "macs", "ips", "states", "started_since", "ended_until", "overlapping", "search", "search_unicode"
]
Key = Literal["start", "longest", "shortest"]


WIDTH = len(COLUMNS)


class SessionRow(NamedTuple):
    """One session as storage answers it, its fields `COLUMNS`; instants in microseconds since 1970-01-01T00:00Z."""

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

    session: SessionRow
    drawn_from: int
    drawn_until: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of `drawn`."""
        return cls(SessionRow._make(row[:WIDTH]), *row[WIDTH:])


def _condition(name: Condition) -> ColumnElement[bool]:
    match name:
        case "mac":
            return session.mac == text("mac")
        case "macs" | "ips" | "states":
            return session[name[:-1]].in_(members(name))
        case "started_since":
            return session.starts_at >= number("started_since")
        case "ended_until":
            return and_(session.span != OPEN, known_end() < number("ended_until"))
        case "overlapping":
            return overlapping()
        case "search" | "search_unicode":
            searched = (session.info, session.connection_event, session.disconnection_event)
            return contains(searched, name)


def key_of(key: Key) -> ColumnElement[int]:
    """What a list is ordered by, before the id: never null, sessions without a duration last."""
    match key:
        case "start":
            return session.starts_at
        case "longest":
            return func.coalesce(duration(session), -1)
        case "shortest":
            return func.coalesce(duration(session), 2**62)


@cache
def sessions(
    conditions: frozenset[Condition],
    key: Key = "start",
    *,
    descending: bool = True,
    after: bool = False,
    before: bool = False,
    backward: bool = False,
    limited: bool = False,
    offset: bool = False,
) -> Select[Any]:
    """Sessions under the conditions, each with its order key last, by `keyset` of that key and the id."""
    by = key_of(key)
    statement = select(*COLUMNS, by.label("key")).where(*map(_condition, sorted(conditions)))
    statement = keyset(
        statement, {"key": by, "id": session.id}, descending=descending, after=after, before=before, backward=backward
    )
    if limited:
        statement = statement.limit(number("limit"))
    if offset:
        statement = statement.offset(number("offset"))
    return statement


@cache
def count(conditions: frozenset[Condition]) -> Select[Any]:
    """How many sessions there are under the conditions."""
    return select(func.count()).select_from(SESSIONS).where(*map(_condition, sorted(conditions)))


@cache
def by_id() -> Select[Any]:
    """The session of `mac` and `id`."""
    return select(*COLUMNS).where(session.mac == text("mac"), session.id == number("id"))


@cache
def any_session() -> Select[Any]:
    """One row if the store holds a session at all."""
    return select(session.id).limit(1)


@cache
def drawn(*, one_device: bool) -> Select[Any]:
    """Sessions whose drawing overlaps the window, with the ends that a calendar draws; in order of time.

    An end never seen is estimated: a start from the same device's previous end, an end from its next start, an hour
    away at most.
    """
    # Named by its value where it is known: what shards the table by MAC can then ask one shard.
    same_device = text("mac") if one_device else session.mac
    earlier, later = SESSIONS.alias().c, SESSIONS.alias().c
    previous_end = (
        select(func.max(earlier.disconnected_at))
        .where(
            earlier.mac == same_device,
            earlier.disconnected_at < session.disconnected_at,
            earlier.disconnected_at >= session.disconnected_at - HOUR,
        )
        .scalar_subquery()
    )
    next_start = (
        select(func.min(later.connected_at))
        .where(
            later.mac == same_device,
            later.starts_at > session.starts_at,
            later.starts_at <= session.starts_at + HOUR,
        )
        .scalar_subquery()
    )
    now = number("now")
    start = case(
        (session.state == MISSING_CONNECTION, func.coalesce(previous_end, session.disconnected_at - HOUR)),
        else_=session.connected_at,
    )
    end = case(
        (session.state == MISSING_DISCONNECTION, func.coalesce(next_start, session.connected_at + HOUR)),
        (session.span == OPEN, case((session.connected_at > now, session.connected_at), else_=now)),
        else_=session.disconnected_at,
    )
    # What is drawn reaches at most an hour beyond what was seen.
    seen = select(*COLUMNS, start.label("drawn_from"), end.label("drawn_until")).where(overlapping(margin=HOUR))
    if one_device:
        seen = seen.where(session.mac == text("mac"))
    row = seen.subquery().c
    since, until = number("since"), number("until")
    inside = and_(row.drawn_from < until, or_(row.drawn_until > since, row.drawn_from >= since))
    return select(*row).where(inside).order_by(row.drawn_from, row.id)
