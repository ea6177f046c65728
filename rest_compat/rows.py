"""The last move of every endpoint: sessions, calendar entries and events as the documented API writes them."""

from ipaddress import ip_address
from typing import Any

import orjson

from resolvers import wording
from resolvers.clock import Clock
from resolvers.sessions import lasted
from storage.events import NEW_DEVICE, EventRow
from storage.sessions import SessionRow, SpannedRow
from storage.tables import CONNECTED, MISSING, SECOND

UNKNOWN = "..."


def duration(microseconds: int | None) -> str:
    """`2h 0m`, from one day on `1d 2h 0m`; `...` where an end is missing."""
    if microseconds is None:
        return UNKNOWN
    hours, minutes = divmod(microseconds // SECOND // 60, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h {minutes}m" if days else f"{hours}h {minutes}m"


def _connection(row: SessionRow, clock: Clock) -> str:
    return MISSING if row.connected_at is None else wording.wall_clock(row.connected_at, clock)


def _disconnection(row: SessionRow, clock: Clock) -> str:
    if row.disconnected_at is not None:
        return wording.wall_clock(row.disconnected_at, clock)
    return UNKNOWN if row.state == CONNECTED else MISSING


def _info(row: SessionRow) -> str:
    """The session's info, after the mark of one that a new device opened."""
    if row.connection_event != NEW_DEVICE:
        return row.info
    return f"{NEW_DEVICE}, {row.info}" if row.info else NEW_DEVICE


def session(row: SessionRow, clock: Clock, now: int) -> dict[str, Any]:
    """The six keys of a session."""
    return {
        "ses_MAC": row.mac,
        "ses_Connection": _connection(row, clock),
        "ses_Disconnection": _disconnection(row, clock),
        "ses_Duration": duration(lasted(row, now)),
        "ses_IP": row.ip,
        "ses_Info": _info(row),
    }


def calendar(row: SpannedRow, clock: Clock) -> dict[str, Any]:
    """A calendar entry, drawn between the two instants that were found for it."""
    return {
        "resourceId": row.session.mac,
        "title": wording.TITLE,
        "start": _seconds(row.drawn_from, clock),
        "end": _seconds(row.drawn_until, clock),
        "color": wording.colour(row.session),
        "tooltip": wording.tooltip(row.session, clock),
        "className": wording.CLASS_NAME,
    }


def _seconds(instant: int, clock: Clock) -> str:
    return clock.local(instant).strftime("%Y-%m-%dT%H:%M:%S")


def event(row: EventRow, clock: Clock, now: int) -> dict[str, Any]:
    """The six keys of the session, then its event; null in a row that is a session."""
    occurred = None if row.occurred_at is None else wording.wall_clock(row.occurred_at, clock)
    return session(row.session, clock, now) | {"eve_DateTime": occurred, "eve_EventType": row.event_type}


def table(row: EventRow, clock: Clock, now: int) -> tuple[Any, ...]:
    """The 15 positions that NetAlertX's table reads."""
    stay = row.session
    microseconds = lasted(stay, now)
    return (
        wording.wall_clock(row.key, clock),
        row.name,
        row.owner,
        None if row.occurred_at is None else wording.wall_clock(row.occurred_at, clock),
        row.event_type,
        _connection(stay, clock),
        _disconnection(stay, clock),
        duration(microseconds),
        None if microseconds is None else microseconds // SECOND,
        stay.ip,
        # JSON has numbers of any length, but the encoder stops at 64 bits; an IPv6 address is written as its digits.
        orjson.Fragment(str(int(ip_address(stay.ip)))),
        _info(stay),
        int(stay.state == CONNECTED),
        stay.mac,
        0,
    )
