"""The GraphQL queries: convert arguments, call resolvers, and convert what they return."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import strawberry
from strawberry import UNSET, argument

from resolvers import corrections, devices, events, presence, sessions
from resolvers.validation import models
from resolvers.validation.models import Page
from schema.arguments import (
    After,
    Before,
    DeviceMac,
    First,
    Last,
    LastPeriod,
    SessionId,
    parse_id,
    parse_session_id,
    provided_args,
    read_page,
    to_dict,
)
from schema.connections import Connection, lazy
from schema.context import Info, RequestContext
from schema.enums import DeviceOrder, PresenceBucketSize, SessionEventOrder, SessionEventType, SessionOrder
from schema.inputs import SessionFilter
from schema.scalars import MAC, Date, Period
from schema.types import (
    CalendarEntry,
    Device,
    Node,
    PresenceBucket,
    Server,
    Session,
    SessionEvent,
    SessionRevision,
    SessionTotals,
)

ONE_DAY, SEVEN_DAYS = Period("1 day"), Period("7 days")


def list_sessions(request: RequestContext, arguments: Mapping[str, Any]) -> Connection[Session]:
    """Return a lazy connection for the arguments of `sessions`, which are named in snake_case."""
    context = request.context
    session_filter = models.validate(models.SessionFilter, arguments.get("filter") or {}, context.clock)
    page = read_page(context, {name: arguments[name] for name in Page.model_fields if arguments.get(name) is not None})
    plan = sessions.page(context, session_filter, arguments.get("order_by") or "NEWEST", page)

    async def count() -> int:
        return await sessions.count(context, session_filter)

    return lazy(plan, lambda rows: Connection.from_page(rows, Session.from_row, count), count)


def list_device_sessions(request: RequestContext, arguments: Mapping[str, Any]) -> list[Session]:
    """Return a lazy list for the arguments of `deviceSessions`, which are named in snake_case."""
    context = request.context
    provided = {name: value for name, value in arguments.items() if value is not None}
    query = models.validate(models.DeviceQuery, provided, context.clock)
    return lazy(sessions.of_device(context, query), lambda rows: [Session.from_row(row) for row in rows.rows])


# The query fields that return a `LazyConnection`, by name.
LAZY_FIELDS: dict[str, Callable[[RequestContext, Mapping[str, Any]], Any]] = {
    "sessions": list_sessions,
    "deviceSessions": list_device_sessions,
}


@strawberry.type(description="The queries.")
class Query:
    @strawberry.field(description="The server's version, time zone and current time.")
    def server(self, info: Info) -> Server:
        return Server.from_request(info.context)

    @strawberry.field(description="The device or session with a global id. Null if it does not exist.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument(description="Id of a device or session.")],  # noqa: A002, a public name
    ) -> Node | None:
        context = info.context.context
        mac, number = parse_id(id)
        if number is None:
            device = (await devices.get_devices(context, [mac])).get(mac)
            return None if device is None else Device.from_row(device)
        row = await sessions.get(context, mac, number)
        return None if row is None else Session.from_row(row)

    @strawberry.field(description="Sessions, one page at a time.")
    def sessions(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002, a public name
            SessionFilter | None, argument(description="Conditions that the sessions must meet.")
        ] = UNSET,
        order_by: Annotated[SessionOrder | None, argument(description="Sort order.")] = SessionOrder.NEWEST,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Session]:
        page = {"first": first, "after": after, "last": last, "before": before}
        return list_sessions(info.context, provided_args(filter=filter, order_by=order_by, **page))

    @strawberry.field(
        description="Sessions that overlap a range of days. A missing end is estimated, at most one hour away."
    )
    async def session_calendar(
        self,
        info: Info,
        start: Annotated[Date, argument(description="First day.")],
        end: Annotated[Date, argument(description="Last day, included.")],
        mac: Annotated[MAC | None, argument(description="Only sessions of this device.")] = UNSET,
    ) -> list[CalendarEntry]:
        context = info.context.context
        query = models.validate(models.CalendarDayQuery, provided_args(start=start, end=end, mac=mac), context.clock)
        return [
            CalendarEntry.from_row(row, context) async for rows in sessions.calendar(context, query) for row in rows
        ]

    @strawberry.field(description="Sessions of a device that overlap a period, newest first.")
    def device_sessions(self, info: Info, mac: DeviceMac, period: LastPeriod = ONE_DAY) -> list[Session]:
        return list_device_sessions(info.context, provided_args(mac=mac, period=period))

    @strawberry.field(description="Connection and disconnection events, or sessions, of a period, one page at a time.")
    async def session_events(
        self,
        info: Info,
        type: Annotated[  # noqa: A002, a public name
            SessionEventType | None, argument(description="The events or sessions to list.")
        ] = SessionEventType.ALL,
        period: LastPeriod = SEVEN_DAYS,
        search: Annotated[
            str | None,
            argument(
                description="Text in the MAC, IP, info, event type, device name or owner, ignoring case. "
                "At most 200 characters."
            ),
        ] = UNSET,
        order_by: Annotated[SessionEventOrder | None, argument(description="Sort order.")] = SessionEventOrder.NEWEST,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[SessionEvent]:
        context = info.context.context
        query = models.validate(
            models.EventListQuery, provided_args(type=type, period=period, search=search), context.clock
        )
        page = read_page(context, provided_args(first=first, after=after, last=last, before=before))
        order = to_dict(order_by or SessionEventOrder.NEWEST)
        rows, window = await events.list_events(context, query, order, page)
        return Connection.from_page(
            rows, SessionEvent.from_row, lambda: events.count_events(context, query, window, query.search)
        )

    @strawberry.field(description="Number of rows of each type of event list in a period.")
    async def session_totals(self, info: Info, period: LastPeriod = SEVEN_DAYS) -> SessionTotals:
        context = info.context.context
        query = models.validate(models.TotalsQuery, provided_args(period=period), context.clock)
        return SessionTotals(**(await events.count_by_type(context, query))._asdict())

    @strawberry.field(description="A device. Null if it is unknown.")
    async def device(self, info: Info, mac: DeviceMac) -> Device | None:
        context = info.context.context
        address = models.validate(models.MacInput, {"mac": mac}, context.clock).mac
        row = (await devices.get_devices(context, [address])).get(address)
        return None if row is None else Device.from_row(row)

    @strawberry.field(description="Devices, one page at a time.")
    async def devices(
        self,
        info: Info,
        search: Annotated[
            str | None,
            argument(description="Text in the MAC, name or owner, ignoring case. At most 200 characters."),
        ] = UNSET,
        connected: Annotated[
            bool | None, argument(description="Only devices that are (`true`) or are not (`false`) connected.")
        ] = UNSET,
        order_by: Annotated[DeviceOrder | None, argument(description="Sort order.")] = DeviceOrder.MAC,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Device]:
        context = info.context.context
        query = models.validate(models.DevicesQuery, provided_args(search=search, connected=connected), context.clock)
        page = read_page(context, provided_args(first=first, after=after, last=last, before=before))
        order = to_dict(order_by or DeviceOrder.MAC)
        rows = await devices.list_devices(context, query.search, query.connected, order, page)
        return Connection.from_page(
            rows, Device.from_row, lambda: devices.count_devices(context, query.search, query.connected)
        )

    @strawberry.field(description="Time online and number of connected devices, per hour or day, without gaps.")
    async def presence(
        self,
        info: Info,
        start: Annotated[Date, argument(description="First day.")],
        end: Annotated[Date, argument(description="Last day, included. At most 10,000 buckets.")],
        bucket: Annotated[
            PresenceBucketSize | None, argument(description="Length of a bucket.")
        ] = PresenceBucketSize.DAY,
        macs: Annotated[list[MAC] | None, argument(description="Only these devices. Default all devices.")] = UNSET,
    ) -> list[PresenceBucket]:
        context = info.context.context
        arguments = provided_args(start=start, end=end, bucket=bucket, macs=macs)
        query = models.validate(models.PresenceQuery, arguments, context.clock)
        return [PresenceBucket.from_row(row) for row in await presence.count_presence(context, query)]

    @strawberry.field(description="Changes of a session, oldest first, also of a deleted session.")
    async def session_history(
        self,
        info: Info,
        id: SessionId,  # noqa: A002, a public name
    ) -> list[SessionRevision]:
        revisions = await corrections.history(info.context.context, *parse_session_id(id))
        return [SessionRevision.from_revision(revision) for revision in revisions]
