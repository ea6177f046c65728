"""Events, which are the ends of sessions, and how many there were."""

from collections.abc import AsyncIterator
from hashlib import sha256
from operator import itemgetter
from typing import Literal, NamedTuple, cast

from resolvers.context import Context
from resolvers.errors import InvalidInputError, shown
from resolvers.paging import Slice, cursor, cut, parse_cursor
from resolvers.sessions import latest
from resolvers.validation.models import EventList, EventsQuery, Page, TotalsQuery
from storage.queries import events as ask
from storage.queries.clauses import like, search_for
from storage.queries.events import EventRow, Sort
from storage.store import Parameters

Order = Literal[
    "NEWEST", "OLDEST", "MAC", "MAC_DESC", "NAME", "NAME_DESC", "OWNER", "OWNER_DESC", "IP", "IP_DESC", "EVENT_TYPE",
    "EVENT_TYPE_DESC",
]  # fmt: skip
FALLING = "_DESC"
SORTS: dict[str, Sort] = {"MAC": "mac", "NAME": "name", "OWNER": "owner", "IP": "ip", "EVENT_TYPE": "event_type"}


class Totals(NamedTuple):
    """How many rows each type of event list has."""

    all: int
    sessions: int
    missing: int
    voided: int
    new: int
    down: int


def _kind(query: EventsQuery) -> ask.Kind:
    return cast("ask.Kind", query.type.upper())


def window(context: Context, query: EventsQuery | TotalsQuery, now: int | None = None) -> Parameters:
    """The period as parameters: taken once, so that rows and their count are of the same; raises InvalidInputError."""
    since, until = latest(context, query.period, now)
    return {"since": since, "until": until, "now": context.clock.now() if now is None else now}


def _list(query: EventList, order: Order) -> str:
    """What a list's cursors begin with, and those of no other."""
    kind = _kind(query)
    if order == "NEWEST" and not query.search:
        return kind
    asked = sha256(repr((like(query.search), query.period)).encode()).hexdigest()[:16]
    return f"{kind}-{order}-{asked}"


class Listed(NamedTuple):
    """A page of events, and the window of which its list is."""

    page: Slice[EventRow]
    window: Parameters


async def page(context: Context, query: EventList, order: Order, page: Page) -> Listed:
    """A page of events; raises InvalidInputError."""
    by_time = order in ("NEWEST", "OLDEST")
    return await (_page_by_time if by_time else _page_by_column)(context, query, order, page)


async def _page_by_time(context: Context, query: EventList, order: Order, page: Page) -> Listed:
    """A keyset page. The oldest first are the newest first, read from their end."""
    within, kind, its_list = window(context, query), _kind(query), _list(query, order)
    rises = order == "OLDEST"
    names = {"after": "before", "before": "after"} if rises else {"after": "after", "before": "before"}
    marks = {names[name]: parse_cursor(name, given, its_list, 3) for name, given in page.cursors()}
    parameters = {**within, "needle": like(query.search), "limit": page.size + 1}
    for name, place in marks.items():
        parameters |= {f"{name}_{part}": value for part, value in zip(ask.PLACE, place, strict=True)}
    question = ask.page(
        kind,
        after="after" in marks,
        before="before" in marks,
        backward=page.backward != rises,
        search=search_for(query.search) if query.search else None,
        merges=context.store.merges,
    )
    found = await context.store.fetch(question, parameters)
    return Listed(cut(page, found, EventRow.of, lambda row: cursor(its_list, row[-2], row[1], row[-1])), within)


async def _page_by_column(context: Context, query: EventList, order: Order, page: Page) -> Listed:
    """A page by number: a column is no key. The list stays that of the instant at which it was begun."""
    its_list = _list(query, order)
    begun, places = set(), {}
    for name, given in page.cursors():
        now, place = parse_cursor(name, given, its_list, 2)
        begun.add(now)
        places[name] = place
        if len(begun) > 1 or not all(0 <= number < 2**62 for number in (now, place)):
            raise InvalidInputError(name, f"{shown(given)} is not a cursor of this list")
    now = begun.pop() if begun else context.clock.now()
    within = window(context, query, now)
    first, end = places.get("after", -1) + 1, places.get("before")
    if page.backward:
        end = await count(context, query, within, query.search) if end is None else end
        first = max(first, end - page.size - 1)
    wanted = page.size + 1 if end is None else max(0, min(page.size + 1, end - first))
    sorted_rows = table(
        context,
        query,
        within,
        sort=SORTS[order.removesuffix(FALLING)],
        descending=order.endswith(FALLING),
        search=query.search,
        limit=wanted,
        offset=first,
    )
    found = list(enumerate([row async for rows in sorted_rows for row in rows], first))
    if page.backward:
        found.reverse()
    made = cut(page, found, itemgetter(1), lambda row: cursor(its_list, now, row[0]))
    return Listed(made, within)


async def count(context: Context, query: EventsQuery, window: Parameters, search: str = "") -> int:
    """How many rows the list has."""
    parameters = {**window, "needle": like(search)}
    rows = await context.store.fetch(ask.count(_kind(query), search=search_for(search) if search else None), parameters)
    return int(rows[0][0])


async def table(
    context: Context,
    query: EventsQuery,
    window: Parameters,
    *,
    sort: Sort,
    descending: bool,
    search: str,
    limit: int | None,
    offset: int,
) -> AsyncIterator[list[EventRow]]:
    """The rows with their device's name and owner, sorted by a column, in chunks."""
    how = search_for(search) if search else None
    question = ask.table(
        _kind(query), sort, descending=descending, search=how, limited=limit is not None, merges=context.store.merges
    )
    parameters = {**window, "needle": like(search), "limit": limit, "offset": offset, "reach": offset + (limit or 0)}
    async for rows in context.store.stream(question, parameters):
        yield [EventRow.of(row) for row in rows]


async def totals(context: Context, query: TotalsQuery) -> Totals:
    """How many rows each type of list has in the period."""
    rows = await context.store.fetch(ask.totals(), window(context, query))
    return Totals._make(rows[0])
