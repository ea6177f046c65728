"""The GraphQL mutations: convert arguments, call resolvers, and convert what they return."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import strawberry
from graphql import GraphQLSchema
from strawberry import UNSET, argument

from resolvers import corrections, devices, heartbeats, live, sessions
from resolvers.context import Context
from resolvers.validation import models
from schema.arguments import (
    DeviceIp,
    DeviceMac,
    EventTime,
    SessionId,
    parse_session_id,
    provided_args,
    to_dict,
    to_snake_case_keys,
)
from schema.context import Info
from schema.inputs import CreateSessionInput, SeenInput
from schema.payloads import CreateSessionPayload, CreateSessionsPayload, DeleteSessionsPayload, HeartbeatPayload
from schema.scalars import DateTime, IPAddress
from schema.types import Device, Session


async def create_session(context: Context, arguments: Mapping[str, Any]) -> CreateSessionPayload:
    """Create a session from a `CreateSessionInput` as a dict with snake_case keys."""
    session = models.validate(models.NewSession, arguments, context.clock)
    return CreateSessionPayload.from_result(await sessions.create_one(context, session))


async def create_sessions(context: Context, arguments: Sequence[Mapping[str, Any]]) -> CreateSessionsPayload:
    """Create sessions from a list of `CreateSessionInput` as dicts with snake_case keys."""
    new_sessions = models.validate_many(models.NewSession, "input", arguments, context.clock)
    return CreateSessionsPayload(created=len(await sessions.create(context, new_sessions)))


async def start_session(context: Context, arguments: dict[str, Any]) -> CreateSessionPayload:
    """Start a session from the arguments of `startSession` in snake_case."""
    report = models.validate(models.StartReport, arguments, context.clock)
    return CreateSessionPayload.from_result(await live.start(context, report))


async def update_session(context: Context, arguments: dict[str, Any]) -> Session:
    """Update a session from the arguments of `updateSession` in snake_case. Arguments that are left out change nothing."""
    mac, number = parse_session_id(arguments.pop("id"))
    return Session.from_row(await corrections.update(context, mac, number, arguments))


# Both mutations have an argument `info`. graphql-core passes the resolve info to every resolver under that name, so
# Strawberry cannot pass the argument on. `override_resolvers` replaces the resolvers that Strawberry generates.
RESOLVER_OVERRIDES: dict[str, Callable[[Context, dict[str, Any]], Awaitable[Any]]] = {
    "startSession": start_session,
    "updateSession": update_session,
}


def override_resolvers(schema: GraphQLSchema) -> None:
    """Install the resolvers of `RESOLVER_OVERRIDES`."""
    if schema.mutation_type is None:
        raise TypeError("The schema has no mutations.")
    for name, function in RESOLVER_OVERRIDES.items():
        schema.mutation_type.fields[name].resolve = partial(_resolve, function)


def _resolve(function: Callable[..., Any], _source: Any, info: Any, /, **arguments: Any) -> Any:
    return function(info.context.context, to_snake_case_keys(arguments))


@strawberry.type(description="The mutations. Each one is a transaction.")
class Mutation:
    @strawberry.mutation(description="Creates a session.")
    async def create_session(
        self,
        info: Info,
        input: Annotated[CreateSessionInput, argument(description="The session.")],  # noqa: A002, a public name
    ) -> CreateSessionPayload:
        return await create_session(info.context.context, to_dict(input))

    @strawberry.mutation(description="Creates sessions, all or none.")
    async def create_sessions(
        self,
        info: Info,
        input: Annotated[  # noqa: A002, a public name
            list[CreateSessionInput], argument(description="The sessions, at most 10,000.")
        ],
    ) -> CreateSessionsPayload:
        return await create_sessions(info.context.context, [to_dict(session) for session in input])

    @strawberry.mutation(description="Opens a session. If the device is connected already, returns its open session.")
    async def start_session(
        self,
        info: Info,
        mac: DeviceMac,
        ip: DeviceIp,
        at: EventTime = UNSET,
        event_type: Annotated[
            str | None, argument(description="Type of the connection event, at most 100 characters.")
        ] = "Connected",
        info_: Annotated[str | None, argument(name="info", description="Free text, at most 10,000 characters.")] = "",
    ) -> CreateSessionPayload:
        raise NotImplementedError  # see RESOLVER_OVERRIDES

    @strawberry.mutation(
        description="Ends the open session of a device. If it has none, records a session with a missing connection."
    )
    async def stop_session(
        self,
        info: Info,
        mac: DeviceMac,
        ip: Annotated[
            IPAddress | None, argument(description="IP address of the device. Required if it has no session.")
        ] = UNSET,
        at: EventTime = UNSET,
        event_type: Annotated[
            str | None, argument(description="Type of the disconnection event, at most 100 characters.")
        ] = "Disconnected",
    ) -> CreateSessionPayload:
        context = info.context.context
        arguments = provided_args(mac=mac, ip=ip, at=at, event_type=event_type)
        report = models.validate(models.StopReport, arguments, context.clock)
        return CreateSessionPayload.from_result(await live.stop(context, report))

    @strawberry.mutation(
        description="Reports devices as connected at one time. Opens a session for each device that has no open session, "
        "and updates when each device was last seen."
    )
    async def heartbeat(
        self,
        info: Info,
        devices: Annotated[list[SeenInput], argument(description="The connected devices, at most 10,000.")],
        at: Annotated[
            DateTime | None, argument(description="When they were seen. Default now. Must not be in the future.")
        ] = UNSET,
    ) -> HeartbeatPayload:
        context = info.context.context
        connected_devices = models.validate_many(
            models.HeartbeatDevice, "devices", [to_dict(device) for device in devices], context.clock
        )
        seen_at = models.validate(models.HeartbeatTime, provided_args(at=at), context.clock).at
        return HeartbeatPayload(**(await heartbeats.heartbeat(context, connected_devices, seen_at))._asdict())

    @strawberry.mutation(
        description="Updates the given fields of a session. The result must pass the same validation as a new session."
    )
    async def update_session(
        self,
        info: Info,
        id: SessionId,  # noqa: A002, a public name
        ip: Annotated[IPAddress | None, argument(description="New IP address.")] = UNSET,
        start_time: Annotated[
            DateTime | None,
            argument(description="New start. Null removes it, if `eventTypeConn` is `<missing event>`."),
        ] = UNSET,
        end_time: Annotated[
            DateTime | None,
            argument(description="New end. Null reopens the session, unless `eventTypeDisc` is `<missing event>`."),
        ] = UNSET,
        event_type_conn: Annotated[
            str | None,
            argument(description="New type of the connection event. `<missing event>` requires a start of null."),
        ] = UNSET,
        event_type_disc: Annotated[
            str | None,
            argument(description="New type of the disconnection event. `<missing event>` requires an end of null."),
        ] = UNSET,
        info_: Annotated[
            str | None, argument(name="info", description="New free text, at most 10,000 characters. Null removes it.")
        ] = UNSET,
    ) -> Session:
        raise NotImplementedError  # see RESOLVER_OVERRIDES

    @strawberry.mutation(description="Ends a session that is open or whose disconnection is missing.")
    async def end_session(
        self,
        info: Info,
        id: SessionId,  # noqa: A002, a public name
        at: Annotated[
            DateTime | None,
            argument(description="End of the session. Default now. Not before its start and not in the future."),
        ] = UNSET,
        event_type: Annotated[
            str | None, argument(description="Type of the disconnection event, at most 100 characters.")
        ] = "Disconnected",
    ) -> Session:
        context = info.context.context
        end = models.validate(models.EndInput, provided_args(at=at, event_type=event_type), context.clock)
        return Session.from_row(await corrections.end(context, *parse_session_id(id), end))

    @strawberry.mutation(description="Deletes a session. Its history remains.")
    async def delete_session(
        self,
        info: Info,
        id: SessionId,  # noqa: A002, a public name
    ) -> DeleteSessionsPayload:
        row = await corrections.delete(info.context.context, *parse_session_id(id))
        return DeleteSessionsPayload(deleted=1, message=f"Deleted a session of MAC {row.mac}")

    @strawberry.mutation(description="Deletes all sessions of a device. Their history remains.")
    async def delete_sessions(self, info: Info, mac: DeviceMac) -> DeleteSessionsPayload:
        context = info.context.context
        address = models.validate(models.MacInput, {"mac": mac}, context.clock).mac
        result = await sessions.delete(context, address)
        return DeleteSessionsPayload(deleted=result.sessions, message=result.message)

    @strawberry.mutation(
        description="Sets the name and owner of a device. An argument that is left out changes nothing."
    )
    async def update_device(
        self,
        info: Info,
        mac: DeviceMac,
        name: Annotated[str | None, argument(description="New name, at most 200 characters. Null removes it.")] = UNSET,
        owner: Annotated[
            str | None, argument(description="New owner, at most 200 characters. Null removes it.")
        ] = UNSET,
    ) -> Device:
        context = info.context.context
        items = {"mac": mac, "name": name, "owner": owner}.items()
        names = models.validate(
            models.DeviceUpdate, {key: value for key, value in items if value is not UNSET}, context.clock
        )
        return Device.from_row(await devices.update_device(context, names))
