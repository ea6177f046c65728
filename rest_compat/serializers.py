"""Serializers of sessions, calendar entries and events.

Each returns JSON text in one step instead of a dictionary to encode, because lists are long. Most values need no escaping,
and most others are in a cache of escaped strings.
"""

from functools import lru_cache

import orjson

from resolvers import calendar_text
from resolvers.constants import CONNECTED, MISSING_EVENT, NEW_DEVICE, SECOND
from resolvers.events import EventRow
from resolvers.sessions import CalendarRow, SessionRow, duration
from resolvers.validation.clock import Clock

UNKNOWN = "..."
MINUTE = 60 * SECOND
CACHE_SIZE, MAX_CACHED_LENGTH = 4096, 200  # escaped strings, and the characters of the longest


@lru_cache(CACHE_SIZE)
def _cached_json_string(text: str) -> str:
    return orjson.dumps(text).decode()


def json_string(text: str | None) -> str:
    """Return a text as a JSON string, or null for None."""
    if text is None:
        return "null"
    return _cached_json_string(text) if len(text) <= MAX_CACHED_LENGTH else orjson.dumps(text).decode()


def json_time(instant: int | None, clock: Clock) -> str:
    """Return an instant as a JSON string like `"2025-08-01 10:00"`, or null for None."""
    return "null" if instant is None else f'"{clock.format_minutes(instant)}"'


@lru_cache(CACHE_SIZE)
def _format_minutes(minutes: int) -> str:
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h {minutes}m" if days else f"{hours}h {minutes}m"


def format_duration(microseconds: int | None) -> str:
    """Return a duration like `2h 0m` or `1d 2h 0m`, or `...` for None."""
    return UNKNOWN if microseconds is None else _format_minutes(microseconds // MINUTE)


def connection_text(row: SessionRow, clock: Clock) -> str:
    """Return the time of the connection, or `<missing event>`."""
    return MISSING_EVENT if row.connected_at is None else clock.format_minutes(row.connected_at)


def disconnection_text(row: SessionRow, clock: Clock) -> str:
    """Return the time of the disconnection, `...` if the device is connected, or `<missing event>`."""
    if row.disconnected_at is not None:
        return clock.format_minutes(row.disconnected_at)
    return UNKNOWN if row.state == CONNECTED else MISSING_EVENT


def info_text(row: SessionRow) -> str:
    """Return the info of a session, prefixed with `New Device` if that was its connection event."""
    if row.connection_event != NEW_DEVICE:
        return row.info
    return f"{NEW_DEVICE}, {row.info}" if row.info else NEW_DEVICE


_SESSION = (
    '{"ses_MAC":"%s","ses_Connection":"%s","ses_Disconnection":"%s","ses_Duration":"%s","ses_IP":"%s","ses_Info":%s%s'
)


def write_session(row: SessionRow, clock: Clock, now: int, suffix: str = "}") -> str:
    """Return a session as a JSON object with six keys. `suffix` closes the object, after further keys if any."""
    return _SESSION % (
        row.mac,
        connection_text(row, clock),
        disconnection_text(row, clock),
        format_duration(duration(row, now)),
        row.ip,
        json_string(info_text(row)),
        suffix,
    )


def write_event(row: EventRow, clock: Clock, now: int) -> str:
    """Return a session and its event as a JSON object. Without an event, the keys of the event are null."""
    event = f',"eve_DateTime":{json_time(row.occurred_at, clock)},"eve_EventType":{json_string(row.event_type)}}}'
    return write_session(row.session, clock, now, event)


_ENTRY = '{"resourceId":"%s","title":"%s","start":"%s","end":"%s","color":"%s","tooltip":%s,"className":"%s"}'


def write_calendar_entry(row: CalendarRow, clock: Clock) -> str:
    """Return a session as a JSON object of the calendar, drawn between the two instants of the row."""
    session = row.session
    # A tooltip consists of times, addresses and constant words. Only its line ends need escaping.
    tooltip = '"' + calendar_text.tooltip(session, clock).replace("\n", "\\n") + '"'
    return _ENTRY % (
        session.mac,
        calendar_text.TITLE,
        clock.format_seconds(row.drawn_from),
        clock.format_seconds(row.drawn_until),
        calendar_text.color(session),
        tooltip,
        calendar_text.CLASS_NAME,
    )
