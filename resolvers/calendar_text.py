"""What both doors say of a session in a calendar: its colour and its tooltip."""

from resolvers.validation.clock import Clock
from storage.queries.sessions import SessionRow
from storage.tables import COMPLETE, CONNECTED, MISSING

TITLE, CLASS_NAME = "", "no-border"
_COLOURS = {COMPLETE: "#00a659", CONNECTED: "#0073b7"}
_AN_END_MISSING = "#f39c12"
STILL_CONNECTED = "<still connected>"


def colour(row: SessionRow) -> str:
    """The colour of a calendar entry."""
    return _COLOURS.get(row.state, _AN_END_MISSING)


def tooltip(row: SessionRow, clock: Clock) -> str:
    """Three lines: both ends, as far as they were seen, and the address."""
    start = MISSING if row.connected_at is None else clock.minutes(row.connected_at)
    if row.disconnected_at is not None:
        end = clock.minutes(row.disconnected_at)
    else:
        end = STILL_CONNECTED if row.state == CONNECTED else MISSING
    return f"Connection: {start}\nDisconnection: {end}\nIP: {row.ip}"
