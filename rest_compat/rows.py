"""What goes out over REST: ses_ rows, calendar entries and event rows, in the wall-clock time of the server's zone."""

from ipaddress import ip_address
from typing import Any

import orjson

from resolvers import wording
from resolvers.clock import Clock
from resolvers.sessions import lasted
from storage.events import NEW_DEVICE, NamedEventRow
from storage.sessions import SessionRow, SpannedRow
from storage.tables import CONNECTED, MISSING, SECOND

UNKNOWN = "..."


def duration(microseconds: int | None) -> str:
    """`2h 0m`; from one day on `1d 2h 0m`; `...` where it is not known."""
    if microseconds is None:
        return UNKNOWN
    minutes = microseconds // (60 * SECOND)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{days}d {hours}h {minutes % 60}m" if days else f"{hours}h {minutes % 60}m"


def _connection(row: SessionRow | NamedEventRow, clock: Clock) -> str:
    return MISSING if row.connected_at is None else wording.wall_clock(row.connected_at, clock)


def _disconnection(row: SessionRow | NamedEventRow, clock: Clock) -> str:
    if row.disconnected_at is not None:
        return wording.wall_clock(row.disconnected_at, clock)
    return UNKNOWN if row.state == CONNECTED else MISSING


def _info(row: SessionRow | NamedEventRow) -> str:
    if row.connection_event != NEW_DEVICE:
        return row.info
    return f"{NEW_DEVICE}: {row.info}" if row.info else NEW_DEVICE


def session(row: SessionRow | NamedEventRow, clock: Clock, now: int) -> dict[str, Any]:
    """A row of a list of sessions."""
    return {
        "ses_MAC": row.mac,
        "ses_Connection": _connection(row, clock),
        "ses_Disconnection": _disconnection(row, clock),
        "ses_Duration": duration(lasted(row, now)),
        "ses_IP": row.ip,
        "ses_Info": _info(row),
    }


def calendar_entry(row: SpannedRow, clock: Clock) -> dict[str, Any]:
    """An entry as FullCalendar reads it."""
    return {
        "resourceId": row.mac,
        "title": wording.TITLE,
        "start": clock.local(row.drawn_from).strftime("%Y-%m-%dT%H:%M:%S"),
        "end": clock.local(row.drawn_until).strftime("%Y-%m-%dT%H:%M:%S"),
        "color": wording.colour(row),
        "tooltip": wording.tooltip(row, clock),
        "className": wording.CLASS_NAME,
    }


def event(row: NamedEventRow, clock: Clock, now: int) -> dict[str, Any]:
    """A row of session-events: its session, and the event unless the row is a session."""
    occurred = None if row.occurred_at is None else wording.wall_clock(row.occurred_at, clock)
    return session(row, clock, now) | {"eve_DateTime": occurred, "eve_EventType": row.event_type}


def table_row(row: NamedEventRow, clock: Clock, now: int) -> list[Any]:
    """The 15 positions that NetAlertX's table reads."""
    length = lasted(row, now)
    return [
        wording.wall_clock(row.key, clock),
        row.name,
        row.owner,
        None if row.occurred_at is None else wording.wall_clock(row.occurred_at, clock),
        row.event_type,
        _connection(row, clock),
        _disconnection(row, clock),
        duration(length),
        None if length is None else length // SECOND,
        row.ip,
        # An IPv6 address is a number beyond 64 bits, which JSON can write and the encoder cannot.
        orjson.Fragment(str(int(ip_address(row.ip)))),
        _info(row),
        int(row.state == CONNECTED),
        row.mac,
        0,
    ]
