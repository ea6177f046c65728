"""Events: lists of the starts and ends of sessions, and their numbers."""

from collections.abc import AsyncIterator
from hashlib import sha256
from operator import itemgetter
from typing import Literal, NamedTuple, cast

from resolvers.context import Context
from resolvers.errors import InvalidInputError, short_repr
from resolvers.paging import Slice, decode_cursor, encode_cursor, paginate
from resolvers.sessions import window_of
from resolvers.validation.models import EventListQuery, EventsQuery, Page, TotalsQuery
from storage.queries import events as event_queries
from storage.queries.clauses import like_pattern, search_condition
from storage.queries.event_types import EventKind
from storage.queries.events import EventRow as EventRow
from storage.queries.events import EventSort as EventSort
from storage.store import Parameters

EventOrder = Literal[
    "NEWEST", "OLDEST", "MAC", "MAC_DESC", "NAME", "NAME_DESC", "OWNER", "OWNER_DESC", "IP", "IP_DESC", "EVENT_TYPE",
    "EVENT_TYPE_DESC",
]  # fmt: skip
DESCENDING_SUFFIX = "_DESC"
SORT_COLUMNS: dict[str, EventSort] = {
    "MAC": "mac",
    "NAME": "name",
    "OWNER": "owner",
    "IP": "ip",
    "EVENT_TYPE": "event_type",
}


class EventTotals(NamedTuple):
    """The number of rows of each type of event list."""

    all: int
    sessions: int
    missing: int
    voided: int
    new: int
    down: int


def _kind(query: EventsQuery) -> EventKind:
    return cast("EventKind", query.type.upper())


def period_parameters(context: Context, query: EventsQuery | TotalsQuery, now: int | None = None) -> Parameters:
    """Return a period as query parameters. Raise InvalidInputError.

    Pass the same parameters to the list and its count, so that both cover the same window.
    """
    since, until = window_of(context, query.period, now)
    return {"since": since, "until": until, "now": context.clock.now() if now is None else now}


def _cursor_kind(query: EventListQuery, order: EventOrder) -> str:
    """Return the prefix of the list's cursors, which no other list has."""
    kind = _kind(query)
    if order == "NEWEST" and not query.search:
        return kind
    query_digest = sha256(repr((like_pattern(query.search), query.period)).encode()).hexdigest()[:16]
    return f"{kind}-{order}-{query_digest}"


class EventPage(NamedTuple):
    """A page of events, and the window parameters of its list."""

    page: Slice[EventRow]
    window: Parameters


async def list_events(context: Context, query: EventListQuery, order: EventOrder, page: Page) -> EventPage:
    """Return a page of events. Raise InvalidInputError for an invalid period or cursor."""
    by_time = order in ("NEWEST", "OLDEST")
    return await (_page_by_time if by_time else _page_by_column)(context, query, order, page)


async def _page_by_time(context: Context, query: EventListQuery, order: EventOrder, page: Page) -> EventPage:
    """Return a page by keyset pagination. OLDEST reads the NEWEST list backward."""
    window, kind, cursor_kind = period_parameters(context, query), _kind(query), _cursor_kind(query, order)
    ascending = order == "OLDEST"
    names = {"after": "before", "before": "after"} if ascending else {"after": "after", "before": "before"}
    positions = {names[name]: decode_cursor(name, cursor, cursor_kind, 3) for name, cursor in page.cursors()}
    parameters = {**window, "needle": like_pattern(query.search), "limit": page.size + 1}
    for name, position in positions.items():
        columns = zip(event_queries.CURSOR_COLUMNS, position, strict=True)
        parameters |= {f"{name}_{column}": value for column, value in columns}
    statement = event_queries.event_page(
        kind,
        after="after" in positions,
        before="before" in positions,
        backward=page.backward != ascending,
        search=search_condition(query.search) if query.search else None,
        merge_branches=context.store.merges_ordered_unions,
    )
    rows = await context.store.fetch(statement, parameters)
    return EventPage(
        paginate(page, rows, EventRow.from_row, lambda row: encode_cursor(cursor_kind, row[-2], row[1], row[-1])),
        window,
    )


async def _page_by_column(context: Context, query: EventListQuery, order: EventOrder, page: Page) -> EventPage:
    """Return a page by offset pagination, because the sort column is not unique.

    A cursor has the time of the first page's request and an offset, so that all pages cover the same window.
    """
    cursor_kind = _cursor_kind(query, order)
    times, offsets = set(), {}
    for name, cursor in page.cursors():
        time, offset = decode_cursor(name, cursor, cursor_kind, 2)
        times.add(time)
        offsets[name] = offset
        if len(times) > 1 or not all(0 <= number < 2**62 for number in (time, offset)):
            raise InvalidInputError(name, f"{short_repr(cursor)} is not a cursor of this list")
    now = times.pop() if times else context.clock.now()
    window = period_parameters(context, query, now)
    first, end = offsets.get("after", -1) + 1, offsets.get("before")
    if page.backward:
        end = await count_events(context, query, window, query.search) if end is None else end
        first = max(first, end - page.size - 1)
    chunks = stream_events(
        context,
        query,
        window,
        sort=SORT_COLUMNS[order.removesuffix(DESCENDING_SUFFIX)],
        descending=order.endswith(DESCENDING_SUFFIX),
        search=query.search,
        limit=page.size + 1 if end is None else max(0, min(page.size + 1, end - first)),
        offset=first,
    )
    rows = list(enumerate([row async for chunk in chunks for row in chunk], first))
    if page.backward:
        rows.reverse()
    return EventPage(paginate(page, rows, itemgetter(1), lambda row: encode_cursor(cursor_kind, now, row[0])), window)


async def count_events(context: Context, query: EventsQuery, window: Parameters, search: str = "") -> int:
    """Return the number of rows of a list."""
    parameters = {**window, "needle": like_pattern(search)}
    rows = await context.store.fetch(
        event_queries.count_events(_kind(query), search=search_condition(search) if search else None), parameters
    )
    return int(rows[0][0])


async def stream_events(
    context: Context,
    query: EventsQuery,
    window: Parameters,
    *,
    sort: EventSort,
    descending: bool,
    search: str,
    limit: int | None,
    offset: int,
) -> AsyncIterator[list[EventRow]]:
    """Yield events in chunks, sorted by a column, with the names and owners of their devices."""
    statement = event_queries.event_table(
        _kind(query),
        sort,
        descending=descending,
        search=search_condition(search) if search else None,
        limited=limit is not None,
        merge_branches=context.store.merges_ordered_unions,
    )
    parameters = {
        **window,
        "needle": like_pattern(search),
        "limit": limit,
        "offset": offset,
        "reach": offset + (limit or 0),
    }
    async for rows in context.store.stream(statement, parameters):
        yield [EventRow.from_row(row) for row in rows]


async def count_by_type(context: Context, query: TotalsQuery) -> EventTotals:
    """Return the number of rows of each type of list in a period. Raise InvalidInputError."""
    rows = await context.store.fetch(event_queries.count_events_by_kind(), period_parameters(context, query))
    return EventTotals._make(rows[0])
