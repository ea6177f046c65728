"""Heartbeats, which open and confirm sessions, and sweeps, which end sessions without heartbeats."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from resolvers.context import Context
from resolvers.live import (
    CONNECTED_EVENT,
    LAST_UNTIL,
    DeviceTimeline,
    LastSeen,
    apply_start,
    is_newer,
    with_new_ip,
)
from resolvers.sessions import FAR_FUTURE, new_session_ids, window_of
from resolvers.validation.models import HeartbeatDevice, StartReport
from resolvers.validation.periods import Period
from storage.queries import live as live_queries
from storage.store import CREATED, AuditStamp, Parameters, Transaction, UnitOfWork, created_entries
from storage.tables import MISSING_DISCONNECTION, ROW_WIDTH, SESSION_DEFAULTS, SessionRow

DISCONNECTED_EVENT = "Disconnected"  # the disconnection event of sessions that a sweep ends
BATCH = 500  # sessions that a sweep ends in one transaction


class HeartbeatResult(NamedTuple):
    """The number of devices in a heartbeat, and of sessions that it opened."""

    seen: int
    opened: int


async def heartbeat(context: Context, devices: Sequence[HeartbeatDevice], at: int | None) -> HeartbeatResult:
    """Record that devices are connected at one instant (default: now). Open sessions for those that were not."""
    unit_of_work = heartbeat_transaction(context, devices, at)
    if not devices:
        return HeartbeatResult(0, 0)
    result = await context.store.write(unit_of_work)
    context.on_written(result.opened)
    return result


def heartbeat_transaction(
    context: Context, devices: Sequence[HeartbeatDevice], at: int | None
) -> UnitOfWork[HeartbeatResult]:
    """Return the unit of work that applies a heartbeat."""
    stamp = context.authorize("write")
    ips: dict[str, list[str]] = {}
    for device in devices:
        ips.setdefault(device.mac, []).append(device.ip)

    async def transact(transaction: Transaction) -> HeartbeatResult:
        await transaction.lock_devices(ips)
        instant = context.clock.now() if at is None else at
        parameters = {"macs": json.dumps(list(ips)), "at": instant}
        # A server whose clock is ahead may have started a session after this server's now.
        started_by = FAR_FUTURE if at is None else at
        rows = await transaction.fetch(live_queries.open_sessions(), parameters | {"at": started_by})
        await transaction.execute(live_queries.mark_seen(), parameters)
        entries: list[Parameters] = []
        # If a device has several open sessions, the newest one wins.
        connected = {row[0]: (SessionRow._make(row[:ROW_WIDTH]), LastSeen._make(row[ROW_WIDTH:])) for row in rows}
        for mac, (row, last_seen) in connected.items():
            if row.ip not in ips[mac] and is_newer(row, last_seen, instant):
                timeline = DeviceTimeline(context, transaction, mac, stamp)
                await timeline.update(row, **with_new_ip(row, ips[mac][-1], instant))
                entries += timeline.entries
        absent = {mac: ips[mac] for mac in ips if mac not in connected}
        opened = await _open_sessions(context, transaction, stamp, absent, instant)
        await transaction.write_journal(entries + opened)
        return HeartbeatResult(len(ips), sum(entry["kind"] == CREATED for entry in opened))

    return transact


async def _open_sessions(
    context: Context, transaction: Transaction, stamp: AuditStamp, ips: dict[str, list[str]], at: int
) -> list[Parameters]:
    """Open sessions of devices that are not connected. Return the journal entries."""
    rows = await transaction.fetch(live_queries.latest_ends(), {"macs": json.dumps(list(ips))})
    with_later_sessions = {mac for mac, *instants in rows if any(i is not None and i >= at for i in instants)}
    macs = [mac for mac in ips if mac not in with_later_sessions]
    new = [
        {**SESSION_DEFAULTS, "mac": mac, "id": session_id, "ip": ips[mac][-1], "connected_at": at,
         "connection_event": CONNECTED_EVENT, "info": "", "live": 1, "last_seen_at": at}
        for mac, session_id in zip(macs, new_session_ids(context.clock, len(macs)), strict=True)
    ]  # fmt: skip
    entries: list[Parameters] = []
    if new:
        await transaction.insert_sessions(new)
        entries += created_entries(new, stamp)
    for mac in sorted(with_later_sessions):
        timeline = DeviceTimeline(context, transaction, mac, stamp)
        await _apply_late_sighting(timeline, mac, ips[mac][-1], at)
        entries += timeline.entries
    return entries


async def _apply_late_sighting(timeline: DeviceTimeline, mac: str, ip: str, at: int) -> None:
    """Apply a heartbeat about an instant that is before the end or start of a stored session."""
    before = await timeline.adjacent(at, LAST_UNTIL)
    if before is not None and before.state == MISSING_DISCONNECTION:
        for last_seen in await timeline.last_seen(before):
            # The end of this session was never seen, so it may have lasted until now.
            if is_newer(before, last_seen, at):
                await timeline.set_columns(before, last_seen_at=at)
            return
    report = StartReport.model_construct(mac=mac, ip=ip, at=at, event_type=CONNECTED_EVENT, info="")
    await apply_start(timeline, report, at, last_seen_at=at)


async def sweep(context: Context, unseen_for: Period) -> int:
    """End open sessions without a heartbeat for longer than a period, at their last heartbeat.

    Return the number of ended sessions. Sessions that never had a heartbeat stay open.
    """
    before = window_of(context, unseen_for).since
    stamp = context.authorize("write")

    async def end_batch(transaction: Transaction) -> int | None:
        limits = {"before": before, "limit": BATCH}
        macs = {row[0] for row in await transaction.fetch(live_queries.unseen_sessions(), limits)}
        if not macs:
            return None
        await transaction.lock_devices(macs, "change")
        # Read again: a heartbeat may have arrived before the lock.
        rows = await transaction.fetch(live_queries.unseen_sessions(), limits)
        entries: list[Parameters] = []
        for row, last_seen_at in (
            (SessionRow._make(row[:ROW_WIDTH]), row[ROW_WIDTH]) for row in rows if row[0] in macs
        ):
            timeline = DeviceTimeline(context, transaction, row.mac, stamp)
            at = max(last_seen_at, row.connected_at or last_seen_at)
            await timeline.update(row, disconnected_at=at, disconnection_event=DISCONNECTED_EVENT)
            entries += timeline.entries
        await transaction.write_journal(entries)
        return len(entries)

    ended = 0
    # A batch may end none of its sessions although more remain, so only None stops the loop.
    while (batch := await context.store.write(end_batch)) is not None:
        ended += batch
    return ended
