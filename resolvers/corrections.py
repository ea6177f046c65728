"""Correcting single sessions, and what was changed of them: every correction stays in the journal."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError
from resolvers.live import Device
from resolvers.sessions import noted, written
from resolvers.validation.clock import utc
from resolvers.validation.models import EndAt, NewSession, read
from storage.queries import journal, live
from storage.queries import sessions as known
from storage.queries import writes as changes
from storage.queries.sessions import SessionRow
from storage.store import Parameters, Purpose, Transaction
from storage.tables import CONNECTED, MISSING, MISSING_DISCONNECTION

CHANGED = ("ip", "connected_at", "disconnected_at", "connection_event", "disconnection_event", "info")


class Revision(NamedTuple):
    """A change of a session: when (microseconds), what, by whom; before and after, which is None where it was deleted."""

    at: int
    kind: journal.Kind
    who: str
    before: SessionRow
    after: SessionRow | None


async def update(context: Context, mac: str, identity: int, given: Mapping[str, Any]) -> SessionRow:
    """Changes what is given of a session, which must be one that could be created so. Raises NotFoundError."""
    told = context.told("admin")

    async def change(transaction: Transaction) -> SessionRow:
        row = await _held(transaction, mac, identity)
        new = read(NewSession, _as_reported(row, given), context.clock)
        columns = {name: value for name, value in written(new, row.id).items() if name in CHANGED}
        if row.state != CONNECTED and columns["disconnection_event"] is None:
            if await transaction.fetch(live.open_beside(), {"mac": mac, "id": identity}):
                raise InvalidInputError(
                    "end_time", "cannot be taken away, as the device is connected; end that session first"
                )
            # An old sighting would have it ended at once.
            columns |= {"seen_at": None, "told_at": None}
        return await _changed(context, transaction, row, told, columns)

    return await context.store.write(change)


def _as_reported(row: SessionRow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The session as one would report it anew, with what is given in place of what was."""
    ends = {"start_time": row.connected_at, "end_time": row.disconnected_at}
    was: dict[str, Any] = {name: None if at is None else utc(at).isoformat() for name, at in ends.items()}
    was |= {"mac": row.mac, "ip": row.ip, "info": row.info}
    was |= {"event_type_conn": row.connection_event, "event_type_disc": row.disconnection_event}
    for end, event in (("start_time", "event_type_conn"), ("end_time", "event_type_disc")):
        # Whoever tells an end that was never seen need not say that it was seen.
        if was[event] == MISSING and given.get(end) is not None:
            was[event] = None
    return {**was, **given}


async def end(context: Context, mac: str, identity: int, how: EndAt) -> SessionRow:
    """Ends a session of which no end is known, now unless told. Raises NotFoundError, InvalidInputError."""
    told = context.told("admin")
    at = told["at"] if how.at is None else how.at

    async def change(transaction: Transaction) -> SessionRow:
        row = await _held(transaction, mac, identity)
        if row.state not in (CONNECTED, MISSING_DISCONNECTION):
            raise InvalidInputError("id", "is of a session that has ended; change its end by updateSession")
        if row.connected_at is not None and at < row.connected_at:
            raise InvalidInputError("at", "is before the session's start")
        ending = {"disconnected_at": at, "disconnection_event": how.event_type}
        return await _changed(context, transaction, row, told, ending)

    return await context.store.write(change)


async def delete(context: Context, mac: str, identity: int) -> SessionRow:
    """Deletes one session; answers what it was. Raises NotFoundError."""
    told = context.told("admin")

    async def change(transaction: Transaction) -> SessionRow:
        row = await _held(transaction, mac, identity, "remove")
        await transaction.execute(changes.delete_session(), {"mac": mac, "id": identity})
        await transaction.execute(changes.delete_bare_device(), {"mac": mac})
        await transaction.note([noted(told, "DELETED", row, None)])
        return row

    return await context.store.write(change)


async def history(context: Context, mac: str, identity: int) -> list[Revision]:
    """What was changed of a session, oldest first; also of one that was deleted."""
    found = await context.store.fetch(journal.history(), {"mac": mac, "id": identity})
    return [Revision(at, kind, who, _row(before), _row(after)) for at, kind, who, before, after in found]


def _row(text: str | None) -> Any:
    return None if text is None else SessionRow._make(json.loads(text))


async def _held(transaction: Transaction, mac: str, identity: int, purpose: Purpose = "change") -> SessionRow:
    await transaction.hold([mac], purpose)
    rows = await transaction.fetch(known.by_id(), {"mac": mac, "id": identity})
    if not rows:
        raise NotFoundError("id: no session has this id; it may have been deleted")
    return SessionRow._make(rows[0])


async def _changed(
    context: Context, transaction: Transaction, row: SessionRow, told: Parameters, columns: dict[str, Any]
) -> SessionRow:
    if all(getattr(row, name, None) == value for name, value in columns.items()):
        return row
    device = Device(context, transaction, row.mac, told)
    after = await device.change(row, **columns)
    await transaction.note(device.noted)
    return after
