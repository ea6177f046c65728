"""Recording, deleting and listing sessions."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from operator import itemgetter
from random import getrandbits
from threading import Lock
from typing import Any, Literal, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.paging import Slice, cursor, cut, parse_cursor
from resolvers.validation.clock import Clock, Period, Window
from resolvers.validation.models import (
    CalendarQuery,
    DeviceQuery,
    FeedQuery,
    ListQuery,
    NewSession,
    Page,
    SessionFilter,
)
from storage.queries import journal
from storage.queries import sessions as ask
from storage.queries import writes as changes
from storage.queries.clauses import like, search_for
from storage.queries.json_objects import Selection
from storage.queries.sessions import SessionRow, SpannedRow
from storage.store import Change, Parameters, Transaction, created
from storage.tables import CONNECTED, MISSING, SHORT

Order = Literal["NEWEST", "OLDEST", "LONGEST", "SHORTEST"]
# The order key of each, and whether it falls.
ORDERS: dict[Order, tuple[ask.Key, bool]] = {
    "NEWEST": ("start", True),
    "OLDEST": ("start", False),
    "LONGEST": ("longest", True),
    "SHORTEST": ("shortest", False),
}
FAR_PAST, FAR_FUTURE = -(2**61), 2**61


class _Ids:
    """Ids that rise with time: milliseconds since 1970, then 21 bits that begin anywhere, so that processes differ."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def __call__(self, clock: Clock, n: int) -> range:
        start = (clock.now() // 1000 << 21) | getrandbits(21)
        with self._lock:
            start = max(start, self._last + 1)
            self._last = start + n - 1
        return range(start, start + n)


new_ids = _Ids()


class Reported(NamedTuple):
    """The session that a report was about, as it is now, and what became of it in a sentence."""

    session: SessionRow
    message: str
    new: int = 0  # sessions that it made


class Deleted(NamedTuple):
    """How many sessions were deleted, in a sentence, too."""

    sessions: int
    message: str
    new: int = 0


def written(new: NewSession, identity: int) -> dict[str, Any]:
    """What the store keeps of a reported session."""
    if new.end_time is not None:
        end_event: str | None = new.event_type_disc
    else:
        end_event = MISSING if new.event_type_disc == MISSING else None
    return {
        "mac": new.mac,
        "id": identity,
        "ip": new.ip,
        "connected_at": new.start_time,
        "disconnected_at": new.end_time,
        "connection_event": new.event_type_conn,
        "disconnection_event": end_event,
        "info": new.info,
        "live": 0,
        "seen_at": None,
    }


async def create(context: Context, new: Sequence[NewSession]) -> list[tuple[str, int]]:
    """Records sessions, all or none; answers the MAC and id of each when they are durable."""
    rows = [written(one, identity) for one, identity in zip(new, new_ids(context.clock, len(new)), strict=True)]

    await context.store.record(rows, context.told("write"))
    context.on_written(len(rows))
    return [(row["mac"], row["id"]) for row in rows]


async def create_one(context: Context, new: NewSession) -> Reported:
    """Records a session; answers it when it is durable."""
    (identity,) = new_ids(context.clock, 1)
    row = await context.store.record_one(written(new, identity), context.told("write"))
    context.on_written(1)
    return Reported(SessionRow._make(row), created_message(new.mac), 1)


def creating(context: Context, new: NewSession) -> Change[Reported]:
    """The same as a change."""
    told = context.told("write")

    async def change(transaction: Transaction) -> Reported:
        (identity,) = new_ids(context.clock, 1)
        rows = [written(new, identity)]
        await transaction.record(rows)
        await transaction.note(created(rows, told))
        (row,) = await transaction.fetch(ask.by_id(), {"mac": new.mac, "id": identity})
        return Reported(SessionRow._make(row), created_message(new.mac), 1)

    return change


def noted(told: Parameters, kind: journal.Kind, before: SessionRow, after: SessionRow | None) -> Parameters:
    """What the journal says of a change of a session."""
    return {
        "at": told["at"],
        "who": told["who"],
        "kind": kind,
        "mac": before.mac,
        "id": before.id,
        "before": json.dumps(before),
        "after": None if after is None else json.dumps(after),
    }


async def delete(context: Context, mac: str) -> Deleted:
    """Deletes all sessions of a device."""
    return await context.store.write(deleting(context, mac))


def deleting(context: Context, mac: str) -> Change[Deleted]:
    """The same as a change."""
    told = context.told("admin")

    async def change(transaction: Transaction) -> Deleted:
        await transaction.hold([mac], "remove")
        rows = await transaction.fetch(ask.of_device(), {"mac": mac})
        await transaction.execute(changes.delete_sessions(), {"mac": mac})
        await transaction.execute(changes.delete_bare_device(), {"mac": mac})
        await transaction.note([noted(told, "DELETED", SessionRow._make(row), None) for row in rows])
        return Deleted(len(rows), f"Deleted sessions for MAC {mac}")

    return change


async def get(context: Context, mac: str, identity: int) -> SessionRow | None:
    """One session."""
    rows = await context.store.fetch(ask.by_id(), {"mac": mac, "id": identity}, short=True)
    return SessionRow._make(rows[0]) if rows else None


def created_message(mac: str) -> str:
    """What both doors say of a recorded session."""
    return f"Session created for MAC {mac}"


class _Asked(NamedTuple):
    """A filter as storage takes it."""

    conditions: frozenset[ask.Condition]
    parameters: dict[str, Any]


def _asked(context: Context, wanted: SessionFilter) -> _Asked:
    clock = context.clock
    conditions: set[ask.Condition] = set()
    parameters: dict[str, Any] = {"now": clock.now()}
    if wanted.macs is not None and len(wanted.macs) == 1:
        conditions.add("mac")
        parameters["mac"] = wanted.macs[0]
    elif wanted.macs is not None:
        conditions.add("macs")
        parameters["macs"] = json.dumps(wanted.macs)
    if wanted.ips is not None:
        conditions.add("ips")
        parameters["ips"] = json.dumps(wanted.ips)
    if wanted.states is not None:
        conditions.add("states")
        parameters["states"] = json.dumps(wanted.states)
    if wanted.start_date is not None:
        conditions.add("started_since")
        parameters["started_since"] = clock.day(wanted.start_date).since
    if wanted.end_date is not None:
        conditions.add("ended_until")
        parameters["ended_until"] = clock.day(wanted.end_date).until
    if wanted.overlaps is not None:
        since, until = wanted.overlaps.from_, wanted.overlaps.to
        conditions.add("overlapping")
        parameters["since"] = FAR_PAST if since is None else since
        parameters["until"] = FAR_FUTURE if until is None else until
    if wanted.search:
        conditions.add(search_for(wanted.search))
        parameters["needle"] = like(wanted.search)
    return _Asked(frozenset(conditions), parameters)


async def count(context: Context, wanted: SessionFilter) -> int:
    """How many sessions a filter leaves."""
    conditions, parameters = _asked(context, wanted)
    rows = await context.store.fetch(ask.count(conditions), parameters)
    return int(rows[0][0])


class Plan:
    """Sessions that were asked for and not yet read: as rows, or as JSON objects that the database makes of them."""

    def __init__(
        self,
        context: Context,
        listing: ask.Listing,
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
        """The sessions."""
        found = await self._store.fetch(
            ask.sessions(self._listing, merges=self._store.merges), self._parameters, short=self._listing.keyed
        )
        return cut(
            self._page, found, lambda row: SessionRow._make(row[:-1]), lambda row: self._cursor((row[-1], row[1]))
        )

    async def json(self, selection: Selection) -> Slice[str] | None:
        """Each session as the JSON object of a selection; None where one of them cannot be written as such."""
        question = ask.sessions_as_json(self._listing, selection, merges=self._store.merges)
        answer = await self._store.fetch(question, self._parameters, short=self._listing.keyed)
        found = ask.objects(answer, merges=self._store.merges)
        made = cut(self._page, found, itemgetter(0), lambda row: self._cursor((row[2], row[1])))
        return None if None in made.rows else made


def page(context: Context, wanted: SessionFilter, order: Order, page: Page) -> Plan:
    """A keyset page of sessions."""
    conditions, parameters = _asked(context, wanted)
    key, descending = ORDERS[order]
    # Durations of open sessions grow; a list by duration goes on counting to the instant at which it was begun.
    marks = {name: parse_cursor(name, cursor, order, 3) for name, cursor in page.cursors()}
    for name, (now, place, identity) in marks.items():
        parameters |= {"now": now, f"{name}_key": place, f"{name}_id": identity}
    listing = ask.Listing(
        conditions,
        key,
        descending=descending,
        after="after" in marks,
        before="before" in marks,
        backward=page.backward,
        limited=True,
    )
    now = parameters["now"]
    return Plan(context, listing, parameters | {"limit": page.size + 1}, page, lambda place: cursor(order, now, *place))


def listing(query: ListQuery) -> SessionFilter:
    """The filter that a documented list asks for."""
    macs = None if query.mac is None else [query.mac]
    # Its values have been validated; they are not what a client writes any more.
    return SessionFilter.model_construct(macs=macs, start_date=query.start_date, end_date=query.end_date)


async def every(context: Context, query: ListQuery) -> AsyncIterator[list[SessionRow]]:
    """The documented list, newest first, in chunks."""
    conditions, parameters = _asked(context, listing(query))
    parameters |= {"limit": 2**62 if query.limit is None else query.limit, "offset": query.offset}
    limited = query.limit is not None or query.offset > 0
    asked = ask.Listing(conditions, limited=limited, offset=limited)
    question = ask.sessions(asked, merges=context.store.merges)
    if query.limit is not None and query.limit <= SHORT and not query.offset:
        found = await context.store.fetch(question, parameters, short=asked.keyed)
        yield [SessionRow._make(row[:-1]) for row in found]
        return
    async for rows in context.store.stream(question, parameters):
        yield [SessionRow._make(row[:-1]) for row in rows]


async def calendar(context: Context, query: CalendarQuery) -> AsyncIterator[list[SpannedRow]]:
    """Every session that overlaps the range, with the ends to draw, in chunks."""
    clock = context.clock
    since = query.start if isinstance(query.start, int) else clock.day(query.start).since
    until = query.end if isinstance(query.end, int) else clock.day(query.end).until
    if until < since or (until == since and query.end != query.start):
        raise InvalidInputError("end", "is before start")
    parameters = {"since": since, "until": until, "now": clock.now(), "mac": query.mac}
    async for rows in context.store.stream(ask.drawn(one_device=query.mac is not None), parameters):
        yield [SpannedRow.of(row) for row in rows]


def latest(context: Context, period: Period, now: int | None = None) -> Window:
    """The window that a period covers, back from now unless told; raises InvalidInputError."""
    try:
        return context.clock.last(period, now)
    except ValueError as problem:
        raise InvalidInputError("period", str(problem)) from None


async def feed(context: Context, query: FeedQuery) -> AsyncIterator[list[SpannedRow]]:
    """Every session that overlaps the period, with the ends to draw and its device's name, in chunks."""
    since, until = latest(context, query.period)
    parameters = {"since": since, "until": until, "now": context.clock.now(), "mac": query.mac}
    async for rows in context.store.stream(ask.drawn(one_device=query.mac is not None, named=True), parameters):
        yield [SpannedRow.of(row) for row in rows]


def of_device(context: Context, query: DeviceQuery) -> Plan:
    """A device's sessions that overlap the period, newest first."""
    since, until = latest(context, query.period)
    parameters = {"mac": query.mac, "since": since, "until": until, "now": context.clock.now()}
    return Plan(context, ask.Listing(frozenset({"mac", "overlapping"})), parameters, None, str)


def lasted(row: SessionRow, now: int) -> int | None:
    """Microseconds between the ends; until now while connected; None when an end is missing."""
    if row.connected_at is None or (row.disconnected_at is None and row.state != CONNECTED):
        return None
    return max((row.disconnected_at if row.disconnected_at is not None else now) - row.connected_at, 0)
