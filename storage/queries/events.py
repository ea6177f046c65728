"""Named questions about events: the ends of sessions that lie in a window, or the sessions that overlap it.

Parameters: `since`, `until`, `now` (instants), `needle` (see `clauses.like`), `limit`, `offset`, `reach` (their sum),
`after_key`, `after_id`, `after_side`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    Subquery,
    Text,
    and_,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy import cast as sql_cast

from storage.queries.clauses import (
    COLUMNS,
    Search,
    between,
    constant,
    contains,
    counted,
    duration,
    ended_inside,
    fold,
    in_order,
    ip_order,
    number,
    ordered,
    overlapping,
    started_inside,
    united,
)
from storage.queries.sessions import WIDTH, SessionRow
from storage.tables import (
    CLASSES,
    CONNECTED,
    DEVICES,
    LONGER,
    MARKED_END,
    MARKED_START,
    NO_END,
    NO_START,
    device,
    session,
)

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


PLACE = ("key", "id", "side")  # of a row in a list that is in order of time

# The side of a session at which an event lies; rows that are sessions lie at the start.
START, END = 0, 1


class _Branch(NamedTuple):
    """Rows of one kind that one index finds: sessions, or the events at one side of them."""

    where: ColumnElement[bool]
    side: int
    events: bool = True

    @property
    def place(self) -> dict[str, Any]:
        """The columns by which the rows are ordered. The stored start carries the index."""
        key = session.disconnected_at if self.side == END else session.starts_at
        return {"key": key, "id": session.id, "side": literal_column(str(self.side), SmallInteger)}

    def rows(self) -> Select[Any]:
        """The sessions, with what `EventRow` adds to them."""
        event: tuple[ColumnElement[Any], ColumnElement[Any]]
        if not self.events:
            event = sql_cast(null(), BigInteger), sql_cast(null(), Text)
        elif self.side == END:
            event = session.disconnected_at, session.disconnection_event
        else:
            event = session.connected_at, session.connection_event
        at, event_type = event
        place = (column.label(name) for name, column in self.place.items() if name != "id")
        return select(*COLUMNS, at.label("occurred_at"), event_type.label("event_type"), *place).where(self.where)


def _is(event_type: Any, kind: Kind) -> ColumnElement[bool]:
    match kind:
        case "VOIDED":  # whatever begins with it, as a range that an index finds
            return and_(event_type >= VOIDED, event_type < VOIDED[:-1] + chr(ord(VOIDED[-1]) + 1))
        case "NEW":
            return event_type == NEW_DEVICE
        case _:
            return event_type == DEVICE_DOWN


def _starts() -> list[_Branch]:
    return [_Branch(started_inside(n), START) for n in CLASSES if n != NO_START]


def _ends(since: ColumnElement[int] | None = None, until: ColumnElement[int] | None = None) -> list[_Branch]:
    # Of a session whose start was not seen, the end is what is stored as its start.
    seen_alone = _Branch(started_inside(NO_START), END)
    return [*(_Branch(ended_inside(n, since, until), END) for n in range(LONGER + 1)), seen_alone]


def _branches(kind: Kind) -> list[_Branch]:
    """What rows of a kind are made of; no row is of two."""
    match kind:
        case "SESSIONS":
            return [_Branch(overlapping(n), START, events=False) for n in CLASSES]
        case "MISSING":
            return [_Branch(overlapping(n), START, events=False) for n in (NO_START, NO_END)]
        case "ALL":
            return [*_starts(), *_ends()]
    since, until = number("since"), number("until")
    started = and_(session.starts_at >= since, session.starts_at < until)
    ended = and_(session.disconnected_at >= since, session.disconnected_at < until)
    return [
        _Branch(and_(literal_column(MARKED_START), _is(session.connection_event, kind), started), START),
        _Branch(and_(literal_column(MARKED_END), _is(session.disconnection_event, kind), ended), END),
    ]


def _page(kind: Kind, *, after: bool, before: bool, falls: bool, limit: str, merges: bool) -> Subquery:
    """The rows of which a page is made: no branch gives more than a page, and none sorts the whole period."""

    def of_page(branch: _Branch) -> Select[Any]:
        return between(branch.rows(), branch.place, descending=True, after=after, before=before)

    def first(branch: _Branch) -> Select[Any]:
        return ordered(of_page(branch), branch.place, falls=falls, limit=number(limit))

    branches = _branches(kind)
    if kind == "ALL":
        # Ends have no index of their own. But a page holds nothing beyond the last of as many starts as it has rows, and
        # few ends lie before that.
        of_start = of_page if merges else first
        starts = in_order(united([of_start(branch) for branch in _starts()]), ("key", "id"), falls=falls)
        last = starts.limit(1).offset(number(limit) - constant(1)).cte("last_start")
        reach = select(last.c.key).scalar_subquery()
        since, until = number("since"), number("until")
        ends = (
            _ends(since=func.coalesce(reach, since))
            if falls
            else _ends(until=func.coalesce(reach + constant(1), until))
        )
        branches = [*_starts(), *ends]
    return united([first(branch) for branch in branches]).subquery("event")


def _rows(kind: Kind) -> Subquery:
    return united([branch.rows() for branch in _branches(kind)]).subquery("event")


def _sorted_by(row: Any, sort: Sort) -> ColumnElement[Any]:
    match sort:
        case "order":
            return row.key
        case "name":
            return fold(device.name)
        case "owner":
            return fold(device.owner)
        case "duration":
            return duration(row)
        case "ip":
            return ip_order(row.ip)
        case "connected":
            return row.state == CONNECTED
        case _:
            return getattr(row, sort)


def _first(by: ColumnElement[Any], sort: Sort, *, descending: bool) -> ColumnElement[Any]:
    """The order of a column, nothing counting as less than anything on every database."""
    if sort == "order":
        return by.desc() if descending else by.asc()
    return by.desc().nulls_last() if descending else by.asc().nulls_first()


def _searched(row: Any, statement: Select[Any], search: Search | None) -> Select[Any]:
    if search is None:
        return statement
    columns = (row.mac, row.ip, row.info, row.connection_event, row.disconnection_event, device.name, device.owner)
    return statement.where(contains(columns, search))


def _with_devices(rows: Subquery, *columns: Any) -> Select[Any]:
    return select(*columns).select_from(rows).outerjoin(DEVICES, device.mac == rows.c.mac)


@cache
def page(
    kind: Kind, *, after: bool, before: bool, backward: bool, search: Search | None = None, merges: bool = True
) -> Select[Any]:
    """A keyset page of events, newest first, `limit` long; see `Store.merges`."""
    if search is None:
        rows = _page(kind, after=after, before=before, falls=not backward, limit="limit", merges=merges)
        found = select(*rows.c)
    else:
        rows = _rows(kind)
        place = {name: rows.c[name] for name in PLACE}
        searched = _searched(rows.c, _with_devices(rows, *rows.c), search)
        found = between(searched, place, descending=True, after=after, before=before)
    return in_order(found, PLACE, falls=not backward).limit(number("limit"))


@cache
def table(
    kind: Kind, sort: Sort, *, descending: bool, search: Search | None, limited: bool, merges: bool = True
) -> Select[Any]:
    """Events with their device's name and owner, in the order of a column; newest first within equals.

    Where it is limited, `limit` rows after the first `offset`, whose sum is `reach`.
    """
    newest = limited and sort == "order" and descending and search is None
    rows = _page(kind, after=False, before=False, falls=True, limit="reach", merges=merges) if newest else _rows(kind)
    row = rows.c
    by = _sorted_by(row, sort)
    statement = _searched(row, _with_devices(rows, *row, device.name, device.owner), search).order_by(
        _first(by, sort, descending=descending), row.key.desc(), row.id.desc(), row.side.desc()
    )
    return statement.limit(number("limit")).offset(number("offset")) if limited else statement


@cache
def count(kind: Kind, *, search: Search | None) -> Select[Any]:
    """How many rows `table` has."""
    if search is None:
        return select(counted(branch.where for branch in _branches(kind)))
    rows = _rows(kind)
    return _searched(rows.c, _with_devices(rows, func.count()), search)


@cache
def totals() -> Select[Any]:
    """One row: how many rows each kind has, in the order of `Kind`."""
    counts: list[ColumnElement[Any]] = [
        counted(branch.where for branch in _branches(kind)).label(kind) for kind in get_args(Kind)
    ]
    return select(*counts)
