"""Devices that are seen, again and again: heartbeats open sessions and keep them, sweeps end those that are not seen."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from resolvers.context import Context
from resolvers.live import BEFORE, BEGUN, EVER, Device, There, is_news, moved, started
from resolvers.sessions import latest, new_ids
from resolvers.validation.clock import Period
from resolvers.validation.models import Seen, StartReport
from storage.queries import live as ask
from storage.queries.sessions import WIDTH, SessionRow
from storage.store import CREATED, Change, Parameters, Transaction, created
from storage.tables import MISSING_DISCONNECTION

ENDED = "Disconnected"  # the event of a session that a sweep ends
BATCH = 500  # sessions that a sweep ends in one transaction


class Heartbeat(NamedTuple):
    """How many devices were seen, and of how many of them a session was opened."""

    seen: int
    opened: int


async def heartbeat(context: Context, seen: Sequence[Seen], at: int | None) -> Heartbeat:
    """Devices that are there, all at one instant: sessions are opened of those that were not."""
    change = seeing(context, seen, at)
    if not seen:
        return Heartbeat(0, 0)
    done = await context.store.write(change)
    context.on_written(done.opened)
    return done


def seeing(context: Context, seen: Sequence[Seen], at: int | None) -> Change[Heartbeat]:
    """The same as a change."""
    told = context.told("write")
    ips: dict[str, list[str]] = {}
    for each in seen:
        ips.setdefault(each.mac, []).append(each.ip)

    async def change(transaction: Transaction) -> Heartbeat:
        await transaction.hold(ips)
        instant = context.clock.now() if at is None else at
        parameters = {"macs": json.dumps(list(ips)), "at": instant}
        # Also what the clock of another server, which is ahead of ours, began.
        until = EVER if at is None else at
        rows = await transaction.fetch(ask.open_of_devices(), parameters | {"at": until})
        await transaction.execute(ask.see(), parameters)
        found: list[Parameters] = []
        # Of several open sessions of a device, the newest is the one that goes on.
        connected = {row[0]: (SessionRow._make(row[:WIDTH]), There._make(row[WIDTH:])) for row in rows}
        for mac, (row, before) in connected.items():
            if row.ip not in ips[mac] and is_news(row, before, instant):
                device = Device(context, transaction, mac, told)
                await device.change(row, **moved(row, ips[mac][-1], instant))
                found += device.noted
        opened = await _open(
            context, transaction, told, {mac: ips[mac] for mac in ips if mac not in connected}, instant
        )
        await transaction.note(found + opened)
        return Heartbeat(len(ips), sum(each["kind"] == CREATED for each in opened))

    return change


async def _open(
    context: Context, transaction: Transaction, told: Parameters, ips: dict[str, list[str]], at: int
) -> list[Parameters]:
    """Opens sessions of devices that are not connected; answers what the journal is to say of it."""
    rows = await transaction.fetch(ask.last_known(), {"macs": json.dumps(list(ips))})
    later = {mac for mac, *instants in rows if any(i is not None and i >= at for i in instants)}
    fresh = [mac for mac in ips if mac not in later]
    new = [
        {"mac": mac, "id": identity, "ip": ips[mac][-1], "connected_at": at, "disconnected_at": None,
         "connection_event": BEGUN, "disconnection_event": None, "info": "", "live": 1, "seen_at": at}
        for mac, identity in zip(fresh, new_ids(context.clock, len(fresh)), strict=True)
    ]  # fmt: skip
    found: list[Parameters] = []
    if new:
        await transaction.record(new)
        found += created(new, told)
    for mac in sorted(later):
        device = Device(context, transaction, mac, told)
        await _was_there(device, mac, ips[mac][-1], at)
        found += device.noted
    return found


async def _was_there(device: Device, mac: str, ip: str, at: int) -> None:
    """A sighting of an instant after which more is known."""
    before = await device.beside(at, BEFORE)
    if before is not None and before.state == MISSING_DISCONNECTION:
        for there in await device.last_seen(before):
            # Of a session of which the end was never seen: it may well have been that still.
            if is_news(before, there, at):
                await device.see(before, seen_at=at)
            return
    report = StartReport.model_construct(mac=mac, ip=ip, at=at, event_type=BEGUN, info="")
    await started(device, report, at, seen_at=at)


async def sweep(context: Context, unseen_for: Period) -> int:
    """Ends open sessions of devices that no heartbeat has told of for longer than a period, at their last sighting.

    Answers how many. Sessions that no heartbeat ever told of stay open.
    """
    before = latest(context, unseen_for).since
    told = context.told("write")

    async def change(transaction: Transaction) -> int | None:
        limits = {"before": before, "limit": BATCH}
        macs = [row[0] for row in await transaction.fetch(ask.unseen(), limits)]
        if not macs:
            return None
        await transaction.hold(macs, "change")
        # Looked at again now that nobody else can have seen them meanwhile.
        rows = await transaction.fetch(ask.unseen(), limits)
        held, found = set(macs), []
        for row, seen_at in ((SessionRow._make(row[:WIDTH]), row[WIDTH]) for row in rows if row[0] in held):
            device = Device(context, transaction, row.mac, told)
            at = max(seen_at, row.connected_at or seen_at)
            await device.change(row, disconnected_at=at, disconnection_event=ENDED)
            found += device.noted
        await transaction.note(found)
        return len(found)

    ended = 0
    # None of a batch may be left when it is looked at again; those of the next are still there.
    while (gone := await context.store.write(change)) is not None:
        ended += gone
    return ended
