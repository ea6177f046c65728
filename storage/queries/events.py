"""Queries for events: the ends of sessions that lie in a window, or the sessions that overlap it.

Parameters: `since`, `until`, `now` (instants), `needle` (see `clauses.like_pattern`), `limit`, `offset`, `reach` (their
sum), `after_key`, `after_id`, `after_side`.
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
    SearchCondition,
    between_cursors,
    casefold,
    contains,
    count_sessions_where,
    duration,
    ends_in_window,
    integer_literal,
    integer_param,
    ip_order,
    order_by_names,
    ordered_branch,
    overlaps_window,
    starts_in_window,
    union_branches,
)
from storage.queries.event_types import EventKind, has_kind
from storage.tables import (
    CONNECTED,
    DEVICES,
    LONGEST,
    NO_END,
    NO_START,
    ROW_WIDTH,
    SESSION_COLUMNS,
    SPAN_CLASSES,
    UNUSUAL_END,
    UNUSUAL_START,
    SessionRow,
    device,
    session,
)

EventSort = Literal[
    "order", "name", "owner", "occurred_at", "event_type", "connected_at", "disconnected_at", "duration", "ip", "info",
    "connected", "mac",
]  # fmt: skip


class EventRow(NamedTuple):
    """A session and one of its events, or only the session in lists of sessions.

    `key`, the session's id and `side` are the row's cursor. The device's name and owner are set if the query has them.
    """

    session: SessionRow
    occurred_at: int | None
    event_type: str | None
    key: int
    side: int
    name: str | None = None
    owner: str | None = None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Convert a row of `event_page` or `event_table`."""
        return cls(SessionRow._make(row[:ROW_WIDTH]), *row[ROW_WIDTH:])


CURSOR_COLUMNS = ("key", "id", "side")  # of a row in a list ordered by time

# The side of a session on which an event lies. In lists of sessions, every row has the side START.
START, END = 0, 1


class _Branch(NamedTuple):
    """Rows that one index finds: sessions, or the events on one side of sessions."""

    where: ColumnElement[bool]
    side: int
    is_event: bool = True

    @property
    def cursor_columns(self) -> dict[str, Any]:
        """The columns by which the rows are ordered. The key of starts is `starts_at` because that column is indexed."""
        key = session.disconnected_at if self.side == END else session.starts_at
        return {"key": key, "id": session.id, "side": literal_column(str(self.side), SmallInteger)}

    def rows(self) -> Select[Any]:
        """Select the columns of `EventRow`, without name and owner."""
        at: ColumnElement[Any] = session.connected_at
        event_type: ColumnElement[Any] = session.connection_event
        if not self.is_event:
            at, event_type = sql_cast(null(), BigInteger), sql_cast(null(), Text)
        elif self.side == END:
            at, event_type = session.disconnected_at, session.disconnection_event
        cursor = (column.label(name) for name, column in self.cursor_columns.items() if name != "id")
        columns = (*SESSION_COLUMNS, at.label("occurred_at"), event_type.label("event_type"), *cursor)
        return select(*columns).where(self.where)


def _starts() -> list[_Branch]:
    return [_Branch(starts_in_window(n), START) for n in SPAN_CLASSES if n != NO_START]


def _ends(since: ColumnElement[int] | None = None, until: ColumnElement[int] | None = None) -> list[_Branch]:
    # A session without a start has its end in `starts_at`.
    without_start = _Branch(starts_in_window(NO_START), END)
    return [*(_Branch(ends_in_window(n, since, until), END) for n in range(LONGEST + 1)), without_start]


def _branches(kind: EventKind) -> list[_Branch]:
    """Return the branches of a kind of list. No row is in two of them."""
    match kind:
        case "SESSIONS":
            return [_Branch(overlaps_window(n), START, is_event=False) for n in SPAN_CLASSES]
        case "MISSING":
            return [_Branch(overlaps_window(n), START, is_event=False) for n in (NO_START, NO_END)]
        case "ALL":
            return [*_starts(), *_ends()]
    since, until = integer_param("since"), integer_param("until")
    starts = and_(session.starts_at >= since, session.starts_at < until)
    ends = and_(session.disconnected_at >= since, session.disconnected_at < until)
    return [
        _Branch(and_(literal_column(UNUSUAL_START), has_kind(session.connection_event, kind), starts), START),
        _Branch(and_(literal_column(UNUSUAL_END), has_kind(session.disconnection_event, kind), ends), END),
    ]


def _page(
    kind: EventKind, *, after: bool, before: bool, descending: bool, limit: str, merge_branches: bool
) -> Subquery:
    """Return a superset of a page: each branch returns at most one page, and none sorts the whole window."""

    def between(branch: _Branch) -> Select[Any]:
        return between_cursors(branch.rows(), branch.cursor_columns, descending=True, after=after, before=before)

    def first_rows(branch: _Branch) -> Select[Any]:
        names = branch.cursor_columns
        return ordered_branch(between(branch), names, descending=descending, limit=integer_param(limit))

    branches = _branches(kind)
    if kind == "ALL":
        # Ends have no index of their own. But a page of n rows reaches at most as far as the n-th start, and few ends lie
        # within that range.
        start_rows = between if merge_branches else first_rows
        starts = union_branches([start_rows(branch) for branch in _starts()])
        starts = order_by_names(starts, ("key", "id"), descending=descending)
        last_start = starts.limit(1).offset(integer_param(limit) - integer_literal(1)).cte("last_start")
        key = select(last_start.c.key).scalar_subquery()
        since, until = integer_param("since"), integer_param("until")
        ends = (
            _ends(since=func.coalesce(key, since))
            if descending
            else _ends(until=func.coalesce(key + integer_literal(1), until))
        )
        branches = [*_starts(), *ends]
    return union_branches([first_rows(branch) for branch in branches]).subquery("event")


def _all_rows(kind: EventKind) -> Subquery:
    return union_branches([branch.rows() for branch in _branches(kind)]).subquery("event")


def _sort_column(row: Any, sort: EventSort) -> ColumnElement[Any]:
    match sort:
        case "order":
            return row.key
        case "name":
            return casefold(device.name)
        case "owner":
            return casefold(device.owner)
        case "duration":
            return duration(row)
        case "ip":
            return ip_order(row.ip)
        case "connected":
            return row.state == CONNECTED
        case _:
            return getattr(row, sort)


def _order_by(column: ColumnElement[Any], sort: EventSort, *, descending: bool) -> ColumnElement[Any]:
    """Return the order by a column, with nulls as the smallest values on every database."""
    if sort == "order":
        return column.desc() if descending else column.asc()
    return column.desc().nulls_last() if descending else column.asc().nulls_first()


def _search(row: Any, statement: Select[Any], search: SearchCondition | None) -> Select[Any]:
    if search is None:
        return statement
    columns = (row.mac, row.ip, row.info, row.connection_event, row.disconnection_event, device.name, device.owner)
    return statement.where(contains(columns, search))


def _with_devices(rows: Subquery, *columns: Any) -> Select[Any]:
    return select(*columns).select_from(rows).outerjoin(DEVICES, device.mac == rows.c.mac)


@cache
def event_page(
    kind: EventKind,
    *,
    after: bool,
    before: bool,
    backward: bool,
    search: SearchCondition | None = None,
    merge_branches: bool = True,
) -> Select[Any]:
    """Select a page of `limit` events by cursor, newest first. `merge_branches` is `Store.merges_ordered_unions`."""
    if search is None:
        rows = _page(
            kind, after=after, before=before, descending=not backward, limit="limit", merge_branches=merge_branches
        )
        statement = select(*rows.c)
    else:
        rows = _all_rows(kind)
        cursor_columns = {name: rows.c[name] for name in CURSOR_COLUMNS}
        matching = _search(rows.c, _with_devices(rows, *rows.c), search)
        statement = between_cursors(matching, cursor_columns, descending=True, after=after, before=before)
    return order_by_names(statement, CURSOR_COLUMNS, descending=not backward).limit(integer_param("limit"))


@cache
def event_table(
    kind: EventKind,
    sort: EventSort,
    *,
    descending: bool,
    search: SearchCondition | None,
    limited: bool,
    merge_branches: bool = True,
) -> Select[Any]:
    """Select events with their device's name and owner, sorted by a column; newest first among equal values.

    If `limited`, select `limit` rows after the first `offset`, whose sum is `reach`.
    """
    is_newest_first = limited and sort == "order" and descending and search is None
    if is_newest_first:
        rows = _page(kind, after=False, before=False, descending=True, limit="reach", merge_branches=merge_branches)
    else:
        rows = _all_rows(kind)
    row = rows.c
    statement = _search(row, _with_devices(rows, *row, device.name, device.owner), search).order_by(
        _order_by(_sort_column(row, sort), sort, descending=descending), row.key.desc(), row.id.desc(), row.side.desc()
    )
    return statement.limit(integer_param("limit")).offset(integer_param("offset")) if limited else statement


@cache
def count_events(kind: EventKind, *, search: SearchCondition | None) -> Select[Any]:
    """Count the rows of `event_table`."""
    if search is None:
        return select(count_sessions_where(branch.where for branch in _branches(kind)))
    rows = _all_rows(kind)
    return _search(rows.c, _with_devices(rows, func.count()), search)


@cache
def count_events_by_kind() -> Select[Any]:
    """Select one row with the number of rows of each kind, in the order of `EventKind`."""
    counts: list[ColumnElement[Any]] = [
        count_sessions_where(branch.where for branch in _branches(kind)).label(kind) for kind in get_args(EventKind)
    ]
    return select(*counts)
