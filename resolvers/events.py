"""Events, which are the ends of sessions, and how many there were."""

from collections.abc import AsyncIterator
from typing import NamedTuple, cast

from resolvers.context import Context
from resolvers.inputs import EventsQuery, Page, TotalsQuery
from resolvers.paging import Slice, cursor, cut, parse_cursor
from resolvers.sessions import latest
from storage import events as ask
from storage.clauses import like, search_for
from storage.events import EventRow, Sort
from storage.store import Parameters


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


def window(context: Context, query: EventsQuery | TotalsQuery) -> Parameters:
    """The period as parameters: taken once, so that rows and their count are of the same; raises InvalidInputError."""
    since, until = latest(context, query.period)
    return {"since": since, "until": until, "now": context.clock.now()}


async def page(context: Context, query: EventsQuery, window: Parameters, page: Page) -> Slice[EventRow]:
    """A keyset page of events, newest first."""
    kind = _kind(query)
    parameters = {**window}
    marks = {name: parse_cursor(name, given, kind, 3) for name, given in page.cursors()}
    for name, place in marks.items():
        parameters |= {f"{name}_{part}": value for part, value in zip(("key", "id", "side"), place, strict=True)}
    question = ask.page(
        kind, after="after" in marks, before="before" in marks, backward=page.backward, merges=context.store.merges
    )
    found = await context.store.fetch(question, parameters | {"limit": page.size + 1})
    return cut(page, found, EventRow.of, lambda row: cursor(kind, row[-2], row[1], row[-1]))


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
