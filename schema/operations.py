"""Queries and mutations: read the arguments, call a resolver, show what it answers."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any

import strawberry
from strawberry.utils.str_converters import to_snake_case

from resolvers import corrections as correcting
from resolvers import devices, events, live, presence, sessions
from resolvers import heartbeats as sightings
from resolvers.context import Context
from resolvers.errors import InvalidInputError, shown
from resolvers.validation import models as inputs
from resolvers.validation.models import Page
from schema.inputs import CreateSessionInput, SeenInput, SessionFilter
from schema.scalars import MAC, Date, DateTime, IPAddress, Period
from schema.types import (
    Ask,
    CalendarEntry,
    Connection,
    CreateSessionPayload,
    CreateSessionsPayload,
    DeleteSessionsPayload,
    Device,
    DeviceOrder,
    HeartbeatPayload,
    Node,
    PresenceBucket,
    PresenceBucketSize,
    Request,
    Server,
    Session,
    SessionChange,
    SessionEvent,
    SessionEventOrder,
    SessionEventType,
    SessionOrder,
    SessionRevision,
    SessionTotals,
    bucket_of,
    change_of,
    connection_of,
    device_of,
    entry_of,
    event_of,
    payload_of,
    planned,
    revision_of,
    server_of,
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


_snake = lru_cache(256)(to_snake_case)


def spelled(value: Any) -> Any:
    """Arguments as graphql-core coerced them, named as the resolvers name them."""
    if isinstance(value, dict):
        return {_snake(name): spelled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [spelled(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that a client gave, null counting as left out."""
    return {name: plain(v) for name, v in arguments.items() if v is not None and v is not _UNSET}


def _page(info: Ask, first: int | None, after: str | None, last: int | None, before: str | None) -> Page:
    return _page_of(info.context.context, _given(first=first, after=after, last=last, before=before))


def _page_of(context: Context, place: Mapping[str, Any]) -> Page:
    return inputs.read_page(place, context.clock, context.limits.page)


def _parsed_id(text: str) -> tuple[str, int | None]:
    """The MAC of an id and, if it is a session's, which of its sessions."""
    if not (match := ID.fullmatch(text)) or (text[0] == "D") != (match["session"] is None):
        raise InvalidInputError("id", f"{shown(str(text))} is not an id that this server gave")
    identity = match["session"]
    return match["mac"][1:], None if identity is None else min(int(identity), 2**63 - 1)


def _session_id(text: str) -> tuple[str, int]:
    mac, identity = _parsed_id(text)
    if identity is None:
        raise InvalidInputError("id", f"{shown(str(text))} is the id of a device; give one of a session")
    return mac, identity


def list_sessions(request: Request, given: Mapping[str, Any]) -> Connection[Session]:
    """What the query does with its arguments as the resolvers' models read them."""
    context = request.context
    wanted = inputs.read(inputs.SessionFilter, given.get("filter") or {}, context.clock)
    place = {name: given[name] for name in Page.model_fields if given.get(name) is not None}
    page = _page_of(context, place)
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
    def server(self, info: Ask) -> Server:
        return server_of(info.context)

    @strawberry.field
    async def node(self, info: Ask, id: strawberry.ID) -> Node | None:  # noqa: A002, the name that clients know
        context = info.context.context
        mac, identity = _parsed_id(id)
        if identity is None:
            device = (await devices.get_many(context, [mac])).get(mac)
            return None if device is None else device_of(device)
        row = await sessions.get(context, mac, identity)
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

    @strawberry.field(
        description="search matches what REST's does: MAC, IP, info, event types, and the device's name and owner."
    )
    async def session_events(
        self,
        info: Ask,
        type: SessionEventType | None = SessionEventType.ALL,  # noqa: A002, the name that clients know
        period: Period | None = SEVEN_DAYS,
        search: str | None = _UNSET,
        order_by: SessionEventOrder | None = SessionEventOrder.NEWEST,
        first: int | None = _UNSET,
        after: str | None = _UNSET,
        last: int | None = _UNSET,
        before: str | None = _UNSET,
    ) -> Connection[SessionEvent]:
        context = info.context.context
        query = inputs.read(inputs.EventList, _given(type=type, period=period, search=search), context.clock)
        order = plain(order_by or SessionEventOrder.NEWEST)
        found, window = await events.page(context, query, order, _page(info, first, after, last, before))
        return connection_of(found, event_of, lambda: events.count(context, query, window, query.search))

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
        order_by: DeviceOrder | None = DeviceOrder.MAC,
        first: int | None = _UNSET,
        after: str | None = _UNSET,
        last: int | None = _UNSET,
        before: str | None = _UNSET,
    ) -> Connection[Device]:
        context = info.context.context
        wanted = inputs.read(inputs.DevicesQuery, _given(search=search, connected=connected), context.clock)
        order = plain(order_by or DeviceOrder.MAC)
        page = _page(info, first, after, last, before)
        found = await devices.page(context, wanted.search, wanted.connected, order, page)
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

    @strawberry.field(description="What was changed of a session, oldest first; also of one that was deleted.")
    async def session_history(self, info: Ask, id: strawberry.ID) -> list[SessionRevision]:  # noqa: A002
        return [revision_of(each) for each in await correcting.history(info.context.context, *_session_id(id))]


async def create_session(context: Context, given: Mapping[str, Any]) -> CreateSessionPayload:
    """What the mutation does with an input as the resolvers' models read it."""
    return payload_of(await sessions.create_one(context, inputs.read(inputs.NewSession, given, context.clock)))


async def create_sessions(context: Context, given: Sequence[Mapping[str, Any]]) -> CreateSessionsPayload:
    """The same for many."""
    new = inputs.read_many(inputs.NewSession, "input", given, context.clock)
    return CreateSessionsPayload(created=len(await sessions.create(context, new)))


async def start_session(context: Context, given: dict[str, Any]) -> CreateSessionPayload:
    """What the mutation does with its arguments as the resolvers' models read them."""
    return payload_of(await live.start(context, inputs.read(inputs.StartReport, given, context.clock)))


async def update_session(context: Context, given: dict[str, Any]) -> Session:
    """The same; what is not given stays."""
    return session_of(await correcting.update(context, *_session_id(given.pop("id")), given))


# Mutations with an argument that has the name of what graphql-core hands to every resolver, which is why Strawberry cannot
# pass it on. `build.py` puts these in their places.
TAKING_INFO: dict[str, Callable[[Context, dict[str, Any]], Awaitable[Any]]] = {
    "startSession": start_session,
    "updateSession": update_session,
}


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_session(self, info: Ask, input: CreateSessionInput) -> CreateSessionPayload:  # noqa: A002
        return await create_session(info.context.context, plain(input))

    @strawberry.mutation(description="All or none; at most 10,000.")
    async def create_sessions(self, info: Ask, input: list[CreateSessionInput]) -> CreateSessionsPayload:  # noqa: A002
        return await create_sessions(info.context.context, [plain(one) for one in input])

    @strawberry.mutation(
        description="Opens a session for a device that is not connected; for one that is, answers its open session."
    )
    async def start_session(
        self,
        info: Ask,
        mac: MAC,
        ip: IPAddress,
        at: DateTime | None = _UNSET,
        event_type: str | None = "Connected",
        info_: Annotated[str | None, strawberry.argument(name="info")] = "",
    ) -> CreateSessionPayload:
        raise NotImplementedError  # see TAKING_INFO

    @strawberry.mutation(
        description="Ends the device's open session; without one, records a session whose connection was missed."
    )
    async def stop_session(
        self,
        info: Ask,
        mac: MAC,
        ip: IPAddress | None = _UNSET,
        at: DateTime | None = _UNSET,
        event_type: str | None = "Disconnected",
    ) -> CreateSessionPayload:
        context = info.context.context
        given = _given(mac=mac, ip=ip, at=at, event_type=event_type)
        return payload_of(await live.stop(context, inputs.read(inputs.StopReport, given, context.clock)))

    @strawberry.mutation(
        description="Tells of devices that are there, at most 10,000, now or at one instant: opens sessions of those that "
        "were not connected, and remembers when each was last seen."
    )
    async def heartbeat(self, info: Ask, devices: list[SeenInput], at: DateTime | None = _UNSET) -> HeartbeatPayload:
        context = info.context.context
        seen = inputs.read_many(inputs.Seen, "devices", [plain(each) for each in devices], context.clock)
        when = inputs.read(inputs.SeenAt, _given(at=at), context.clock).at
        return HeartbeatPayload(**(await sightings.heartbeat(context, seen, when))._asdict())

    @strawberry.mutation(description="Changes what is given of a session; a null takes an end, or the info, away.")
    async def update_session(
        self,
        info: Ask,
        id: strawberry.ID,  # noqa: A002, the name that clients know
        ip: IPAddress | None = _UNSET,
        start_time: DateTime | None = _UNSET,
        end_time: DateTime | None = _UNSET,
        event_type_conn: str | None = _UNSET,
        event_type_disc: str | None = _UNSET,
        info_: Annotated[str | None, strawberry.argument(name="info")] = _UNSET,
    ) -> Session:
        raise NotImplementedError  # see TAKING_INFO

    @strawberry.mutation(description="Ends a session of which no end is known, now unless told.")
    async def end_session(
        self,
        info: Ask,
        id: strawberry.ID,  # noqa: A002, the name that clients know
        at: DateTime | None = _UNSET,
        event_type: str | None = "Disconnected",
    ) -> Session:
        context = info.context.context
        how = inputs.read(inputs.EndAt, _given(at=at, event_type=event_type), context.clock)
        return session_of(await correcting.end(context, *_session_id(id), how))

    @strawberry.mutation
    async def delete_session(self, info: Ask, id: strawberry.ID) -> DeleteSessionsPayload:  # noqa: A002
        row = await correcting.delete(info.context.context, *_session_id(id))
        return DeleteSessionsPayload(deleted=1, message=f"Deleted a session of MAC {row.mac}")

    @strawberry.mutation
    async def delete_sessions(self, info: Ask, mac: MAC) -> DeleteSessionsPayload:
        context = info.context.context
        wanted = inputs.read(inputs.OneDevice, {"mac": mac}, context.clock).mac
        deleted = await sessions.delete(context, wanted)
        return DeleteSessionsPayload(deleted=deleted.sessions, message=deleted.message)

    @strawberry.mutation(description="Names a device; a null takes the name or owner away.")
    async def update_device(self, info: Ask, mac: MAC, name: str | None = _UNSET, owner: str | None = _UNSET) -> Device:
        context = info.context.context
        given = {key: v for key, v in {"mac": mac, "name": name, "owner": owner}.items() if v is not _UNSET}
        return device_of(await devices.name(context, inputs.read(inputs.DeviceNames, given, context.clock)))


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Every session that is created, updated or deleted, from whichever door or process, from now on or "
        "after the cursor of a change of the last hour."
    )
    async def session_changes(
        self, info: Ask, macs: list[MAC] | None = _UNSET, after: str | None = _UNSET
    ) -> AsyncGenerator[SessionChange, None]:
        context = info.context.context
        wanted = inputs.read(inputs.Watch, _given(macs=macs, after=after), context.clock)
        async with aclosing(context.feed.watch(wanted.devices, wanted.after)) as changes:
            async for change in changes:
                info.context.renew()
                yield change_of(change)
