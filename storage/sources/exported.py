"""Files that this program exported: a session is one row of CSV, or one JSON object on a line of its own."""

COLUMNS = (
    "mac",
    "ip",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "state",
    "info",
)
