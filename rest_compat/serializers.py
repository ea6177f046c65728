"""The last move of every endpoint: sessions, calendar entries and events as the documented API writes them.

A row is written as JSON at once, in one pass: a list is long, its rows are alike, and most of what they hold needs no
escaping (addresses, times) or was escaped before (event types, most infos).
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address

import orjson

from resolvers import calendar_text as wording
from resolvers.sessions import lasted
from resolvers.validation.clock import Clock
from storage.queries.events import NEW_DEVICE, EventRow
from storage.queries.sessions import SessionRow, SpannedRow
from storage.tables import CONNECTED, MISSING, SECOND

UNKNOWN = "..."
MINUTE = 60 * SECOND
KEPT, SHORT = 4096, 200  # written texts that are kept, and how long one of them may be

Writer = Callable[[EventRow, Clock, int], str]


@lru_cache(KEPT)
def _kept(text: str) -> str:
    return orjson.dumps(text).decode()


def quoted(text: str | None) -> str:
    """A text in JSON."""
    if text is None:
        return "null"
    return _kept(text) if len(text) <= SHORT else orjson.dumps(text).decode()


@lru_cache(KEPT)
def _length(minutes: int) -> str:
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h {minutes}m" if days else f"{hours}h {minutes}m"


def duration(microseconds: int | None) -> str:
    """`2h 0m`, from one day on `1d 2h 0m`; `...` where an end is missing."""
    return UNKNOWN if microseconds is None else _length(microseconds // MINUTE)


def _connection(row: SessionRow, clock: Clock) -> str:
    return MISSING if row.connected_at is None else clock.minutes(row.connected_at)


def _disconnection(row: SessionRow, clock: Clock) -> str:
    if row.disconnected_at is not None:
        return clock.minutes(row.disconnected_at)
    return UNKNOWN if row.state == CONNECTED else MISSING


def _info(row: SessionRow) -> str:
    """The session's info, after the mark of one that a new device opened."""
    if row.connection_event != NEW_DEVICE:
        return row.info
    return f"{NEW_DEVICE}, {row.info}" if row.info else NEW_DEVICE


_SESSION = (
    '{"ses_MAC":"%s","ses_Connection":"%s","ses_Disconnection":"%s","ses_Duration":"%s","ses_IP":"%s","ses_Info":%s%s'
)


def session(row: SessionRow, clock: Clock, now: int, more: str = "}") -> str:
    """The six keys of a session, and what follows them."""
    return _SESSION % (
        row.mac,
        _connection(row, clock),
        _disconnection(row, clock),
        duration(lasted(row, now)),
        row.ip,
        quoted(_info(row)),
        more,
    )


_ENTRY = '{"resourceId":"%s","title":"%s","start":"%s","end":"%s","color":"%s","tooltip":%s,"className":"%s"}'


def calendar(row: SpannedRow, clock: Clock) -> str:
    """A calendar entry, drawn between the two instants that were found for it."""
    stay = row.session
    # All that a tooltip holds is times, addresses and fixed words; only its line ends need escaping.
    tooltip = '"' + wording.tooltip(stay, clock).replace("\n", "\\n") + '"'
    return _ENTRY % (
        stay.mac,
        wording.TITLE,
        clock.seconds(row.drawn_from),
        clock.seconds(row.drawn_until),
        wording.colour(stay),
        tooltip,
        wording.CLASS_NAME,
    )


def _time(instant: int | None, clock: Clock) -> str:
    return "null" if instant is None else f'"{clock.minutes(instant)}"'


def event(row: EventRow, clock: Clock, now: int) -> str:
    """The six keys of the session, then its event; null in a row that is a session."""
    more = f',"eve_DateTime":{_time(row.occurred_at, clock)},"eve_EventType":{quoted(row.event_type)}}}'
    return session(row.session, clock, now, more)


def table(row: EventRow, clock: Clock, now: int) -> str:
    """The 15 positions that NetAlertX's table reads."""
    stay = row.session
    microseconds = lasted(stay, now)
    positions = (
        _time(row.key, clock),
        quoted(row.name),
        quoted(row.owner),
        _time(row.occurred_at, clock),
        quoted(row.event_type),
        quoted(_connection(stay, clock)),
        quoted(_disconnection(stay, clock)),
        quoted(duration(microseconds)),
        "null" if microseconds is None else str(microseconds // SECOND),
        quoted(stay.ip),
        str(int(ip_address(stay.ip))),  # of any length, as JSON's numbers are
        quoted(_info(stay)),
        str(int(stay.state == CONNECTED)),
        quoted(stay.mac),
        "0",
    )
    return f"[{','.join(positions)}]"
