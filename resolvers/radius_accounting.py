"""Sessions as network access servers report them (RFC 2866), packet by packet, in whatever order and however often.

What is stored of a session depends on what was reported of it, not on the order: what a packet tells is fitted into what
is known, and changes nothing where that is told better. Which session is meant, its server's own name for it tells.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from resolvers.context import Context
from resolvers.heartbeats import BATCH, ENDED
from resolvers.live import Device, moved
from storage.queries import accounting as ask
from storage.queries.sessions import SessionRow
from storage.store import Parameters, Purpose, Transaction
from storage.tables import CONNECTED, DAY, MISSING, SECOND

NO_IP = "0.0.0.0"  # noqa: S104, nothing listens there: what is stored until an address is told
STARTED = "Connected"
# What `info` tells, also of how a session's ends are known.
MARK, APART = "RADIUS: ", "; "
START_UNSEEN = f"{MARK}start not reported"
RESTARTS = (f"{MARK}Accounting-On", f"{MARK}Accounting-Off")

RETRIED = 300 * SECOND  # for how long a server may go on sending what was not answered
SPOOLED = 30 * DAY  # for how long it may keep what it could not send; an older time is of a clock that was never set
NAMED = 30 * DAY  # for how long the name of a session that has ended is kept


@dataclass(frozen=True)
class Packet:
    """What a server tells of one session. Instants and spans in microseconds."""

    kind: Literal["START", "INTERIM", "STOP"]
    nas: str
    name: str  # Acct-Session-Id
    mac: str
    at: int
    ip: str | None = None
    lasted: int | None = None  # Acct-Session-Time
    cause: str | None = None  # Acct-Terminate-Cause


class Outcome(NamedTuple):
    """The session that a packet was about, as it is now, and whether the packet started or stopped it."""

    session: SessionRow
    what: Literal["started", "stopped"] | None


class _Known(NamedTuple):
    """What a name means: whose session, when it was first told of, the session, which may be gone, and its sighting."""

    mac: str
    at: int
    session: SessionRow | None
    seen_at: int | None


def instant(arrived: int, stamped: int | None, delay: int | None) -> int:
    """When what a packet tells of happened: as it was stamped, else so long before its arrival as it says.

    All in microseconds. A stamp of a clock that cannot have been set is none.
    """
    if stamped is not None and arrived - SPOOLED <= stamped <= arrived + DAY:
        return stamped
    return arrived - delay if delay is not None and delay <= SPOOLED else arrived


async def receive(context: Context, packet: Packet) -> Outcome | None:
    """Stores what a packet tells, and returns when it is durable; None where its session is of the past, or was deleted."""
    told = context.told("write")

    async def change(transaction: Transaction) -> Outcome | None:
        # The devices of what is not stored again are not made known again either.
        purpose: Purpose = "add" if _is_new(await _known(transaction, packet), packet) else "change"
        await transaction.hold([packet.mac], purpose)
        device = Device(context, transaction, packet.mac, told)
        found = await _known(transaction, packet)
        if _is_new(found, packet):
            if found is not None and found.session is not None:
                device.noted += await _given_up(context, transaction, found.session, told)
            done = await _opened(transaction, device, packet, told)
        elif found is None or found.session is None or found.mac != packet.mac:
            return None
        else:
            done = await _fitted(device, found.session, found.seen_at, packet)
        await transaction.note(device.noted)
        return done

    return await context.store.write(change)


async def _known(transaction: Transaction, packet: Packet) -> _Known | None:
    rows = await transaction.fetch(ask.known(), {"nas": packet.nas, "acct_session_id": packet.name})
    if not rows:
        return None
    ((mac, at, *session, seen_at),) = rows
    return _Known(mac, at, None if session[0] is None else SessionRow._make(session), seen_at)


def _is_new(found: _Known | None, packet: Packet) -> bool:
    """Whether a session is told of that is not known. Names are used anew: servers that were off count from one again."""
    if found is None:
        return True
    last = found.at if found.session is None else _last(found.session, found.seen_at)
    if found.mac != packet.mac:
        return packet.at > last
    return packet.kind == "START" and packet.at > last + RETRIED


def _last(row: SessionRow, seen_at: int | None) -> int:
    """The last instant that is known of a session."""
    return max(at for at in (row.connected_at, row.disconnected_at, seen_at) if at is not None)


async def _given_up(context: Context, transaction: Transaction, row: SessionRow, told: Parameters) -> list[Parameters]:
    """Of an open session whose name another takes, no end will be reported; answers what the journal is to say of it."""
    if row.state != CONNECTED:
        return []
    await transaction.hold([row.mac], "change")
    former = Device(context, transaction, row.mac, told)
    await former.change(row, disconnection_event=MISSING)
    return former.noted


async def _opened(transaction: Transaction, device: Device, packet: Packet, told: Parameters) -> Outcome:
    """A session of its own for the name, beside others that the device may have."""
    nothing = SessionRow(packet.mac, 0, NO_IP, None, None, MISSING, None, "", "")
    columns = {"ip": NO_IP, "live": 0, **_columns(nothing, None, packet)}
    row = await device.add(**columns)
    key = {"nas": packet.nas, "acct_session_id": packet.name}
    await transaction.execute(ask.name(), {**key, "mac": row.mac, "id": row.id, "at": told["at"]})
    return Outcome(row, "stopped" if packet.kind == "STOP" else "started")


async def _fitted(device: Device, row: SessionRow, seen_at: int | None, packet: Packet) -> Outcome:
    columns = _columns(row, seen_at, packet)
    if not columns:
        return Outcome(row, None)
    if list(columns) == ["seen_at"]:
        # A sighting is no change that anybody waits for.
        await device.see(row, **columns)
        return Outcome(row, None)
    after = await device.change(row, **columns)
    if packet.kind == "STOP" and after.disconnected_at != row.disconnected_at:
        return Outcome(after, "stopped")
    return Outcome(after, "started" if packet.kind == "START" and after.connected_at != row.connected_at else None)


def _columns(row: SessionRow, seen_at: int | None, packet: Packet) -> dict[str, Any]:
    """What a report changes of a session: the columns that are different afterwards."""
    after, start_seen = _with_ends(row, packet)
    start, end = after.connected_at, after.disconnected_at
    if start is not None and end is not None and end < start:
        # The start that was reported is believed, one that was worked out gives way.
        after = after._replace(disconnected_at=start) if start_seen else after._replace(connected_at=end)
    if packet.ip is not None and packet.ip != row.ip:
        if row.ip == NO_IP:
            after = after._replace(ip=packet.ip)
        elif packet.at > _last(row, seen_at):
            after = after._replace(**moved(after, packet.ip, packet.at))
    columns = {name: new for name, was, new in zip(SessionRow._fields, row, after, strict=True) if new != was}
    if packet.kind == "INTERIM" and (seen_at is None or packet.at > seen_at):
        columns["seen_at"] = packet.at
    return columns


def _with_ends(row: SessionRow, packet: Packet) -> tuple[SessionRow, bool]:
    """The session with the ends as they are known now, and whether its start was reported as such."""
    marks = row.info.split(APART) if row.info else []
    if packet.kind == "STOP" and not _is_stopped(row, marks):
        marks = [mark for mark in marks if mark not in RESTARTS] + [f"{MARK}{packet.cause or 'Stop'}"]
        row = row._replace(disconnected_at=packet.at, disconnection_event=ENDED)
    start_seen = row.connected_at is not None and START_UNSEEN not in marks
    if packet.kind == "START" and not start_seen:
        marks = [mark for mark in marks if mark != START_UNSEEN]
        row, start_seen = row._replace(connected_at=packet.at, connection_event=STARTED), True
    elif not start_seen and (began := _began(packet)) is not None:
        # It was there by then: of what tells of a start that was not reported, the earliest is next to it.
        if row.connected_at is None:
            marks = [START_UNSEEN, *marks]
        else:
            began = min(began, row.connected_at)
        row = row._replace(connected_at=began, connection_event=STARTED)
    return row._replace(info=APART.join(marks)), start_seen


def _is_stopped(row: SessionRow, marks: list[str]) -> bool:
    """Whether the end was reported for this session, and not put there because nothing more was heard of it."""
    ends = (mark for mark in marks if mark.startswith(MARK) and mark not in (START_UNSEEN, *RESTARTS))
    return row.disconnected_at is not None and any(ends)


def _began(packet: Packet) -> int | None:
    """The start of a session that a packet about its course tells of."""
    if packet.lasted is not None and packet.lasted <= packet.at:
        return packet.at - packet.lasted
    return packet.at if packet.kind == "INTERIM" else None


async def restart(context: Context, nas: str, at: int, why: Literal["Accounting-On", "Accounting-Off"]) -> int:
    """Ends the open sessions of a server that began before it was switched on or off; answers how many."""
    told = context.told("write")
    which = {"nas": nas, "at": at, "limit": BATCH}

    async def change(transaction: Transaction) -> int:
        macs = {row[0] for row in await transaction.fetch(ask.open_of_nas(), which)}
        if not macs:
            return 0
        await transaction.hold(macs, "change")
        # Looked at again now that nobody else can change them.
        rows = [SessionRow._make(row) for row in await transaction.fetch(ask.open_of_nas(), which)]
        found: list[Parameters] = []
        for row in (row for row in rows if row.mac in macs):
            device = Device(context, transaction, row.mac, told)
            info = APART.join(filter(None, (row.info, f"{MARK}{why}")))
            await device.change(row, disconnected_at=at, disconnection_event=ENDED, info=info)
            found += device.noted
        await transaction.note(found)
        return len(found)

    ended = 0
    while gone := await context.store.write(change):
        ended += gone
    return ended


async def forget(context: Context) -> int:
    """Forgets the names of sessions that ended long ago; answers how many."""
    before = context.clock.now() - NAMED

    async def change(transaction: Transaction) -> int:
        return await transaction.execute(ask.forget(), {"before": before})

    return await context.store.write(change)
