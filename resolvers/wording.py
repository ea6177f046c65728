"""What both doors say of a session in a calendar: its colour, its tooltip, and times as a wall clock shows them."""

from resolvers.clock import Clock
from storage.sessions import SessionRow
from storage.tables import COMPLETE, CONNECTED, MISSING

TITLE, CLASS_NAME = "", "no-border"
_COLOURS = {COMPLETE: "#00a659", CONNECTED: "#0073b7"}
_AN_END_MISSING = "#f39c12"
STILL_CONNECTED = "<still connected>"


def colour(row: SessionRow) -> str:
    """The colour of a calendar entry."""
    return _COLOURS.get(row.state, _AN_END_MISSING)


def wall_clock(instant: int, clock: Clock) -> str:
    """An instant as rows and tooltips show it: YYYY-MM-DD HH:MM in the server's zone."""
    return clock.local(instant).strftime("%Y-%m-%d %H:%M")


def tooltip(row: SessionRow, clock: Clock) -> str:
    """Three lines: both ends, as far as they were seen, and the address."""
    start = MISSING if row.connected_at is None else wall_clock(row.connected_at, clock)
    if row.disconnected_at is not None:
        end = wall_clock(row.disconnected_at, clock)
    else:
        end = STILL_CONNECTED if row.state == CONNECTED else MISSING
    return f"Connection: {start}\nDisconnection: {end}\nIP: {row.ip}"
