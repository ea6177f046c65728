"""The public types, each a view of what a resolver answered. Fields that cost a statement load it for all rows at once."""

from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from typing import Any, Generic, TypeVar, cast

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from resolvers import calendar_text as wording
from resolvers import devices as device_resolvers
from resolvers.change_feed import cursor_of
from resolvers.context import Context
from resolvers.corrections import Revision
from resolvers.devices import Sighting
from resolvers.paging import Slice
from resolvers.presence import Bucket
from resolvers.sessions import Plan, Reported, lasted
from resolvers.version import release
from schema.scalars import MAC, DateTime, IPAddress
from storage.queries.devices import DeviceRow
from storage.queries.events import EventRow
from storage.queries.journal import ChangeRow
from storage.queries.sessions import SessionRow, SpannedRow
from storage.tables import SECOND


class Request:
    """What the fields of one request share: the context, and loaders that gather what its rows ask for."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.renew()

    def renew(self) -> None:
        """As for a new request: an answer that goes on is of each moment at which it does."""
        self.now = self.context.clock.now()
        self.devices: DataLoader[str, DeviceRow] = DataLoader(self._devices)
        self.sightings: DataLoader[str, Sighting] = DataLoader(self._sightings)

    async def _devices(self, macs: list[str]) -> list[DeviceRow]:
        found = await device_resolvers.get_many(self.context, macs)
        # A device deleted since its session was read is still the session's device.
        return [found.get(mac) or DeviceRow(mac, None, None) for mac in macs]

    async def _sightings(self, macs: list[str]) -> list[Sighting]:
        found = await device_resolvers.sightings(self.context, macs)
        return [found[mac] for mac in macs]


Ask = Info[Request, None]


@strawberry.enum
class SessionState(Enum):
    CONNECTED = "CONNECTED"
    COMPLETE = "COMPLETE"
    MISSING_CONNECTION = "MISSING_CONNECTION"
    MISSING_DISCONNECTION = "MISSING_DISCONNECTION"


@strawberry.enum
class SessionEventType(Enum):
    ALL = "ALL"
    SESSIONS = "SESSIONS"
    MISSING = "MISSING"
    VOIDED = "VOIDED"
    NEW = "NEW"
    DOWN = "DOWN"


@strawberry.enum(
    description="By time, or by a column: rows without a value first, or last where it is falling (_DESC); the newest first "
    "within equals."
)
class SessionEventOrder(Enum):
    NEWEST = "NEWEST"
    OLDEST = "OLDEST"
    MAC = "MAC"
    MAC_DESC = "MAC_DESC"
    NAME = strawberry.enum_value("NAME", description="Of the device.")
    NAME_DESC = "NAME_DESC"
    OWNER = strawberry.enum_value("OWNER", description="Of the device.")
    OWNER_DESC = "OWNER_DESC"
    IP = strawberry.enum_value("IP", description="By number, IPv4 before IPv6.")
    IP_DESC = "IP_DESC"
    EVENT_TYPE = "EVENT_TYPE"
    EVENT_TYPE_DESC = "EVENT_TYPE_DESC"


@strawberry.enum
class DeviceOrder(Enum):
    MAC = "MAC"
    NAME = strawberry.enum_value("NAME", description="Those without a name last.")
    LAST_SEEN = strawberry.enum_value("LAST_SEEN", description="The latest first: those that are connected.")


@strawberry.enum
class SessionOrder(Enum):
    NEWEST = "NEWEST"
    OLDEST = "OLDEST"
    LONGEST = "LONGEST"
    SHORTEST = "SHORTEST"


@strawberry.type(
    description="The server that answers; for clients that show wall-clock times, and how long ago something was."
)
class Server:
    version: str
    time_zone: str = strawberry.field(description="IANA name of its TIMEZONE.")
    now: DateTime


def server_of(request: Request) -> Server:
    """The server as the schema shows it."""
    clock = request.context.clock
    return Server(version=release(), time_zone=clock.zone.key, now=DateTime(request.now))


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type(description="A device known by its sessions; its name and owner are optional.")
class Device(Node):
    mac: MAC
    name: str | None
    owner: str | None

    @strawberry.field
    async def is_connected(self, info: Ask) -> bool:
        return (await info.context.sightings.load(self.mac)).connected

    @strawberry.field
    async def first_seen(self, info: Ask) -> DateTime | None:
        return _instant((await info.context.sightings.load(self.mac)).first_seen)

    @strawberry.field(description="Now, while it is connected.")
    async def last_seen(self, info: Ask) -> DateTime | None:
        return _instant((await info.context.sightings.load(self.mac)).last_seen)


def _instant(microseconds: int | None) -> DateTime | None:
    return None if microseconds is None else DateTime(microseconds)


def device_id(mac: str) -> strawberry.ID:
    """The opaque id of a device."""
    return strawberry.ID(f"D:{mac}")


def device_of(row: DeviceRow) -> Device:
    """A device as the schema shows it."""
    return Device(id=device_id(row.mac), mac=MAC(row.mac), name=row.name, owner=row.owner)


@strawberry.type
class Session(Node):
    row: strawberry.Private[SessionRow]
    mac: MAC
    ip: IPAddress
    state: SessionState
    connected_at: DateTime | None
    disconnected_at: DateTime | None
    connection_event: str
    disconnection_event: str | None

    @strawberry.field(description="Whole seconds; until now while connected; null when an end is missing.")
    def duration_seconds(self, info: Ask) -> int | None:
        duration = lasted(self.row, info.context.now)
        return None if duration is None else duration // SECOND

    info: str

    @strawberry.field
    async def device(self, info: Ask) -> Device:
        return device_of(await info.context.devices.load(self.mac))


def session_id(mac: str, identity: int) -> strawberry.ID:
    """The opaque id of a session; it carries the MAC, by which sessions can be spread over several databases."""
    return strawberry.ID(f"S:{mac}:{identity}")


def session_of(row: SessionRow) -> Session:
    """A session as the schema shows it."""
    return Session(
        row=row,
        id=session_id(row.mac, row.id),
        mac=MAC(row.mac),
        ip=IPAddress(row.ip),
        state=SessionState(row.state),
        connected_at=_instant(row.connected_at),
        disconnected_at=_instant(row.disconnected_at),
        connection_event=row.connection_event,
        disconnection_event=row.disconnection_event,
        info=row.info,
    )


@strawberry.enum
class SessionChangeKind(Enum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


@strawberry.type
class SessionChange:
    kind: SessionChangeKind
    mac: MAC
    session_id: strawberry.ID = strawberry.field(description="Of the session, also of one that has been deleted.")
    session: Session | None = strawberry.field(description="As it is now; null where it has been deleted.")
    cursor: str = strawberry.field(description="To come back with: after it, everything that follows is told.")


def change_of(row: ChangeRow) -> SessionChange:
    """A change as the schema shows it."""
    return SessionChange(
        kind=SessionChangeKind(row.kind),
        mac=MAC(row.mac),
        session_id=session_id(row.mac, row.id),
        session=None if row.session is None else session_of(row.session),
        cursor=cursor_of(row),
    )


@strawberry.type(description="A change of a session, as it was written down.")
class SessionRevision:
    at: DateTime
    kind: SessionChangeKind
    by: str = strawberry.field(description="Name of the token, or of the command, that made it.")
    before: Session
    after: Session | None = strawberry.field(description="null where it was deleted.")


def revision_of(revision: Revision) -> SessionRevision:
    """A revision as the schema shows it."""
    return SessionRevision(
        at=DateTime(revision.at),
        kind=SessionChangeKind(revision.kind),
        by=revision.who,
        before=session_of(revision.before),
        after=None if revision.after is None else session_of(revision.after),
    )


@strawberry.type
class SessionEvent:
    event_type: str | None
    occurred_at: DateTime | None
    session: Session


def event_of(row: EventRow) -> SessionEvent:
    """An event, or a session in the place of one, as the schema shows it."""
    return SessionEvent(
        event_type=row.event_type, occurred_at=_instant(row.occurred_at), session=session_of(row.session)
    )


@strawberry.type(description="An entry as FullCalendar and its relatives read it.")
class CalendarEntry:
    resource_id: MAC
    title: str
    start: DateTime
    end: DateTime
    color: str
    tooltip: str
    class_name: str
    session: Session


def entry_of(row: SpannedRow, context: Context) -> CalendarEntry:
    """A calendar entry as the schema shows it."""
    return CalendarEntry(
        resource_id=MAC(row.session.mac),
        title=wording.TITLE,
        start=DateTime(row.drawn_from),
        end=DateTime(row.drawn_until),
        color=wording.colour(row.session),
        tooltip=wording.tooltip(row.session, context.clock),
        class_name=wording.CLASS_NAME,
        session=session_of(row.session),
    )


@strawberry.type
class SessionTotals:
    all: int
    sessions: int
    missing: int
    voided: int
    new: int
    down: int


@strawberry.enum
class PresenceBucketSize(Enum):
    HOUR = "HOUR"
    DAY = "DAY"


@strawberry.type(
    description="start and end bound the bucket (a day is 23 or 25 hours where the clocks change); devices counts those "
    "connected at any moment of it, peak those at one moment."
)
class PresenceBucket:
    start: DateTime
    end: DateTime
    online_seconds: float
    sessions: int
    devices: int
    peak: int


def bucket_of(row: Bucket) -> PresenceBucket:
    """A bucket as the schema shows it."""
    return PresenceBucket(
        start=DateTime(row.start),
        end=DateTime(row.end),
        online_seconds=row.online / SECOND,
        sessions=row.sessions,
        devices=row.devices,
        peak=row.peak,
    )


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


Shown = TypeVar("Shown")


@strawberry.type
class Edge(Generic[Shown]):
    cursor: str
    node: Shown


@strawberry.type
class Connection(Generic[Shown]):
    edges: list[Edge[Shown]]
    nodes: list[Shown]
    page_info: PageInfo
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field
    async def total_count(self) -> int:
        """Counted only when it is asked for."""
        return await self.count()


Row = TypeVar("Row")


def connection_of(
    page: Slice[Row], shown: Callable[[Row], Shown], count: Callable[[], Awaitable[int]]
) -> Connection[Shown]:
    """A page as the schema shows it."""
    nodes = [shown(row) for row in page.rows]
    return Connection(
        edges=[Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
        nodes=nodes,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.start_cursor,
            end_cursor=page.end_cursor,
        ),
        count=count,
    )


class Planned(Generic[Shown]):
    """Sessions before they are read; awaited, they are what the schema's types show of them."""

    def __init__(
        self, plan: Plan, show: Callable[[Slice[SessionRow]], Shown], count: Callable[[], Awaitable[int]] | None
    ) -> None:
        self.plan = plan
        self.count = count
        self._show = show

    def __await__(self) -> Generator[Any, None, Shown]:
        return self._shown().__await__()

    async def _shown(self) -> Shown:
        return self._show(await self.plan.rows())


def planned(
    plan: Plan, show: Callable[[Slice[SessionRow]], Shown], count: Callable[[], Awaitable[int]] | None = None
) -> Shown:
    """A `Planned`; to the signature of a resolver it is what it becomes."""
    return cast("Shown", Planned(plan, show, count))


@strawberry.type
class CreateSessionPayload:
    session: Session
    message: str


def payload_of(done: Reported) -> CreateSessionPayload:
    """A session and what became of it, as the schema shows it."""
    return CreateSessionPayload(session=session_of(done.session), message=done.message)


@strawberry.type
class CreateSessionsPayload:
    created: int


@strawberry.type
class HeartbeatPayload:
    seen: int = strawberry.field(description="How many devices it told of.")
    opened: int = strawberry.field(description="Of how many of them a session was opened.")


@strawberry.type
class DeleteSessionsPayload:
    deleted: int
    message: str
