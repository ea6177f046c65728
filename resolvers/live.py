"""Live sessions: start and stop reports, which may arrive late and in any order.

A report describes the instant in it, not the instant of its arrival. It is fitted between the sessions around that
instant, so that no session ends before it starts and no report is lost. All changes of one device run one after the
other, whichever process makes them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.sessions import FAR_FUTURE, SessionResult, change_entry, new_session_ids
from resolvers.validation.addresses import INFO_LENGTH
from resolvers.validation.clock import format_utc
from resolvers.validation.models import StartReport, StopReport
from storage.queries import live as live_queries
from storage.queries import sessions as session_queries
from storage.queries import writes
from storage.store import CREATED, AuditStamp, Parameters, Transaction, UnitOfWork, created_entries
from storage.tables import (
    COMPLETE,
    MISSING_CONNECTION,
    MISSING_DISCONNECTION,
    MISSING_EVENT,
    ROW_WIDTH,
    SESSION_DEFAULTS,
    SessionRow,
)

MAX_ID = 2**63 - 1
CONNECTED_EVENT = "Connected"  # the default connection event

OVERLAPPING = session_queries.ListQuery(frozenset({"mac", "overlapping"}))
LAST_UNTIL = session_queries.ListQuery(frozenset({"mac"}), after=True, limited=True)
FIRST_AFTER = session_queries.ListQuery(frozenset({"mac"}), descending=False, after=True, limited=True)


class LastSeen(NamedTuple):
    """The instants of the last heartbeat and of the last repeated start report of a session."""

    last_seen_at: int | None
    last_reported_at: int | None

    @property
    def latest(self) -> int | None:
        """The later of both."""
        return max((at for at in self if at is not None), default=None)


class DeviceTimeline:
    """The sessions of one device inside a transaction that locks it. `entries` collects the journal entries."""

    def __init__(self, context: Context, transaction: Transaction, mac: str, stamp: AuditStamp) -> None:
        self._context = context
        self._transaction = transaction
        self._mac = mac
        self._stamp = stamp
        self.entries: list[Parameters] = []

    async def open_session_at(self, at: int) -> tuple[SessionRow, LastSeen] | None:
        """Return the open session if it started by then, and when it was last seen."""
        rows = await self._transaction.fetch(live_queries.open_session(), {"mac": self._mac, "at": at})
        return (SessionRow._make(rows[0][:ROW_WIDTH]), LastSeen._make(rows[0][ROW_WIDTH:])) if rows else None

    async def current_instant(self) -> int:
        """Return now. If a server whose clock is ahead started the open session, return the start of that session."""
        open_session = await self.open_session_at(FAR_FUTURE)
        now = self._context.clock.now()
        return now if open_session is None else max(now, open_session[0].connected_at or now)

    async def sessions_at(self, at: int) -> list[SessionRow]:
        """Return the sessions that contain the instant or have an end at it."""
        window = {"mac": self._mac, "since": at - 1, "until": at + 1, "now": FAR_FUTURE}
        return await self._list(OVERLAPPING, window)

    async def adjacent(self, at: int, query: session_queries.ListQuery) -> SessionRow | None:
        """Return the last session that started by then (`LAST_UNTIL`), or the first that started later (`FIRST_AFTER`)."""
        # MAX_ID comes after every id, so sessions that start at the instant count as earlier in both orders.
        rows = await self._list(query, {"mac": self._mac, "after_key": at, "after_id": MAX_ID, "limit": 1})
        return rows[0] if rows else None

    async def _list(self, query: session_queries.ListQuery, parameters: Parameters) -> list[SessionRow]:
        statement = session_queries.list_sessions(query, merge_branches=self._context.store.merges_ordered_unions)
        rows = await self._transaction.fetch(statement, parameters)
        return [SessionRow._make(row[:ROW_WIDTH]) for row in rows]

    async def last_seen(self, row: SessionRow) -> list[LastSeen]:
        """Return when a live session was last seen, as a list of one. Return an empty list for any other session."""
        rows = await self._transaction.fetch(live_queries.live_timestamps(), {"mac": row.mac, "id": row.id})
        return list(map(LastSeen._make, rows))

    async def add(self, ip: str, **columns: Any) -> SessionRow:
        """Create a live session with the given columns."""
        (session_id,) = new_session_ids(self._context.clock, 1)
        row = {**SESSION_DEFAULTS, "mac": self._mac, "id": session_id, "ip": ip, "info": "", "live": 1,
               "connection_event": MISSING_EVENT} | columns  # fmt: skip
        await self._transaction.insert_sessions([row])
        self.entries += created_entries([row], self._stamp)
        return await self._fetch(session_id)

    async def update(self, row: SessionRow, **columns: Any) -> SessionRow:
        """Update columns of a session and return the result."""
        await self.set_columns(row, **columns)
        after = await self._fetch(row.id)
        self.entries.append(change_entry(self._stamp, "UPDATED", row, after))
        return after

    async def set_columns(self, row: SessionRow, **columns: Any) -> None:
        """Update columns without a journal entry, such as when a session was last seen."""
        key = {"where_mac": row.mac, "where_id": row.id}
        await self._transaction.execute(writes.update_session(*sorted(columns)), columns | key)

    async def _fetch(self, session_id: int) -> SessionRow:
        (row,) = await self._transaction.fetch(session_queries.session_by_id(), {"mac": self._mac, "id": session_id})
        return SessionRow._make(row)


def with_new_ip(row: SessionRow, ip: str, at: int) -> dict[str, Any]:
    """Return the columns of a session whose device has a new address since an instant. `info` keeps the old one."""
    note = f"IP was {row.ip} until {format_utc(at)}"
    info = f"{row.info}; {note}" if row.info else note
    # If the note does not fit, only the journal keeps the old address.
    return {"ip": ip, "info": info if len(info) <= INFO_LENGTH else row.info}


async def apply_start(
    timeline: DeviceTimeline, report: StartReport, at: int, last_seen_at: int | None = None
) -> SessionResult:
    """Open a session, or return the one in which the device was connected at that instant."""
    start = {"connected_at": at, "connection_event": report.event_type}
    if (open_session := await timeline.open_session_at(at)) is not None:
        row = await _confirm_open(timeline, *open_session, report.ip, at)
        return SessionResult(row, f"MAC {report.mac} is connected already")
    for row in await timeline.sessions_at(at):
        if row.connected_at == at or (row.state == COMPLETE and at < (row.disconnected_at or 0)):
            return SessionResult(row, f"MAC {row.mac} was connected already")
    later = await timeline.adjacent(at, FIRST_AFTER)
    if later is None:
        row = await timeline.add(report.ip, info=report.info, last_seen_at=last_seen_at, **start)
    elif later.state == MISSING_CONNECTION and await timeline.last_seen(later):
        # The stop report arrived first.
        row = await timeline.update(later, **start)
    else:
        # A later session exists, so this one has ended. Its stop report may still arrive.
        row = await timeline.add(report.ip, info=report.info, disconnection_event=MISSING_EVENT, **start)
    return SessionResult(row, f"Session started for MAC {row.mac}")


async def _confirm_open(timeline: DeviceTimeline, row: SessionRow, last_seen: LastSeen, ip: str, at: int) -> SessionRow:
    """Apply a repeated start report to the open session."""
    # A report that is older than the last one, or repeats it, does not have the present address.
    if row.ip != ip and is_newer(row, last_seen, at):
        row = await timeline.update(row, **with_new_ip(row, ip, at))
    columns: dict[str, int] = {}
    if _is_after(at, row.connected_at, last_seen.last_reported_at):
        # If a stop report about an earlier instant arrives, the device was back from here on.
        columns["last_reported_at"] = at
    if last_seen.last_seen_at is not None and last_seen.last_seen_at < at:
        # Otherwise a sweep would end the session before this report.
        columns["last_seen_at"] = at
    if columns:
        await timeline.set_columns(row, **columns)
    return row


def is_newer(row: SessionRow, last_seen: LastSeen, at: int) -> bool:
    """Return whether an instant is after the start and all reports of a session."""
    return _is_after(at, row.connected_at, *last_seen)


def _is_after(at: int, *instants: int | None) -> bool:
    return all(at > instant for instant in instants if instant is not None)


async def apply_stop(timeline: DeviceTimeline, report: StopReport, at: int) -> SessionResult:
    """End the session in which the device was connected. If there is none, record one with a missing connection."""
    end = {"disconnected_at": at, "disconnection_event": report.event_type}
    message = f"Session ended for MAC {report.mac}"
    for row in await timeline.sessions_at(at):
        if row.disconnected_at == at:
            return SessionResult(row, f"Session of MAC {row.mac} has ended already")
    if (open_session := await timeline.open_session_at(at)) is not None:
        return SessionResult(await _end_session(timeline, open_session[0], at, end), message)
    before = await timeline.adjacent(at, LAST_UNTIL)
    if before is not None and before.state == MISSING_DISCONNECTION and await timeline.last_seen(before):
        # Its start report arrived late, and this is its end.
        return SessionResult(await _end_session(timeline, before, at, end), message)
    ip = report.ip
    if ip is None:
        nearest = before or await timeline.adjacent(at, FIRST_AFTER)
        if nearest is None:
            raise InvalidInputError("ip", "is required, because the device has no session yet")
        ip = nearest.ip
    row = await timeline.add(ip, **end)
    return SessionResult(row, f"Missing connection recorded for MAC {row.mac}")


async def _end_session(timeline: DeviceTimeline, row: SessionRow, at: int, end: Parameters) -> SessionRow:
    """End a session. If the device was seen after that, create a second session that starts then."""
    ended = await timeline.update(row, **end)
    for last_seen in await timeline.last_seen(row):
        if last_seen.latest is not None and last_seen.latest > at:
            heartbeat_at = last_seen.last_seen_at
            last_seen_at = heartbeat_at if heartbeat_at is not None and heartbeat_at > at else None
            start = {
                "connected_at": last_seen.latest,
                "connection_event": CONNECTED_EVENT,
                "last_seen_at": last_seen_at,
            }
            await timeline.add(row.ip, disconnection_event=row.disconnection_event, **start)
    return ended


async def start(context: Context, report: StartReport) -> SessionResult:
    """Apply a start report. Return after the commit."""
    return await _run(context, start_transaction(context, report))


async def stop(context: Context, report: StopReport) -> SessionResult:
    """Apply a stop report. Return after the commit. Raise InvalidInputError if the IP is needed and missing."""
    return await _run(context, stop_transaction(context, report))


async def _run(context: Context, unit_of_work: UnitOfWork[SessionResult]) -> SessionResult:
    result = await context.store.write(unit_of_work)
    context.on_written(result.created)
    return result


def start_transaction(context: Context, report: StartReport) -> UnitOfWork[SessionResult]:
    """Return the unit of work that applies a start report."""
    return _report_transaction(context, report, lambda timeline, at: apply_start(timeline, report, at))


def stop_transaction(context: Context, report: StopReport) -> UnitOfWork[SessionResult]:
    """Return the unit of work that applies a stop report."""
    return _report_transaction(context, report, lambda timeline, at: apply_stop(timeline, report, at))


def _report_transaction(
    context: Context,
    report: StartReport | StopReport,
    apply: Callable[[DeviceTimeline, int], Awaitable[SessionResult]],
) -> UnitOfWork[SessionResult]:
    stamp = context.authorize("write")

    async def transact(transaction: Transaction) -> SessionResult:
        timeline = DeviceTimeline(context, transaction, report.mac, stamp)
        await transaction.lock_devices([report.mac])
        # Read the clock after the lock: concurrent reports run in any order.
        result = await apply(timeline, await timeline.current_instant() if report.at is None else report.at)
        await transaction.write_journal(timeline.entries)
        return result._replace(created=sum(entry["kind"] == CREATED for entry in timeline.entries))

    return transact
