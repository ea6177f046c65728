"""Sessions that are reported as they happen: started and stopped, in whatever order the reports arrive.

A report is of its instant, not of its arrival. What it says is fitted between the sessions that are known around that
instant, so that no end precedes its start and none of what was reported is lost. All that is done to a device is done one
after the other, whichever process does it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.sessions import Reported, new_ids, noted
from resolvers.validation.addresses import INFO_LENGTH
from resolvers.validation.clock import utc
from resolvers.validation.models import StartReport, StopReport
from storage.queries import live as ask
from storage.queries import sessions as known
from storage.queries import writes as changes
from storage.queries.sessions import WIDTH, SessionRow
from storage.store import CREATED, Change, Parameters, Transaction, created
from storage.tables import COMPLETE, MISSING, MISSING_CONNECTION, MISSING_DISCONNECTION

LAST_ID = 2**63 - 1
EVER = 2**61  # an instant after all others
BEGUN = "Connected"  # the event of a session that was opened by what was seen

AROUND = known.Listing(frozenset({"mac", "overlapping"}))
BEFORE = known.Listing(frozenset({"mac"}), after=True, limited=True)
AFTER = known.Listing(frozenset({"mac"}), descending=False, after=True, limited=True)


class There(NamedTuple):
    """The last instants at which a heartbeat saw a session, and at which a start told of it again."""

    seen_at: int | None
    told_at: int | None

    @property
    def last(self) -> int | None:
        """The later of them."""
        return max((at for at in self if at is not None), default=None)


class Device:
    """One device, held inside a transaction: what is known of it around an instant, and what is written down of it."""

    def __init__(self, context: Context, transaction: Transaction, mac: str, told: Parameters) -> None:
        self._context = context
        self._transaction = transaction
        self._mac = mac
        self._told = told
        self.noted: list[Parameters] = []

    async def open_at(self, at: int) -> tuple[SessionRow, There] | None:
        """Its open session, if that had begun by then, and when it was last there."""
        rows = await self._transaction.fetch(ask.open_of_device(), {"mac": self._mac, "at": at})
        return (SessionRow._make(rows[0][:WIDTH]), There._make(rows[0][WIDTH:])) if rows else None

    async def now(self) -> int:
        """The present; where another server's clock, which is ahead of ours, began the open session, the start of that."""
        found = await self.open_at(EVER)
        now = self._context.clock.now()
        return now if found is None else max(now, found[0].connected_at or now)

    async def around(self, at: int) -> list[SessionRow]:
        """Its sessions that hold the instant, or have an end there."""
        window = {"mac": self._mac, "since": at - 1, "until": at + 1, "now": EVER}
        rows = await self._transaction.fetch(known.sessions(AROUND, merges=self._context.store.merges), window)
        return [SessionRow._make(row[:WIDTH]) for row in rows]

    async def beside(self, at: int, listing: known.Listing) -> SessionRow | None:
        """Its last session that began by then, or its first that began later."""
        place = {"mac": self._mac, "after_key": at, "after_id": LAST_ID, "limit": 1}
        # Whatever a session's id, it stands before the last one in either order.
        question = known.sessions(listing, merges=self._context.store.merges)
        rows = await self._transaction.fetch(question, place)
        return SessionRow._make(rows[0][:WIDTH]) if rows else None

    async def last_seen(self, row: SessionRow) -> list[There]:
        """When a session was last there that was reported as it happened; empty for others, which are left as they are."""
        rows = await self._transaction.fetch(ask.last_seen(), {"mac": row.mac, "id": row.id})
        return list(map(There._make, rows))

    async def add(self, ip: str, **more: Any) -> SessionRow:
        """A new session."""
        (identity,) = new_ids(self._context.clock, 1)
        row = {"mac": self._mac, "id": identity, "ip": ip, "info": "", "live": 1, "seen_at": None,
               "connected_at": None, "disconnected_at": None,
               "connection_event": MISSING, "disconnection_event": None} | more  # fmt: skip
        await self._transaction.record([row])
        self.noted += created([row], self._told)
        return await self._row(identity)

    async def change(self, row: SessionRow, **columns: Any) -> SessionRow:
        """The session with some of its columns changed."""
        await self._write(row, columns)
        after = await self._row(row.id)
        self.noted.append(noted(self._told, "UPDATED", row, after))
        return after

    async def see(self, row: SessionRow, **columns: int) -> None:
        """The session was seen, or told of again; the journal does not tell of it."""
        await self._write(row, columns)

    async def _write(self, row: SessionRow, columns: dict[str, Any]) -> None:
        where = {"of": row.mac, "which": row.id}
        await self._transaction.execute(changes.update_session(*sorted(columns)), columns | where)

    async def _row(self, identity: int) -> SessionRow:
        (row,) = await self._transaction.fetch(known.by_id(), {"mac": self._mac, "id": identity})
        return SessionRow._make(row)


def moved(row: SessionRow, ip: str, at: int) -> dict[str, Any]:
    """The columns of a session whose device has another address from an instant on; its info tells of the old one."""
    when = utc(at).isoformat().replace("+00:00", "Z")
    note = f"IP was {row.ip} until {when}"
    info = f"{row.info}; {note}" if row.info else note
    # The journal has what no longer fits.
    return {"ip": ip, "info": info if len(info) <= INFO_LENGTH else row.info}


async def started(device: Device, report: StartReport, at: int, seen_at: int | None = None) -> Reported:
    """Opens a session, or answers the one in which the device was connected at that instant."""
    opening = {"connected_at": at, "connection_event": report.event_type}
    if (found := await device.open_at(at)) is not None:
        return Reported(await _again(device, *found, report.ip, at), f"MAC {report.mac} is connected already")
    for row in await device.around(at):
        if row.connected_at == at or (row.state == COMPLETE and at < (row.disconnected_at or 0)):
            return Reported(row, f"MAC {row.mac} was connected already")
    later = await device.beside(at, AFTER)
    if later is None:
        row = await device.add(report.ip, info=report.info, seen_at=seen_at, **opening)
    elif later.state == MISSING_CONNECTION and await device.last_seen(later):
        # Its end was reported first.
        row = await device.change(later, **opening)
    else:
        # A later session is known, so this one has ended; when, may still be reported.
        row = await device.add(report.ip, info=report.info, disconnection_event=MISSING, **opening)
    return Reported(row, f"Session started for MAC {row.mac}")


async def _again(device: Device, row: SessionRow, there: There, ip: str, at: int) -> SessionRow:
    """The open session of a device that is reported as connected once more."""
    # What is older than the last that is known of it, or is told again, does not say where the device is now.
    if row.ip != ip and is_news(row, there, at):
        row = await device.change(row, **moved(row, ip, at))
    later: dict[str, int] = {}
    if _is_after(at, row.connected_at, there.told_at):
        # A stop that comes late may be of an earlier instant: then this is where the device was back.
        later["told_at"] = at
    if there.seen_at is not None and there.seen_at < at:
        # Or a sweep would end it before this report.
        later["seen_at"] = at
    if later:
        await device.see(row, **later)
    return row


def is_news(row: SessionRow, there: There, at: int) -> bool:
    """Whether an instant is after the last at which a session is known to have been there."""
    return _is_after(at, row.connected_at, *there)


def _is_after(at: int, *instants: int | None) -> bool:
    return all(at > instant for instant in instants if instant is not None)


async def stopped(device: Device, report: StopReport, at: int) -> Reported:
    """Ends the session in which the device was connected; without one, records one whose connection was missed."""
    ending = {"disconnected_at": at, "disconnection_event": report.event_type}
    done = f"Session ended for MAC {report.mac}"
    for row in await device.around(at):
        if row.disconnected_at == at:
            return Reported(row, f"Session of MAC {row.mac} has ended already")
    if (found := await device.open_at(at)) is not None:
        return Reported(await _ended(device, found[0], at, ending), done)
    before = await device.beside(at, BEFORE)
    if before is not None and before.state == MISSING_DISCONNECTION and await device.last_seen(before):
        # It began between two sessions, and only now its end is known.
        return Reported(await _ended(device, before, at, ending), done)
    ip = report.ip
    if ip is None:
        near = before or await device.beside(at, AFTER)
        if near is None:
            raise InvalidInputError("ip", "is required, as no session of the device is known")
        ip = near.ip
    row = await device.add(ip, **ending)
    return Reported(row, f"Missing connection recorded for MAC {row.mac}")


async def _ended(device: Device, row: SessionRow, at: int, ending: Parameters) -> SessionRow:
    """Ends a session; if it was seen or told of after that, with what goes on of it as another."""
    ended = await device.change(row, **ending)
    for there in await device.last_seen(row):
        if there.last is not None and there.last > at:
            seen_at = there.seen_at if there.seen_at is not None and there.seen_at > at else None
            back = {"connected_at": there.last, "connection_event": BEGUN, "seen_at": seen_at}
            await device.add(row.ip, disconnection_event=row.disconnection_event, **back)
    return ended


async def start(context: Context, report: StartReport) -> Reported:
    """Carries out `started`, and returns when it is durable."""
    return await _carried_out(context, starting(context, report))


async def stop(context: Context, report: StopReport) -> Reported:
    """Carries out `stopped`, and returns when it is durable. Raises InvalidInputError."""
    return await _carried_out(context, stopping(context, report))


async def _carried_out(context: Context, change: Change[Reported]) -> Reported:
    done = await context.store.write(change)
    context.on_written(done.new)
    return done


def starting(context: Context, report: StartReport) -> Change[Reported]:
    """`started` as a change."""
    return _held(context, report, lambda device, at: started(device, report, at))


def stopping(context: Context, report: StopReport) -> Change[Reported]:
    """`stopped` as a change."""
    return _held(context, report, lambda device, at: stopped(device, report, at))


def _held(
    context: Context, report: StartReport | StopReport, work: Callable[[Device, int], Awaitable[Reported]]
) -> Change[Reported]:
    told = context.told("write")

    async def change(transaction: Transaction) -> Reported:
        device = Device(context, transaction, report.mac, told)
        await transaction.hold([report.mac])
        # Not before: of reports that come together, any may be the first to be carried out.
        done = await work(device, await device.now() if report.at is None else report.at)
        await transaction.note(device.noted)
        return done._replace(new=sum(each["kind"] == CREATED for each in device.noted))

    return change
