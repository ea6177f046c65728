"""Sessions from RADIUS Accounting (RFC 2866).

Packets may arrive late, repeatedly and in any order. The stored session depends on the reports, not on their order: a packet
is merged into the stored session and never replaces more reliable values. A session is identified by its network access
server (NAS) and the Acct-Session-Id.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from resolvers.context import Context
from resolvers.heartbeats import BATCH, DISCONNECTED_EVENT
from resolvers.live import CONNECTED_EVENT, DeviceTimeline, with_new_ip
from storage.queries import accounting as accounting_queries
from storage.store import AuditStamp, LockPurpose, Parameters, Transaction
from storage.tables import CONNECTED, DAY, MISSING_EVENT, SECOND, SessionRow

UNKNOWN_IP = "0.0.0.0"  # noqa: S104, stored until the address is reported
# Notes in `info` give the sources of the start and the end of a session.
NOTE_PREFIX, NOTE_SEPARATOR = "RADIUS: ", "; "
START_NOT_REPORTED = f"{NOTE_PREFIX}start not reported"
RESTART_NOTES = (f"{NOTE_PREFIX}Accounting-On", f"{NOTE_PREFIX}Accounting-Off")

RETRY_WINDOW = 300 * SECOND  # how long a NAS may repeat a packet without a response
MAX_DELAY = 30 * DAY  # how late a packet may arrive; an older time comes from a clock that was never set
ID_RETENTION = 30 * DAY  # how long the Acct-Session-Id of an ended session is kept


@dataclass(frozen=True)
class Packet:
    """An Accounting-Request about one session. Instants and durations are in microseconds."""

    kind: Literal["START", "INTERIM", "STOP"]
    nas: str
    acct_session_id: str
    mac: str
    at: int
    ip: str | None = None
    session_time: int | None = None
    terminate_cause: str | None = None


class Outcome(NamedTuple):
    """The session after a packet, and whether the packet started or stopped it."""

    session: SessionRow
    change: Literal["started", "stopped"] | None


class _AccountingSession(NamedTuple):
    """What is stored for an Acct-Session-Id: MAC, first report, session (None if deleted) and last interim update."""

    mac: str
    at: int
    session: SessionRow | None
    last_seen_at: int | None


def event_time(arrived: int, event_timestamp: int | None, delay: int | None) -> int:
    """Return when the reported event happened: Event-Timestamp, else the arrival minus Acct-Delay-Time.

    All in microseconds. Ignore an implausible timestamp or delay.
    """
    if event_timestamp is not None and arrived - MAX_DELAY <= event_timestamp <= arrived + DAY:
        return event_timestamp
    return arrived - delay if delay is not None and delay <= MAX_DELAY else arrived


async def apply_packet(context: Context, packet: Packet) -> Outcome | None:
    """Store a packet and return after the commit. Return None if its session was superseded or deleted."""
    stamp = context.authorize("write")

    async def transact(transaction: Transaction) -> Outcome | None:
        # Do not recreate the device of a packet that creates no session.
        purpose: LockPurpose = "add" if _is_new(await _find(transaction, packet), packet) else "change"
        await transaction.lock_devices([packet.mac], purpose)
        timeline = DeviceTimeline(context, transaction, packet.mac, stamp)
        stored = await _find(transaction, packet)
        if _is_new(stored, packet):
            if stored is not None and stored.session is not None:
                timeline.entries += await _abandon(context, transaction, stored.session, stamp)
            outcome = await _create(transaction, timeline, packet, stamp)
        elif stored is None or stored.session is None or stored.mac != packet.mac:
            return None
        else:
            outcome = await _merge(timeline, stored.session, stored.last_seen_at, packet)
        await transaction.write_journal(timeline.entries)
        return outcome

    return await context.store.write(transact)


async def _find(transaction: Transaction, packet: Packet) -> _AccountingSession | None:
    key = {"nas": packet.nas, "acct_session_id": packet.acct_session_id}
    rows = await transaction.fetch(accounting_queries.session_by_accounting_id(), key)
    if not rows:
        return None
    ((mac, at, *session, last_seen_at),) = rows
    return _AccountingSession(mac, at, None if session[0] is None else SessionRow._make(session), last_seen_at)


def _is_new(stored: _AccountingSession | None, packet: Packet) -> bool:
    """Return whether a packet is about a new session. A NAS that restarts may reuse its ids."""
    if stored is None:
        return True
    latest = stored.at if stored.session is None else _latest_instant(stored.session, stored.last_seen_at)
    if stored.mac != packet.mac:
        return packet.at > latest
    return packet.kind == "START" and packet.at > latest + RETRY_WINDOW


def _latest_instant(row: SessionRow, last_seen_at: int | None) -> int:
    return max(at for at in (row.connected_at, row.disconnected_at, last_seen_at) if at is not None)


async def _abandon(context: Context, transaction: Transaction, row: SessionRow, stamp: AuditStamp) -> list[Parameters]:
    """Mark the end of an open session as missing, because its id was reused. Return the journal entries."""
    if row.state != CONNECTED:
        return []
    await transaction.lock_devices([row.mac], "change")
    timeline = DeviceTimeline(context, transaction, row.mac, stamp)
    await timeline.update(row, disconnection_event=MISSING_EVENT)
    return timeline.entries


async def _create(transaction: Transaction, timeline: DeviceTimeline, packet: Packet, stamp: AuditStamp) -> Outcome:
    """Create a session for an Acct-Session-Id. The device may have other open sessions."""
    empty = SessionRow(packet.mac, 0, UNKNOWN_IP, None, None, MISSING_EVENT, None, "", "")
    columns = {"ip": UNKNOWN_IP, "live": 0, **_changed_columns(empty, None, packet)}
    row = await timeline.add(**columns)
    accounting_id = {"nas": packet.nas, "acct_session_id": packet.acct_session_id, "mac": row.mac, "id": row.id}
    await transaction.execute(accounting_queries.upsert_accounting_id(), {**accounting_id, "at": stamp["at"]})
    return Outcome(row, "stopped" if packet.kind == "STOP" else "started")


async def _merge(timeline: DeviceTimeline, row: SessionRow, last_seen_at: int | None, packet: Packet) -> Outcome:
    columns = _changed_columns(row, last_seen_at, packet)
    if not columns:
        return Outcome(row, None)
    if list(columns) == ["last_seen_at"]:
        # An interim update alone is not a change for subscribers.
        await timeline.set_columns(row, **columns)
        return Outcome(row, None)
    after = await timeline.update(row, **columns)
    if packet.kind == "STOP" and after.disconnected_at != row.disconnected_at:
        return Outcome(after, "stopped")
    return Outcome(after, "started" if packet.kind == "START" and after.connected_at != row.connected_at else None)


def _changed_columns(row: SessionRow, last_seen_at: int | None, packet: Packet) -> dict[str, Any]:
    """Return the columns of a session that a packet changes."""
    after, start_is_reported = _with_ends(row, packet)
    start, end = after.connected_at, after.disconnected_at
    if start is not None and end is not None and end < start:
        # A reported start wins over the end; a computed start does not.
        after = after._replace(disconnected_at=start) if start_is_reported else after._replace(connected_at=end)
    if packet.ip is not None and packet.ip != row.ip:
        if row.ip == UNKNOWN_IP:
            after = after._replace(ip=packet.ip)
        elif packet.at > _latest_instant(row, last_seen_at):
            after = after._replace(**with_new_ip(after, packet.ip, packet.at))
    columns = {name: new for name, old, new in zip(SessionRow._fields, row, after, strict=True) if new != old}
    if packet.kind == "INTERIM" and (last_seen_at is None or packet.at > last_seen_at):
        columns["last_seen_at"] = packet.at
    return columns


def _with_ends(row: SessionRow, packet: Packet) -> tuple[SessionRow, bool]:
    """Return the session with its ends after a packet, and whether its start was reported."""
    notes = row.info.split(NOTE_SEPARATOR) if row.info else []
    if packet.kind == "STOP" and not _is_stopped(row, notes):
        notes = [note for note in notes if note not in RESTART_NOTES] + [
            f"{NOTE_PREFIX}{packet.terminate_cause or 'Stop'}"
        ]
        row = row._replace(disconnected_at=packet.at, disconnection_event=DISCONNECTED_EVENT)
    start_is_reported = row.connected_at is not None and START_NOT_REPORTED not in notes
    if packet.kind == "START" and not start_is_reported:
        notes = [note for note in notes if note != START_NOT_REPORTED]
        row, start_is_reported = row._replace(connected_at=packet.at, connection_event=CONNECTED_EVENT), True
    elif not start_is_reported and (computed_start := _computed_start(packet)) is not None:
        # Of all computed starts, the earliest is closest to the real one.
        if row.connected_at is None:
            notes = [START_NOT_REPORTED, *notes]
        else:
            computed_start = min(computed_start, row.connected_at)
        row = row._replace(connected_at=computed_start, connection_event=CONNECTED_EVENT)
    return row._replace(info=NOTE_SEPARATOR.join(notes)), start_is_reported


def _is_stopped(row: SessionRow, notes: list[str]) -> bool:
    """Return whether a stop was reported. A restart or a sweep also ends a session, without a report."""
    causes = (
        note for note in notes if note.startswith(NOTE_PREFIX) and note not in (START_NOT_REPORTED, *RESTART_NOTES)
    )
    return row.disconnected_at is not None and any(causes)


def _computed_start(packet: Packet) -> int | None:
    """Return the latest possible start of a session according to an interim update or a stop."""
    if packet.session_time is not None and packet.session_time <= packet.at:
        return packet.at - packet.session_time
    return packet.at if packet.kind == "INTERIM" else None


async def end_sessions_of_nas(
    context: Context, nas: str, at: int, status: Literal["Accounting-On", "Accounting-Off"]
) -> int:
    """End the open sessions of a NAS that started before it was switched on or off. Return their number."""
    stamp = context.authorize("write")
    parameters = {"nas": nas, "at": at, "limit": BATCH}

    async def end_batch(transaction: Transaction) -> int:
        macs = {row[0] for row in await transaction.fetch(accounting_queries.open_sessions_of_nas(), parameters)}
        if not macs:
            return 0
        await transaction.lock_devices(macs, "change")
        # Read again: the sessions may have changed before the lock.
        rows = await transaction.fetch(accounting_queries.open_sessions_of_nas(), parameters)
        entries: list[Parameters] = []
        for row in (row for row in map(SessionRow._make, rows) if row.mac in macs):
            timeline = DeviceTimeline(context, transaction, row.mac, stamp)
            info = NOTE_SEPARATOR.join(filter(None, (row.info, f"{NOTE_PREFIX}{status}")))
            await timeline.update(row, disconnected_at=at, disconnection_event=DISCONNECTED_EVENT, info=info)
            entries += timeline.entries
        await transaction.write_journal(entries)
        return len(entries)

    ended = 0
    while batch := await context.store.write(end_batch):
        ended += batch
    return ended


async def purge_accounting_ids(context: Context) -> int:
    """Delete the ids of sessions that ended long ago. Return their number."""
    before = context.clock.now() - ID_RETENTION

    async def transact(transaction: Transaction) -> int:
        return await transaction.execute(accounting_queries.delete_expired_accounting_ids(), {"before": before})

    return await context.store.write(transact)
