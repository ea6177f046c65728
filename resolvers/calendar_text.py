"""Colors and texts of calendar entries, which both APIs and the calendar feed share."""

from resolvers.validation.clock import Clock
from storage.tables import COMPLETE, CONNECTED, MISSING_EVENT, SessionRow

TITLE, CLASS_NAME = "", "no-border"
_COLORS = {COMPLETE: "#00a659", CONNECTED: "#0073b7"}
_MISSING_EVENT_COLOR = "#f39c12"
STILL_CONNECTED = "<still connected>"


def color(row: SessionRow) -> str:
    """Return the color of a session's calendar entry, as #rrggbb."""
    return _COLORS.get(row.state, _MISSING_EVENT_COLOR)


def tooltip(row: SessionRow, clock: Clock) -> str:
    """Return three lines: when the session began and ended, in local time, and its IP address."""
    start = MISSING_EVENT if row.connected_at is None else clock.format_minutes(row.connected_at)
    if row.disconnected_at is not None:
        end = clock.format_minutes(row.disconnected_at)
    else:
        end = STILL_CONNECTED if row.state == CONNECTED else MISSING_EVENT
    return f"Connection: {start}\nDisconnection: {end}\nIP: {row.ip}"
