"""The GraphQL input types. Resolvers validate the values."""

import strawberry
from strawberry import UNSET

from schema.enums import SessionState
from schema.scalars import MAC, Date, DateTime, IPAddress


@strawberry.input(description="A half-open range of time `[from, to)`.")
class DateTimeRange:
    from_: DateTime | None = strawberry.field(
        name="from", default=UNSET, description="Start, included. Unbounded if left out."
    )
    to: DateTime | None = strawberry.field(default=UNSET, description="End, excluded. Unbounded if left out.")


@strawberry.input(description="Conditions that a session must meet. All given conditions apply.")
class SessionFilter:
    macs: list[MAC] | None = strawberry.field(default=UNSET, description="The device is one of these.")
    ips: list[IPAddress] | None = strawberry.field(default=UNSET, description="The IP address is one of these.")
    states: list[SessionState] | None = strawberry.field(default=UNSET, description="The state is one of these.")
    start_date: Date | None = strawberry.field(default=UNSET, description="The session started on this day or later.")
    end_date: Date | None = strawberry.field(default=UNSET, description="The session ended on this day or earlier.")
    overlaps: DateTimeRange | None = strawberry.field(
        default=UNSET,
        description="The device was connected at some time in `[from, to)`. Either bound may be left out.",
    )
    search: str | None = strawberry.field(
        default=UNSET, description="Text in the info or an event type, ignoring case. At most 200 characters."
    )


@strawberry.input(description="A session to create.")
class CreateSessionInput:
    mac: MAC = strawberry.field(description="MAC address of the device.")
    ip: IPAddress = strawberry.field(description="IP address of the device.")
    start_time: DateTime | None = strawberry.field(
        default=UNSET,
        description="When the device connected. Required unless `eventTypeConn` is `<missing event>`. "
        "Without an offset, local time in the server's time zone.",
    )
    end_time: DateTime | None = strawberry.field(
        default=UNSET, description="When the device disconnected. Without it, the device is still connected."
    )
    event_type_conn: str | None = strawberry.field(
        default="Connected",
        description="Type of the connection event, at most 100 characters. `<missing event>` if it was not observed.",
    )
    event_type_disc: str | None = strawberry.field(
        default="Disconnected",
        description="Type of the disconnection event, at most 100 characters. `<missing event>` if it was not observed. "
        "Any other value is ignored without `endTime`.",
    )
    info: str | None = strawberry.field(default="", description="Free text, at most 10,000 characters.")


@strawberry.input(description="A device that a heartbeat reports as connected.")
class SeenInput:
    mac: MAC = strawberry.field(description="MAC address of the device.")
    ip: IPAddress = strawberry.field(description="Current IP address of the device.")
