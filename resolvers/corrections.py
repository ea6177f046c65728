"""Corrections of single sessions, and their history. The journal keeps every correction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError
from resolvers.live import DeviceTimeline
from resolvers.sessions import build_row, change_entry
from resolvers.validation.clock import to_datetime
from resolvers.validation.models import EndInput, NewSession, validate
from storage.queries import journal, writes
from storage.queries import live as live_queries
from storage.queries import sessions as session_queries
from storage.store import AuditStamp, LockPurpose, Transaction
from storage.tables import CONNECTED, MISSING_DISCONNECTION, MISSING_EVENT, SessionRow

# The fields of `NewSession` that are not named like their columns.
FIELD_NAMES = {
    "connected_at": "start_time",
    "disconnected_at": "end_time",
    "connection_event": "event_type_conn",
    "disconnection_event": "event_type_disc",
}
CORRECTABLE_COLUMNS = tuple(name for name in SessionRow._fields if name not in ("mac", "id", "state"))


class Revision(NamedTuple):
    """A change of a session: time in microseconds, kind, actor, and the session before and after (None if deleted)."""

    at: int
    kind: journal.JournalKind
    who: str
    before: SessionRow
    after: SessionRow | None


async def update(context: Context, mac: str, session_id: int, changes: Mapping[str, Any]) -> SessionRow:
    """Update the given fields of a session. The result must pass the same validation as a new session.

    Raise NotFoundError or InvalidInputError.
    """
    stamp = context.authorize("admin")

    async def transact(transaction: Transaction) -> SessionRow:
        row = await _lock_session(transaction, mac, session_id)
        new = validate(NewSession, _as_input(row, changes), context.clock)
        columns = {name: value for name, value in build_row(new, row.id).items() if name in CORRECTABLE_COLUMNS}
        if row.state != CONNECTED and columns["disconnection_event"] is None:
            if await transaction.fetch(live_queries.other_open_session(), {"mac": mac, "id": session_id}):
                raise InvalidInputError(
                    "end_time",
                    "cannot be removed, because the device has another open session. End that session first.",
                )
            # A sweep would end the reopened session at its old heartbeat.
            columns |= {"last_seen_at": None, "last_reported_at": None}
        return await _update_session(context, transaction, row, stamp, columns)

    return await context.store.write(transact)


def _as_input(row: SessionRow, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input that would create the session with the changes applied."""
    old: dict[str, Any] = {FIELD_NAMES.get(name, name): getattr(row, name) for name in ("mac", *CORRECTABLE_COLUMNS)}
    for end in ("start_time", "end_time"):
        old[end] = None if old[end] is None else to_datetime(old[end]).isoformat()
    for end, event in (("start_time", "event_type_conn"), ("end_time", "event_type_disc")):
        # A time for a missing end implies the default event type.
        if old[event] == MISSING_EVENT and changes.get(end) is not None:
            old[event] = None
    return {**old, **changes}


async def end(context: Context, mac: str, session_id: int, end_input: EndInput) -> SessionRow:
    """End a session that has no end yet (default: now). Raise NotFoundError or InvalidInputError."""
    stamp = context.authorize("admin")
    at = stamp["at"] if end_input.at is None else end_input.at

    async def transact(transaction: Transaction) -> SessionRow:
        row = await _lock_session(transaction, mac, session_id)
        if row.state not in (CONNECTED, MISSING_DISCONNECTION):
            raise InvalidInputError("id", "belongs to a session that has ended. Change its end with updateSession.")
        if row.connected_at is not None and at < row.connected_at:
            raise InvalidInputError("at", "is before the session's start. Use a later time.")
        columns = {"disconnected_at": at, "disconnection_event": end_input.event_type}
        return await _update_session(context, transaction, row, stamp, columns)

    return await context.store.write(transact)


async def delete(context: Context, mac: str, session_id: int) -> SessionRow:
    """Delete one session and return it. Raise NotFoundError."""
    stamp = context.authorize("admin")

    async def transact(transaction: Transaction) -> SessionRow:
        row = await _lock_session(transaction, mac, session_id, "remove")
        await transaction.execute(writes.delete_session(), {"mac": mac, "id": session_id})
        await transaction.execute(writes.delete_unused_device(), {"mac": mac})
        await transaction.write_journal([change_entry(stamp, "DELETED", row, None)])
        return row

    return await context.store.write(transact)


async def history(context: Context, mac: str, session_id: int) -> list[Revision]:
    """Return the changes of a session, oldest first, also if it was deleted."""
    rows = await context.store.fetch(journal.session_history(), {"mac": mac, "id": session_id})
    return [
        Revision(at, kind, who, journal.read_snapshot(before), None if after is None else journal.read_snapshot(after))
        for at, kind, who, before, after in rows
    ]


async def _lock_session(
    transaction: Transaction, mac: str, session_id: int, purpose: LockPurpose = "change"
) -> SessionRow:
    await transaction.lock_devices([mac], purpose)
    rows = await transaction.fetch(session_queries.session_by_id(), {"mac": mac, "id": session_id})
    if not rows:
        raise NotFoundError("id: no session has this id. It may have been deleted.")
    return SessionRow._make(rows[0])


async def _update_session(
    context: Context, transaction: Transaction, row: SessionRow, stamp: AuditStamp, columns: dict[str, Any]
) -> SessionRow:
    if all(getattr(row, name, None) == value for name, value in columns.items()):
        return row
    timeline = DeviceTimeline(context, transaction, row.mac, stamp)
    after = await timeline.update(row, **columns)
    await transaction.write_journal(timeline.entries)
    return after
