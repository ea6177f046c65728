"""Named questions about events: the ends of sessions that lie in a window, or the sessions that overlap it.

Parameters: `since`, `until`, `now` (instants), `needle` (see `clauses.like`), `limit`, `offset`,
`after_key`, `after_id`, `after_side`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    Subquery,
    Text,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy import cast as sql_cast

from storage.clauses import COLUMNS, Search, contains, duration, ip_order, keyset, number, overlapping
from storage.sessions import WIDTH, SessionRow
from storage.tables import CONNECTED, DEVICES, MISSING_CONNECTION, MISSING_DISCONNECTION, device, session

Kind = Literal["ALL", "SESSIONS", "MISSING", "VOIDED", "NEW", "DOWN"]
Sort = Literal[
    "order", "name", "owner", "occurred_at", "event_type", "connected_at", "disconnected_at", "duration", "ip", "info",
    "connected", "mac",
]  # fmt: skip

NEW_DEVICE, DEVICE_DOWN, VOIDED = "New Device", "Device Down", "VOIDED"


class EventRow(NamedTuple):
    """A session and, unless the row is a session, the event at one of its ends.

    `key`, the session's id and `side` (0 start, 1 end) place it in its list; name and owner are its device's, if asked for.
    """

    session: SessionRow
    occurred_at: int | None
    event_type: str | None
    key: int
    side: int
    name: str | None = None
    owner: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of `page` or `table`."""
        return cls(SessionRow._make(row[:WIDTH]), *row[WIDTH:])


def _is(kind: Kind, event_type: Any) -> ColumnElement[bool] | None:
    match kind:
        case "VOIDED":
            return func.substr(event_type, 1, len(VOIDED)) == VOIDED
        case "NEW":
            return event_type == NEW_DEVICE
        case "DOWN":
            return event_type == DEVICE_DOWN
        case _:
            return None


def _missing() -> ColumnElement[bool]:
    return or_(session.state == MISSING_CONNECTION, session.state == MISSING_DISCONNECTION)


Narrow = Callable[[Select[Any], dict[str, Any]], Select[Any]]


def _rows(kind: Kind, narrow: Narrow = lambda statement, _: statement) -> Subquery:
    """All rows of a kind: sessions overlapping the window, or the ends that lie in it.

    `narrow` is handed each statement with the columns of its rows' place, before they are put together.
    """
    if kind in ("SESSIONS", "MISSING"):
        whole = select(
            *COLUMNS,
            sql_cast(null(), BigInteger).label("occurred_at"),
            sql_cast(null(), Text).label("event_type"),
            session.starts_at.label("key"),
            literal(0, SmallInteger).label("side"),
        ).where(overlapping())
        place = {"key": session.starts_at, "id": session.id, "side": literal(0, SmallInteger)}
        return narrow(whole.where(_missing()) if kind == "MISSING" else whole, place).subquery("event")
    starts = select(
        *COLUMNS,
        session.connected_at.label("occurred_at"),
        session.connection_event.label("event_type"),
        session.connected_at.label("key"),
        literal(0, SmallInteger).label("side"),
    ).where(
        # The stored start carries the index; for a start that was seen the two are one.
        session.starts_at >= number("since"),
        session.starts_at < number("until"),
        session.connected_at.is_not(None),
    )
    ends = select(
        *COLUMNS,
        session.disconnected_at.label("occurred_at"),
        session.disconnection_event.label("event_type"),
        session.disconnected_at.label("key"),
        literal(1, SmallInteger).label("side"),
    ).where(overlapping(ended_inside=True))
    start_is, end_is = _is(kind, session.connection_event), _is(kind, session.disconnection_event)
    if start_is is not None and end_is is not None:
        starts, ends = starts.where(start_is), ends.where(end_is)
    # Narrowed statements carry an order and a limit of their own, which only a subquery may within a union.
    branches = (
        narrow(statement, {"key": key, "id": session.id, "side": literal(side, SmallInteger)}).subquery()
        for statement, key, side in ((starts, session.starts_at, 0), (ends, session.disconnected_at, 1))
    )
    return union_all(*(select(branch) for branch in branches)).subquery("event")


def _sorted_by(row: Any, sort: Sort) -> ColumnElement[Any]:
    match sort:
        case "order":
            return row.key
        case "name":
            return func.fold(device.name)
        case "owner":
            return func.fold(device.owner)
        case "duration":
            return duration(row)
        case "ip":
            return ip_order(row.ip)
        case "connected":
            return row.state == CONNECTED
        case _:
            return getattr(row, sort)


def _searched(row: Any, statement: Select[Any], search: Search | None) -> Select[Any]:
    if search is None:
        return statement
    columns = (row.mac, row.ip, row.info, row.connection_event, row.disconnection_event, device.name, device.owner)
    return statement.where(contains(columns, search))


@cache
def page(kind: Kind, *, after: bool, before: bool, backward: bool) -> Select[Any]:
    """A keyset page of events, newest first, `limit` long."""

    def narrow(statement: Select[Any], place: dict[str, Any]) -> Select[Any]:
        found = keyset(statement, place, descending=True, after=after, before=before, backward=backward)
        return found.limit(number("limit"))

    # Each branch gives a page at most, and of those few rows the page is made: none sorts the whole period.
    row = _rows(kind, narrow).c
    return narrow(select(*row), {"key": row.key, "id": row.id, "side": row.side})


@cache
def table(kind: Kind, sort: Sort, *, descending: bool, search: Search | None, limited: bool) -> Select[Any]:
    """Events with their device's name and owner, in the order of a column; newest first within equals."""
    rows = _rows(kind)
    row = rows.c
    statement: Select[Any] = (
        select(*row, device.name, device.owner).select_from(rows).outerjoin(DEVICES, device.mac == row.mac)
    )
    by = _sorted_by(row, sort)
    statement = _searched(row, statement, search).order_by(
        by.desc() if descending else by.asc(), row.key.desc(), row.id.desc(), row.side.desc()
    )
    return statement.limit(number("limit")).offset(number("offset")) if limited else statement


@cache
def count(kind: Kind, *, search: Search | None) -> Select[Any]:
    """How many rows `table` has."""
    rows = _rows(kind)
    statement = select(func.count()).select_from(rows)
    if search:
        statement = statement.outerjoin(DEVICES, device.mac == rows.c.mac)
    return _searched(rows.c, statement, search)


@cache
def totals() -> Select[Any]:
    """One row: how many rows each kind has, in the order ALL, SESSIONS, MISSING, VOIDED, NEW, DOWN."""
    ends = _rows("ALL")
    kinds = [
        func.count().filter(condition)
        for kind in ("VOIDED", "NEW", "DOWN")
        if (condition := _is(kind, ends.c.event_type)) is not None
    ]
    events = select(func.count().label("all"), *(k.label(f"k{n}") for n, k in enumerate(kinds))).select_from(ends)
    stays = select(func.count().label("sessions"), func.count().filter(_missing()).label("missing")).where(
        overlapping()
    )
    e, s = events.subquery().c, stays.subquery().c
    return select(e.all, s.sessions, s.missing, e.k0, e.k1, e.k2)
