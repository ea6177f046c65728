"""Queries for sessions. Each function returns the statement of one shape; values are parameters.

Parameters of the conditions: `mac`; `macs`, `ips`, `states` (JSON arrays); `started_since`, `ended_until`, `since`, `until`
and `now` (instants, `now` being the time of the request); `needle` (see `clauses.like_pattern`).
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.sql.selectable import GenerativeSelect

from storage.queries.clauses import (
    ROWID,
    between_cursors,
    contains,
    count_sessions_where,
    duration,
    in_json_array,
    in_span_classes,
    integer_literal,
    integer_param,
    last_known_end,
    order_by_names,
    ordered_branch,
    overlaps_window,
    text_param,
    union_branches,
)
from storage.queries.json_objects import CACHED_SELECTIONS, Selection, session_json
from storage.tables import (
    DEVICES,
    HOUR,
    LONGEST,
    NO_END,
    NO_START,
    OPEN,
    ROW_WIDTH,
    SESSION_COLUMNS,
    SESSIONS,
    SPAN_CLASSES,
    SPAN_LIMITS,
    SessionRow,
    device,
    session,
)

SessionCondition = Literal[
    "mac", "macs", "ips", "states", "started_since", "ended_until", "overlapping", "search", "search_unicode"
]
SortKey = Literal["start", "longest", "shortest"]


class CalendarRow(NamedTuple):
    """A session, the two instants between which a calendar draws it, and its device's name if the query includes it."""

    session: SessionRow
    drawn_from: int
    drawn_until: int
    name: str | None = None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Convert a row of `calendar_sessions`."""
        return cls(SessionRow._make(row[:ROW_WIDTH]), *row[ROW_WIDTH:])


def _condition(name: SessionCondition, n: int | None) -> ColumnElement[bool]:
    match name:
        case "mac":
            return session.mac == text_param("mac")
        case "macs" | "ips" | "states":
            return in_json_array(session[name[:-1]], name)
        case "started_since":
            return session.starts_at >= integer_param("started_since")
        case "ended_until":
            return and_(session.span != integer_literal(OPEN), last_known_end() < integer_param("ended_until"))
        case "overlapping":
            return or_(*map(overlaps_window, SPAN_CLASSES)) if n is None else overlaps_window(n)
        case "search" | "search_unicode":
            return contains((session.info, session.connection_event, session.disconnection_event), name)


def _conditions(names: frozenset[SessionCondition], n: int | None = None) -> list[ColumnElement[bool]]:
    """Return the SQL of the conditions, restricted to span class `n` unless it is None."""
    conditions = [_condition(name, n) for name in sorted(names)]
    return conditions if n is None else [in_span_classes(session.span, n), *conditions]


def sort_key(key: SortKey) -> ColumnElement[int]:
    """Return the first sort column of a list, before the id. It is never null; sessions without a duration are last."""
    match key:
        case "start":
            return session.starts_at
        case "longest":
            return func.coalesce(duration(session), integer_literal(-1))
        case "shortest":
            return func.coalesce(duration(session), integer_literal(2**62))


class ListQuery(NamedTuple):
    """The shape of a list: its conditions and order, and which cursors, limit and offset it takes as parameters."""

    conditions: frozenset[SessionCondition] = frozenset()
    sort_key: SortKey = "start"
    descending: bool = True
    after: bool = False
    before: bool = False
    backward: bool = False
    limited: bool = False
    offset: bool = False

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the first rows without scanning many others."""
        return self.sort_key == "start" and (self.conditions <= {"mac"} or self.conditions == {"mac", "overlapping"})


def _list_query(columns: Sequence[ColumnElement[Any]], query: ListQuery, *, merge_branches: bool) -> GenerativeSelect:
    by = sort_key(query.sort_key)
    # Each span class is ordered by start in its index. No index is ordered by duration, and one sort costs less than one
    # per class. Where merging costs more than a second index, only overlaps are searched by class.
    classes: list[int | None] = [n for n in SPAN_CLASSES if n != OPEN or "ended_until" not in query.conditions]
    if query.sort_key != "start" or not (merge_branches or "overlapping" in query.conditions):
        classes = [None]
    branches = [
        between_cursors(
            select(*columns, by.label("key")).where(*_conditions(query.conditions, n)),
            {"key": by, "id": session.id},
            descending=query.descending,
            after=query.after,
            before=query.before,
        )
        for n in classes
    ]
    order, descending = ("key", "id"), query.descending != query.backward
    if not merge_branches and len(branches) > 1:
        limit = integer_param("limit") if query.limited else None
        if query.offset:
            limit = integer_param("limit") + integer_param("offset")
        branches = [ordered_branch(branch, order, descending=descending, limit=limit) for branch in branches]
    statement = order_by_names(union_branches(branches), order, descending=descending)
    if query.limited:
        statement = statement.limit(integer_param("limit"))
    if query.offset:
        statement = statement.offset(integer_param("offset"))
    return statement


@cache
def list_sessions(query: ListQuery, *, merge_branches: bool = True) -> GenerativeSelect:
    """Select sessions, each followed by its sort key. `merge_branches` is `Store.merges_ordered_unions`."""
    return _list_query(SESSION_COLUMNS, query, merge_branches=merge_branches)


@lru_cache(CACHED_SELECTIONS)
def list_sessions_as_json(query: ListQuery, selection: Selection, *, merge_branches: bool) -> Select[Any]:
    """Select the same sessions as the JSON object of a selection, each followed by its id and sort key.

    A subquery finds the rows, so that the SQL of the selection occurs once instead of once per span class. If branches are
    merged, the subquery returns only row numbers.
    """
    order, descending = ("matching.key", "matching.id"), query.descending != query.backward
    if merge_branches:
        matching = _list_query((ROWID.label("address"), session.id), query, merge_branches=True).subquery("matching")
        joined = matching.join(SESSIONS, matching.c.address == ROWID)
        statement = select(session_json(selection, session).label("json"), matching.c.id, matching.c.key).select_from(
            joined
        )
        return order_by_names(statement, order, descending=descending)
    matching = _list_query(SESSION_COLUMNS, query, merge_branches=False).subquery("matching")
    statement = select(session_json(selection, matching.c).label("json"), matching.c.id, matching.c.key)
    # One row of arrays: with asyncpg, a row costs more than its values.
    return select(*map(func.array_agg, order_by_names(statement, order, descending=descending).subquery().c))


def json_rows(rows: list[Any], *, merge_branches: bool) -> list[Any]:
    """Return one row per session from the result of `list_sessions_as_json`."""
    return rows if merge_branches else list(zip(*(column or () for column in rows[0]), strict=True))


@cache
def count_sessions(conditions: frozenset[SessionCondition]) -> Select[Any]:
    """Count the sessions that meet the conditions."""
    if "overlapping" in conditions:
        return select(count_sessions_where(and_(*_conditions(conditions, n)) for n in SPAN_CLASSES))
    return select(func.count()).select_from(SESSIONS).where(*_conditions(conditions))


@cache
def session_by_id() -> Select[Any]:
    """Select session `mac`, `id`."""
    return select(*SESSION_COLUMNS).where(session.mac == text_param("mac"), session.id == integer_param("id"))


@cache
def sessions_of_device() -> Select[Any]:
    """Select all sessions of `mac`, oldest first."""
    return select(*SESSION_COLUMNS).where(session.mac == text_param("mac")).order_by(session.starts_at, session.id)


@cache
def any_session() -> Select[Any]:
    """Select one row if there is a session."""
    return select(session.id).limit(1)


def _previous_end(mac: ColumnElement[str]) -> ColumnElement[int | None]:
    """Return the device's last end in the hour before the session's end. Ends have no index: search each span class."""
    earlier, at = SESSIONS.alias().c, session.disconnected_at
    in_reach = [
        and_(
            in_span_classes(earlier.span, n),
            earlier.starts_at >= at - integer_literal(HOUR + limit),
            earlier.starts_at < at,
        )
        for n, limit in (*enumerate(SPAN_LIMITS), (NO_START, 0))
    ]
    in_reach.append(and_(in_span_classes(earlier.span, LONGEST), earlier.starts_at < at))
    return (
        select(func.max(earlier.disconnected_at))
        .where(
            earlier.mac == mac,
            or_(*in_reach),
            earlier.disconnected_at < at,
            earlier.disconnected_at >= at - integer_literal(HOUR),
        )
        .scalar_subquery()
    )


def _next_start(mac: ColumnElement[str]) -> ColumnElement[int | None]:
    """Return the device's first start in the hour after the session's start."""
    later, at = SESSIONS.alias().c, session.starts_at
    return (
        select(func.min(later.starts_at))
        .where(
            later.mac == mac,
            in_span_classes(later.span, *(n for n in SPAN_CLASSES if n != NO_START)),
            later.starts_at > at,
            later.starts_at <= at + integer_literal(HOUR),
        )
        .scalar_subquery()
    )


@cache
def calendar_sessions(*, one_device: bool, with_device_name: bool = False) -> Select[Any]:
    """Select the sessions that a calendar draws in the window, as `CalendarRow`, ordered by time.

    A missing end is estimated: a start by the device's previous end, an end by its next start, at most one hour away.
    """
    # A parameter instead of the column, so that a table sharded by MAC is queried on one shard.
    mac = text_param("mac") if one_device else session.mac
    now = integer_param("now")
    at: ColumnElement[Any] = session.starts_at
    drawn_ends: dict[int, tuple[Any, Any]] = {
        NO_START: (func.coalesce(_previous_end(mac), at - integer_literal(HOUR)), at),
        NO_END: (at, func.coalesce(_next_start(mac), at + integer_literal(HOUR))),
        OPEN: (at, case((at > now, at), else_=now)),
    }

    def branch(n: int) -> Select[Any]:
        start, end = drawn_ends.get(n, (at, session.disconnected_at))
        columns = (*SESSION_COLUMNS, start.label("drawn_from"), end.label("drawn_until"))
        # An estimated end is at most an hour away from the observed one.
        statement = select(*columns).where(overlaps_window(n, margin=HOUR))
        return statement.where(session.mac == text_param("mac")) if one_device else statement

    row = union_branches([branch(n) for n in SPAN_CLASSES]).subquery().c
    since, until = integer_param("since"), integer_param("until")
    is_visible = and_(row.drawn_from < until, or_(row.drawn_until > since, row.drawn_from >= since))
    statement = select(*row).where(is_visible).order_by(row.drawn_from, row.id)
    if not with_device_name:
        return statement
    is_device = device.mac == row.mac
    if one_device:
        is_device = and_(is_device, device.mac == text_param("mac"))
    return statement.add_columns(device.name).join(DEVICES, is_device, isouter=True)
