"""Queries and mutations: read the arguments, call a resolver, show what it answers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import strawberry

from resolvers import devices, events, inputs, presence, sessions
from resolvers.context import Context
from resolvers.errors import InvalidInputError, shown
from resolvers.inputs import Page
from schema.arguments import CreateSessionInput, SessionFilter
from schema.scalars import MAC, Date, Period
from schema.types import (
    Ask,
    CalendarEntry,
    Connection,
    CreateSessionPayload,
    CreateSessionsPayload,
    DeleteSessionsPayload,
    Device,
    Node,
    PresenceBucket,
    PresenceBucketSize,
    Request,
    Session,
    SessionEvent,
    SessionEventType,
    SessionOrder,
    SessionTotals,
    bucket_of,
    connection_of,
    device_of,
    entry_of,
    event_of,
    planned,
    session_of,
)

_UNSET = strawberry.UNSET
ONE_DAY, SEVEN_DAYS = Period("1 day"), Period("7 days")
# What device_id and session_id write.
ID = re.compile(r"[DS](?P<mac>(?::[0-9A-F]{2}){6})(?::(?P<session>\d{1,19}))?", re.ASCII)


def plain(value: Any) -> Any:
    """What a client gave, as the resolvers' models read it: fields that were left out stay out."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [plain(member) for member in value]
    if is_dataclass(value) and not isinstance(value, type):
        given = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name.rstrip("_"): plain(v) for name, v in given if v is not _UNSET}
    return value


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that a client gave, null counting as left out."""
    return {name: plain(v) for name, v in arguments.items() if v is not None and v is not _UNSET}


def _page(info: Ask, first: int | None, after: str | None, last: int | None, before: str | None) -> Page:
    return inputs.read(Page, _given(first=first, after=after, last=last, before=before), info.context.context.clock)


def list_sessions(request: Request, given: Mapping[str, Any]) -> Connection[Session]:
    """What the query does with its arguments as the resolvers' models read them."""
    context = request.context
    wanted = inputs.read(inputs.SessionFilter, given.get("filter") or {}, context.clock)
    place = {name: given[name] for name in Page.model_fields if given.get(name) is not None}
    page = inputs.read(Page, place, context.clock)
    plan = sessions.page(context, wanted, given.get("order_by") or "NEWEST", page)

    async def count() -> int:
        return await sessions.count(context, wanted)

    return planned(plan, lambda found: connection_of(found, session_of, count), count)


def list_device_sessions(request: Request, given: Mapping[str, Any]) -> list[Session]:
    """The same for one device's."""
    context = request.context
    query = inputs.read(inputs.DeviceQuery, {k: v for k, v in given.items() if v is not None}, context.clock)
    return planned(sessions.of_device(context, query), lambda found: [session_of(row) for row in found.rows])


# Queries whose answer is a `Planned`.
LISTS: dict[str, Callable[[Request, Mapping[str, Any]], Any]] = {
    "sessions": list_sessions,
    "deviceSessions": list_device_sessions,
}


@strawberry.type
class Query:
    @strawberry.field
    async def node(self, info: Ask, id: strawberry.ID) -> Node | None:  # noqa: A002, the name that clients know
        context = info.context.context
        if not (match := ID.fullmatch(id)) or (id[0] == "D") != (match["session"] is None):
            raise InvalidInputError("id", f"{shown(str(id))} is not an id that this server gave")
        mac, identity = match["mac"][1:], match["session"]
        if id[0] == "D":
            device = (await devices.get_many(context, [mac])).get(mac)
            return None if device is None else device_of(device)
        row = await sessions.get(context, mac, min(int(identity), 2**63 - 1))
        return None if row is None else session_of(row)

    @strawberry.field
    def sessions(
        self,
        info: Ask,
        filter: SessionFilter | None = _UNSET,  # noqa: A002, the name that clients know
        order_by: SessionOrder | None = SessionOrder.NEWEST,
        first: int | None = _UNSET,
        after: str | None = _UNSET,
        last: int | None = _UNSET,
        before: str | None = _UNSET,
    ) -> Connection[Session]:
        place = {"first": first, "after": after, "last": last, "before": before}
        return list_sessions(info.context, _given(filter=filter, order_by=order_by, **place))

    @strawberry.field
    async def session_calendar(
        self, info: Ask, start: Date, end: Date, mac: MAC | None = _UNSET
    ) -> list[CalendarEntry]:
        context = info.context.context
        query = inputs.read(inputs.CalendarDays, _given(start=start, end=end, mac=mac), context.clock)
        return [entry_of(row, context) async for rows in sessions.calendar(context, query) for row in rows]

    @strawberry.field
    def device_sessions(self, info: Ask, mac: MAC, period: Period | None = ONE_DAY) -> list[Session]:
        return list_device_sessions(info.context, _given(mac=mac, period=period))

    @strawberry.field
    async def session_events(
        self,
        info: Ask,
        type: SessionEventType | None = SessionEventType.ALL,  # noqa: A002, the name that clients know
        period: Period | None = SEVEN_DAYS,
        first: int | None = _UNSET,
        after: str | None = _UNSET,
        last: int | None = _UNSET,
        before: str | None = _UNSET,
    ) -> Connection[SessionEvent]:
        context = info.context.context
        query = inputs.read(inputs.EventsQuery, _given(type=type, period=period), context.clock)
        window = events.window(context, query)
        found = await events.page(context, query, window, _page(info, first, after, last, before))
        return connection_of(found, event_of, lambda: events.count(context, query, window))

    @strawberry.field
    async def session_totals(self, info: Ask, period: Period | None = SEVEN_DAYS) -> SessionTotals:
        context = info.context.context
        query = inputs.read(inputs.TotalsQuery, _given(period=period), context.clock)
        return SessionTotals(**(await events.totals(context, query))._asdict())

    @strawberry.field
    async def device(self, info: Ask, mac: MAC) -> Device | None:
        context = info.context.context
        wanted = inputs.read(inputs.OneDevice, {"mac": mac}, context.clock).mac
        row = (await devices.get_many(context, [wanted])).get(wanted)
        return None if row is None else device_of(row)

    @strawberry.field(description="search matches MAC, name and owner.")
    async def devices(
        self,
        info: Ask,
        search: str | None = _UNSET,
        connected: bool | None = _UNSET,
        first: int | None = _UNSET,
        after: str | None = _UNSET,
        last: int | None = _UNSET,
        before: str | None = _UNSET,
    ) -> Connection[Device]:
        context = info.context.context
        wanted = inputs.read(inputs.DevicesQuery, _given(search=search, connected=connected), context.clock)
        found = await devices.page(context, wanted.search, wanted.connected, _page(info, first, after, last, before))
        return connection_of(found, device_of, lambda: devices.count(context, wanted.search, wanted.connected))

    @strawberry.field(
        description="How present devices were: one bucket after the other, a session split exactly where a bucket ends."
    )
    async def presence(
        self,
        info: Ask,
        start: Date,
        end: Date,
        bucket: PresenceBucketSize | None = PresenceBucketSize.DAY,
        macs: list[MAC] | None = _UNSET,
    ) -> list[PresenceBucket]:
        context = info.context.context
        query = inputs.read(inputs.PresenceQuery, _given(start=start, end=end, bucket=bucket, macs=macs), context.clock)
        return [bucket_of(row) for row in await presence.presence(context, query)]


async def create_session(context: Context, given: Mapping[str, Any]) -> CreateSessionPayload:
    """What the mutation does with an input as the resolvers' models read it."""
    row = await sessions.create_one(context, inputs.read(inputs.NewSession, given, context.clock))
    return CreateSessionPayload(session=session_of(row), message=sessions.created_message(row.mac))


async def create_sessions(context: Context, given: Sequence[Mapping[str, Any]]) -> CreateSessionsPayload:
    """The same for many."""
    new = inputs.read_many(inputs.NewSession, "input", given, context.clock)
    return CreateSessionsPayload(created=len(await sessions.create(context, new)))


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_session(self, info: Ask, input: CreateSessionInput) -> CreateSessionPayload:  # noqa: A002
        return await create_session(info.context.context, plain(input))

    @strawberry.mutation(description="All or none; at most 10,000.")
    async def create_sessions(self, info: Ask, input: list[CreateSessionInput]) -> CreateSessionsPayload:  # noqa: A002
        return await create_sessions(info.context.context, [plain(one) for one in input])

    @strawberry.mutation
    async def delete_sessions(self, info: Ask, mac: MAC) -> DeleteSessionsPayload:
        context = info.context.context
        wanted = inputs.read(inputs.OneDevice, {"mac": mac}, context.clock).mac
        deleted = await sessions.delete(context, wanted)
        return DeleteSessionsPayload(deleted=deleted, message=sessions.deleted_message(wanted))

    @strawberry.mutation(description="Names a device; a null takes the name or owner away.")
    async def update_device(self, info: Ask, mac: MAC, name: str | None = _UNSET, owner: str | None = _UNSET) -> Device:
        context = info.context.context
        given = {key: v for key, v in {"mac": mac, "name": name, "owner": owner}.items() if v is not _UNSET}
        return device_of(await devices.name(context, inputs.read(inputs.DeviceNames, given, context.clock)))
