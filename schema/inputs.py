"""The public input types: what a client may write. Resolvers validate it."""

import strawberry

from schema.scalars import MAC, Date, DateTime, IPAddress
from schema.types import SessionState


@strawberry.input
class DateTimeRange:
    from_: DateTime | None = strawberry.field(name="from", default=strawberry.UNSET)
    to: DateTime | None = strawberry.UNSET


@strawberry.input
class SessionFilter:
    macs: list[MAC] | None = strawberry.UNSET
    ips: list[IPAddress] | None = strawberry.UNSET
    states: list[SessionState] | None = strawberry.UNSET
    start_date: Date | None = strawberry.field(default=strawberry.UNSET, description="Started on this day or later.")
    end_date: Date | None = strawberry.field(default=strawberry.UNSET, description="Ended on this day or earlier.")
    overlaps: DateTimeRange | None = strawberry.field(
        default=strawberry.UNSET,
        description="Connected at any moment in [from, to); either side may be left open.",
    )
    search: str | None = strawberry.field(
        default=strawberry.UNSET, description="Matches info and event types, case-insensitively."
    )


@strawberry.input
class CreateSessionInput:
    mac: MAC
    ip: IPAddress
    start_time: DateTime | None = strawberry.field(
        default=strawberry.UNSET,
        description="Wall-clock times without an offset are read in the server's TIMEZONE.",
    )
    end_time: DateTime | None = strawberry.UNSET
    event_type_conn: str | None = "Connected"
    event_type_disc: str | None = "Disconnected"
    info: str | None = ""


@strawberry.input
class SeenInput:
    mac: MAC
    ip: IPAddress
