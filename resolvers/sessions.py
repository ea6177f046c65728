"""Create, read, list and delete sessions."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from operator import itemgetter
from random import getrandbits
from threading import Lock
from typing import Any, Literal, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.paging import Slice, decode_cursor, encode_cursor, paginate
from resolvers.validation.clock import Clock, Window
from resolvers.validation.models import (
    CalendarQuery,
    DeviceQuery,
    FeedQuery,
    ListQuery,
    NewSession,
    Page,
    SessionFilter,
)
from resolvers.validation.periods import Period
from storage.queries import journal, writes
from storage.queries import sessions as session_queries
from storage.queries.clauses import like_pattern, search_condition
from storage.queries.json_objects import JSON_FIELDS as JSON_FIELDS
from storage.queries.json_objects import Selection as Selection
from storage.queries.sessions import CalendarRow as CalendarRow
from storage.store import AuditStamp, Parameters, Transaction, UnitOfWork, created_entries
from storage.tables import CONNECTED, INLINE_ROWS, MISSING_EVENT, SESSION_DEFAULTS
from storage.tables import SessionRow as SessionRow

Order = Literal["NEWEST", "OLDEST", "LONGEST", "SHORTEST"]
# The sort key of each order, and whether it is descending.
ORDERS: dict[Order, tuple[session_queries.SortKey, bool]] = {
    "NEWEST": ("start", True),
    "OLDEST": ("start", False),
    "LONGEST": ("longest", True),
    "SHORTEST": ("shortest", False),
}
FAR_PAST, FAR_FUTURE = -(2**61), 2**61


class _SessionIds:
    """Ids that rise with time: milliseconds since 1970, then 21 bits with a random start, so that processes differ."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def __call__(self, clock: Clock, n: int) -> range:
        start = (clock.now() // 1000 << 21) | getrandbits(21)
        with self._lock:
            start = max(start, self._last + 1)
            self._last = start + n - 1
        return range(start, start + n)


new_session_ids = _SessionIds()


class SessionResult(NamedTuple):
    """The session after a write, the message for the client, and the number of created sessions."""

    session: SessionRow
    message: str
    created: int = 0


class DeleteResult(NamedTuple):
    """The number of deleted sessions, and the message for the client."""

    sessions: int
    message: str
    created: int = 0


def build_row(new: NewSession, session_id: int) -> dict[str, Any]:
    """Return the columns of a new session."""
    if new.end_time is not None:
        end_event: str | None = new.event_type_disc
    else:
        end_event = MISSING_EVENT if new.event_type_disc == MISSING_EVENT else None
    return {
        **SESSION_DEFAULTS,
        "mac": new.mac,
        "id": session_id,
        "ip": new.ip,
        "connected_at": new.start_time,
        "disconnected_at": new.end_time,
        "connection_event": new.event_type_conn,
        "disconnection_event": end_event,
        "info": new.info,
    }


async def create(context: Context, new: Sequence[NewSession]) -> list[tuple[str, int]]:
    """Create sessions, all or none. Return the MAC and id of each after the commit.

    There are three ways to create. `create` takes bulk input (benchmark create-sessions-10000). `create_one` creates
    one session in a shared group commit and returns it as stored (benchmarks creates-rest and creates-graphql).
    `create_transaction` is for a create inside a larger transaction, such as one with an idempotency key.
    """
    rows = [
        build_row(session, session_id)
        for session, session_id in zip(new, new_session_ids(context.clock, len(new)), strict=True)
    ]
    await context.store.insert_sessions(rows, context.authorize("write"))
    context.on_written(len(rows))
    return [(row["mac"], row["id"]) for row in rows]


async def create_one(context: Context, new: NewSession) -> SessionResult:
    """Create a session. Return it as stored, after the commit."""
    (session_id,) = new_session_ids(context.clock, 1)
    row = await context.store.insert_session(build_row(new, session_id), context.authorize("write"))
    context.on_written(1)
    return SessionResult(SessionRow._make(row), created_message(new.mac), 1)


def create_transaction(context: Context, new: NewSession) -> UnitOfWork[SessionResult]:
    """Return the unit of work that creates a session."""
    stamp = context.authorize("write")

    async def transact(transaction: Transaction) -> SessionResult:
        (session_id,) = new_session_ids(context.clock, 1)
        rows = [build_row(new, session_id)]
        await transaction.insert_sessions(rows)
        await transaction.write_journal(created_entries(rows, stamp))
        (row,) = await transaction.fetch(session_queries.session_by_id(), {"mac": new.mac, "id": session_id})
        return SessionResult(SessionRow._make(row), created_message(new.mac), 1)

    return transact


def change_entry(
    stamp: AuditStamp, kind: journal.JournalKind, before: SessionRow, after: SessionRow | None
) -> Parameters:
    """Return the journal entry for a changed or deleted session."""
    return {
        "at": stamp["at"],
        "who": stamp["who"],
        "kind": kind,
        "mac": before.mac,
        "id": before.id,
        "before": journal.write_snapshot(before),
        "after": None if after is None else journal.write_snapshot(after),
    }


async def delete(context: Context, mac: str) -> DeleteResult:
    """Delete all sessions of a device."""
    return await context.store.write(delete_transaction(context, mac))


def delete_transaction(context: Context, mac: str) -> UnitOfWork[DeleteResult]:
    """Return the unit of work that deletes all sessions of a device."""
    stamp = context.authorize("admin")

    async def transact(transaction: Transaction) -> DeleteResult:
        await transaction.lock_devices([mac], "remove")
        rows = await transaction.fetch(session_queries.sessions_of_device(), {"mac": mac})
        await transaction.execute(writes.delete_sessions_of_device(), {"mac": mac})
        await transaction.execute(writes.delete_unused_device(), {"mac": mac})
        await transaction.write_journal([change_entry(stamp, "DELETED", SessionRow._make(row), None) for row in rows])
        return DeleteResult(len(rows), f"Deleted sessions for MAC {mac}")

    return transact


async def get(context: Context, mac: str, session_id: int) -> SessionRow | None:
    """Return a session, or None if there is none with this MAC and id."""
    rows = await context.store.fetch(session_queries.session_by_id(), {"mac": mac, "id": session_id}, inline=True)
    return SessionRow._make(rows[0]) if rows else None


def created_message(mac: str) -> str:
    """Return the message for a created session, the same in both APIs."""
    return f"Session created for MAC {mac}"


class FilterQuery(NamedTuple):
    """The SQL conditions of a filter, and their parameters."""

    conditions: frozenset[session_queries.SessionCondition]
    parameters: dict[str, Any]


def _filter_query(context: Context, session_filter: SessionFilter) -> FilterQuery:
    clock = context.clock
    conditions: set[session_queries.SessionCondition] = set()
    parameters: dict[str, Any] = {"now": clock.now()}
    if session_filter.macs is not None and len(session_filter.macs) == 1:
        conditions.add("mac")
        parameters["mac"] = session_filter.macs[0]
    elif session_filter.macs is not None:
        conditions.add("macs")
        parameters["macs"] = json.dumps(session_filter.macs)
    if session_filter.ips is not None:
        conditions.add("ips")
        parameters["ips"] = json.dumps(session_filter.ips)
    if session_filter.states is not None:
        conditions.add("states")
        parameters["states"] = json.dumps(session_filter.states)
    if session_filter.start_date is not None:
        conditions.add("started_since")
        parameters["started_since"] = clock.day_window(session_filter.start_date).since
    if session_filter.end_date is not None:
        conditions.add("ended_until")
        parameters["ended_until"] = clock.day_window(session_filter.end_date).until
    if session_filter.overlaps is not None:
        since, until = session_filter.overlaps.from_, session_filter.overlaps.to
        conditions.add("overlapping")
        parameters["since"] = FAR_PAST if since is None else since
        parameters["until"] = FAR_FUTURE if until is None else until
    if session_filter.search:
        conditions.add(search_condition(session_filter.search))
        parameters["needle"] = like_pattern(session_filter.search)
    return FilterQuery(frozenset(conditions), parameters)


async def count(context: Context, session_filter: SessionFilter) -> int:
    """Return the number of sessions that match a filter."""
    conditions, parameters = _filter_query(context, session_filter)
    rows = await context.store.fetch(session_queries.count_sessions(conditions), parameters)
    return int(rows[0][0])


class SessionPlan:
    """A session query that has not run yet. Read it as rows, or as JSON objects made by the database."""

    def __init__(
        self,
        context: Context,
        listing: session_queries.ListQuery,
        parameters: dict[str, Any],
        page: Page | None,
        cursor: Callable[[Any], str],
    ) -> None:
        self._store = context.store
        self._listing = listing
        self._parameters = parameters
        self._page = page
        self._cursor = cursor

    async def rows(self) -> Slice[SessionRow]:
        """Run the query and return session rows."""
        rows = await self._store.fetch(
            session_queries.list_sessions(self._listing, merge_branches=self._store.merges_ordered_unions),
            self._parameters,
            inline=self._listing.is_indexed,
        )
        return paginate(
            self._page, rows, lambda row: SessionRow._make(row[:-1]), lambda row: self._cursor((row[-1], row[1]))
        )

    async def json(self, selection: Selection) -> Slice[str] | None:
        """Run the query and return each session as a JSON object. None if one cannot be written."""
        query = session_queries.list_sessions_as_json(
            self._listing, selection, merge_branches=self._store.merges_ordered_unions
        )
        rows = await self._store.fetch(query, self._parameters, inline=self._listing.is_indexed)
        json_rows = session_queries.json_rows(rows, merge_branches=self._store.merges_ordered_unions)
        objects = paginate(self._page, json_rows, itemgetter(0), lambda row: self._cursor((row[2], row[1])))
        return None if None in objects.rows else objects


def page(context: Context, session_filter: SessionFilter, order: Order, page: Page) -> SessionPlan:
    """Return the plan of a keyset page of sessions."""
    conditions, parameters = _filter_query(context, session_filter)
    key, descending = ORDERS[order]
    # Durations of open sessions grow: a list by duration keeps the instant of its first page.
    positions = {name: decode_cursor(name, cursor, order, 3) for name, cursor in page.cursors()}
    for name, (now, key_value, session_id) in positions.items():
        parameters |= {"now": now, f"{name}_key": key_value, f"{name}_id": session_id}
    listing = session_queries.ListQuery(
        conditions,
        key,
        descending=descending,
        after="after" in positions,
        before="before" in positions,
        backward=page.backward,
        limited=True,
    )
    now = parameters["now"]
    return SessionPlan(
        context,
        listing,
        parameters | {"limit": page.size + 1},
        page,
        lambda position: encode_cursor(order, now, *position),
    )


def filter_of(query: ListQuery) -> SessionFilter:
    """Return the filter of the REST list."""
    macs = None if query.mac is None else [query.mac]
    # The values are validated already.
    return SessionFilter.model_construct(macs=macs, start_date=query.start_date, end_date=query.end_date)


async def list_sessions(context: Context, query: ListQuery) -> AsyncIterator[list[SessionRow]]:
    """Yield the sessions of the REST list in chunks, newest first."""
    conditions, parameters = _filter_query(context, filter_of(query))
    parameters |= {"limit": 2**62 if query.limit is None else query.limit, "offset": query.offset}
    limited = query.limit is not None or query.offset > 0
    list_query = session_queries.ListQuery(conditions, limited=limited, offset=limited)
    statement = session_queries.list_sessions(list_query, merge_branches=context.store.merges_ordered_unions)
    if query.limit is not None and query.limit <= INLINE_ROWS and not query.offset:
        chunk = await context.store.fetch(statement, parameters, inline=list_query.is_indexed)
        yield [SessionRow._make(row[:-1]) for row in chunk]
        return
    async for rows in context.store.stream(statement, parameters):
        yield [SessionRow._make(row[:-1]) for row in rows]


async def calendar(context: Context, query: CalendarQuery) -> AsyncIterator[list[CalendarRow]]:
    """Yield every session that overlaps the range, with the ends to draw, in chunks."""
    clock = context.clock
    since = query.start if isinstance(query.start, int) else clock.day_window(query.start).since
    until = query.end if isinstance(query.end, int) else clock.day_window(query.end).until
    if until < since or (until == since and query.end != query.start):
        raise InvalidInputError("end", "is before start")
    parameters = {"since": since, "until": until, "now": clock.now(), "mac": query.mac}
    async for rows in context.store.stream(
        session_queries.calendar_sessions(one_device=query.mac is not None), parameters
    ):
        yield [CalendarRow.from_row(row) for row in rows]


def window_of(context: Context, period: Period, now: int | None = None) -> Window:
    """Return the window that a period covers, back from `now` (default: the present). Raise InvalidInputError."""
    try:
        return context.clock.period_window(period, now)
    except ValueError as problem:
        raise InvalidInputError("period", str(problem)) from None


async def calendar_feed(context: Context, query: FeedQuery) -> AsyncIterator[list[CalendarRow]]:
    """Yield every session that overlaps the period, with the ends to draw and its device's name, in chunks."""
    since, until = window_of(context, query.period)
    parameters = {"since": since, "until": until, "now": context.clock.now(), "mac": query.mac}
    async for rows in context.store.stream(
        session_queries.calendar_sessions(one_device=query.mac is not None, with_device_name=True), parameters
    ):
        yield [CalendarRow.from_row(row) for row in rows]


def of_device(context: Context, query: DeviceQuery) -> SessionPlan:
    """Return the plan of a device's sessions that overlap the period, newest first."""
    since, until = window_of(context, query.period)
    parameters = {"mac": query.mac, "since": since, "until": until, "now": context.clock.now()}
    return SessionPlan(context, session_queries.ListQuery(frozenset({"mac", "overlapping"})), parameters, None, str)


def duration(row: SessionRow, now: int) -> int | None:
    """Return the microseconds between the ends, until now for an open session. Return None if an end is missing."""
    if row.connected_at is None or (row.disconnected_at is None and row.state != CONNECTED):
        return None
    return max((row.disconnected_at if row.disconnected_at is not None else now) - row.connected_at, 0)
