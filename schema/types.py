"""The GraphQL object types, and how they are made of the rows that resolvers return.

Fields that need another statement go through a data loader, so that a list takes one statement for all its rows.
"""

import strawberry

from resolvers import calendar_text
from resolvers.change_feed import JournalRow, cursor_of
from resolvers.constants import SECOND
from resolvers.context import Context
from resolvers.corrections import Revision
from resolvers.devices import DeviceRow
from resolvers.events import EventRow
from resolvers.presence import Bucket
from resolvers.sessions import CalendarRow, SessionRow, duration
from resolvers.version import program_version
from schema.context import Info, RequestContext
from schema.enums import SessionChangeKind, SessionState
from schema.scalars import MAC, DateTime, IPAddress


def _to_instant(microseconds: int | None) -> DateTime | None:
    return None if microseconds is None else DateTime(microseconds)


def device_id(mac: str) -> strawberry.ID:
    """Return the global id of a device."""
    return strawberry.ID(f"D:{mac}")


def session_id(mac: str, identity: int) -> strawberry.ID:
    """Return the global id of a session. It contains the MAC, by which sessions are distributed over databases."""
    return strawberry.ID(f"S:{mac}:{identity}")


@strawberry.type(description="The server's version, time zone and current time.")
class Server:
    version: str = strawberry.field(description="Version of netsessions.")
    time_zone: str = strawberry.field(description="IANA name of the server's time zone, the `TIMEZONE` setting.")
    now: DateTime = strawberry.field(description="Current time of the server.")

    @classmethod
    def from_request(cls, request: RequestContext) -> "Server":
        return cls(version=program_version(), time_zone=request.context.clock.zone.key, now=DateTime(request.now))


@strawberry.interface(description="An object with a global id.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque global id. Pass it to `node` to read the object again.")


@strawberry.type(description="A device that has sessions or a name. Its first session creates it.")
class Device(Node):
    mac: MAC = strawberry.field(description="MAC address of the device.")
    name: str | None = strawberry.field(description="Name of the device, set by `updateDevice`.")
    owner: str | None = strawberry.field(description="Owner of the device, set by `updateDevice`.")

    @strawberry.field(description="Whether the device has an open session.")
    async def is_connected(self, info: Info) -> bool:
        return (await info.context.sightings.load(self.mac)).connected

    @strawberry.field(description="Earliest known start or end of its sessions.")
    async def first_seen(self, info: Info) -> DateTime | None:
        return _to_instant((await info.context.sightings.load(self.mac)).first_seen)

    @strawberry.field(description="Latest known start or end of its sessions. Now, while the device is connected.")
    async def last_seen(self, info: Info) -> DateTime | None:
        return _to_instant((await info.context.sightings.load(self.mac)).last_seen)

    @classmethod
    def from_row(cls, row: DeviceRow) -> "Device":
        return cls(id=device_id(row.mac), mac=MAC(row.mac), name=row.name, owner=row.owner)


@strawberry.type(description="A time during which a device was connected to the network.")
class Session(Node):
    row: strawberry.Private[SessionRow]
    mac: MAC = strawberry.field(description="MAC address of the device.")
    ip: IPAddress = strawberry.field(description="IP address of the device. The latest one, if it changed.")
    state: SessionState = strawberry.field(description="Which ends of the session are known.")
    connected_at: DateTime | None = strawberry.field(
        description="When the device connected. Null if the connection was not observed."
    )
    disconnected_at: DateTime | None = strawberry.field(
        description="When the device disconnected. Null while it is connected, or if the disconnection was not observed."
    )
    connection_event: str = strawberry.field(
        description="Type of the connection event. `<missing event>` if it was not observed."
    )
    disconnection_event: str | None = strawberry.field(
        description="Type of the disconnection event. `<missing event>` if it was not observed, null while connected."
    )

    @strawberry.field(description="Duration in whole seconds, until now while connected. Null if an end is missing.")
    def duration_seconds(self, info: Info) -> int | None:
        microseconds = duration(self.row, info.context.now)
        return None if microseconds is None else microseconds // SECOND

    info: str = strawberry.field(description="Free text.")

    @strawberry.field(description="The device.")
    async def device(self, info: Info) -> Device:
        return Device.from_row(await info.context.devices.load(self.mac))

    @classmethod
    def from_row(cls, row: SessionRow) -> "Session":
        return cls(
            row=row,
            id=session_id(row.mac, row.id),
            mac=MAC(row.mac),
            ip=IPAddress(row.ip),
            state=SessionState(row.state),
            connected_at=_to_instant(row.connected_at),
            disconnected_at=_to_instant(row.disconnected_at),
            connection_event=row.connection_event,
            disconnection_event=row.disconnection_event,
            info=row.info,
        )


@strawberry.type(description="A change of a session, as a subscription reports it.")
class SessionChange:
    kind: SessionChangeKind = strawberry.field(description="Whether the session was created, updated or deleted.")
    mac: MAC = strawberry.field(description="MAC address of the device.")
    session_id: strawberry.ID = strawberry.field(description="Id of the session, also of a deleted one.")
    session: Session | None = strawberry.field(description="The session after the change. Null if it was deleted.")
    cursor: str = strawberry.field(
        description="Opaque position of the change. After a reconnect, pass the last cursor you received as `after`."
    )

    @classmethod
    def from_row(cls, row: JournalRow) -> "SessionChange":
        return cls(
            kind=SessionChangeKind(row.kind),
            mac=MAC(row.mac),
            session_id=session_id(row.mac, row.id),
            session=None if row.session is None else Session.from_row(row.session),
            cursor=cursor_of(row),
        )


@strawberry.type(description="An entry in the audit log of a session.")
class SessionRevision:
    at: DateTime = strawberry.field(description="When the change was made.")
    kind: SessionChangeKind = strawberry.field(description="Whether the session was updated or deleted.")
    by: str = strawberry.field(description="Name of the token or command that made the change.")
    before: Session = strawberry.field(description="The session before the change.")
    after: Session | None = strawberry.field(description="The session after the change. Null if it was deleted.")

    @classmethod
    def from_revision(cls, revision: Revision) -> "SessionRevision":
        return cls(
            at=DateTime(revision.at),
            kind=SessionChangeKind(revision.kind),
            by=revision.who,
            before=Session.from_row(revision.before),
            after=None if revision.after is None else Session.from_row(revision.after),
        )


@strawberry.type(description="A connection or disconnection event. In a list of sessions, each row is a whole session.")
class SessionEvent:
    event_type: str | None = strawberry.field(description="Type of the event. Null if the row is a session.")
    occurred_at: DateTime | None = strawberry.field(description="When it happened. Null if the row is a session.")
    session: Session = strawberry.field(description="The session that the event starts or ends.")

    @classmethod
    def from_row(cls, row: EventRow) -> "SessionEvent":
        return cls(
            event_type=row.event_type, occurred_at=_to_instant(row.occurred_at), session=Session.from_row(row.session)
        )


@strawberry.type(description="A session as an entry for FullCalendar and similar calendars.")
class CalendarEntry:
    resource_id: MAC = strawberry.field(description="MAC address of the device.")
    title: str = strawberry.field(description="Title of the entry. Always empty.")
    start: DateTime = strawberry.field(description="Start of the entry. An estimate if the connection is missing.")
    end: DateTime = strawberry.field(description="End of the entry. An estimate if the disconnection is missing.")
    color: str = strawberry.field(description="Color by session state, as `#RRGGBB`.")
    tooltip: str = strawberry.field(description="Three lines of text: connection, disconnection and IP address.")
    class_name: str = strawberry.field(description="CSS class of the entry.")
    session: Session = strawberry.field(description="The session.")

    @classmethod
    def from_row(cls, row: CalendarRow, context: Context) -> "CalendarEntry":
        return cls(
            resource_id=MAC(row.session.mac),
            title=calendar_text.TITLE,
            start=DateTime(row.drawn_from),
            end=DateTime(row.drawn_until),
            color=calendar_text.color(row.session),
            tooltip=calendar_text.tooltip(row.session, context.clock),
            class_name=calendar_text.CLASS_NAME,
            session=Session.from_row(row.session),
        )


@strawberry.type(description="Number of rows of each type of event list in a period.")
class SessionTotals:
    all: int = strawberry.field(description="Connection and disconnection events.")
    sessions: int = strawberry.field(description="Sessions that overlap the period.")
    missing: int = strawberry.field(description="Sessions that overlap the period and have a missing end.")
    voided: int = strawberry.field(description="Events whose type starts with `VOIDED`.")
    new: int = strawberry.field(description="Events of type `New Device`.")
    down: int = strawberry.field(description="Events of type `Device Down`.")


@strawberry.type(description="Presence in one hour or day. A session that crosses a boundary is split exactly there.")
class PresenceBucket:
    start: DateTime = strawberry.field(description="Start of the bucket, included.")
    end: DateTime = strawberry.field(
        description="End of the bucket, excluded. A day has 23 or 25 hours when the clocks change."
    )
    online_seconds: float = strawberry.field(
        description="Sum of the time online of all sessions, in seconds. A session with a missing end adds nothing."
    )
    sessions: int = strawberry.field(description="Number of sessions that overlap the bucket.")
    devices: int = strawberry.field(description="Number of devices connected at any time in the bucket.")
    peak: int = strawberry.field(description="Largest number of devices connected at the same time.")

    @classmethod
    def from_row(cls, row: Bucket) -> "PresenceBucket":
        return cls(
            start=DateTime(row.start),
            end=DateTime(row.end),
            online_seconds=row.online / SECOND,
            sessions=row.sessions,
            devices=row.devices,
            peak=row.peak,
        )
