"""Rows of the session table, as parameters of inserts and as literal SQL."""

from typing import Any

from storage.tables import DAY, HOUR, MISSING_EVENT, SESSION_DEFAULTS
from tests.conftest import at, sql

ROW: dict[str, Any] = {
    **SESSION_DEFAULTS,
    "mac": "AA:BB:CC:DD:EE:FF",
    "ip": "10.0.0.1",
    "connected_at": 0,
    "disconnected_at": None,
    "connection_event": "Connected",
    "disconnection_event": None,
    "info": "",
}

# Changes of ROW that make a session of each state and span class.
SESSION_KINDS: list[dict[str, Any]] = [
    {},
    *(
        {"disconnected_at": length, "disconnection_event": "Disconnected"}
        for length in (0, HOUR, HOUR + 1, DAY, 8 * DAY, 31 * DAY, 121 * DAY)
    ),
    {
        "connected_at": None,
        "connection_event": MISSING_EVENT,
        "disconnected_at": 7,
        "disconnection_event": "Disconnected",
    },
    {"disconnection_event": MISSING_EVENT},
]

# The columns of migration 0001 that are not computed.
FIRST_COLUMNS = (
    "mac", "id", "ip", "connected_at", "disconnected_at", "connection_event", "disconnection_event", "info",
)  # fmt: skip


def past_session(n: int, **changes: Any) -> dict[str, Any]:
    """Return the n-th session of August 2022: two hours long, one of five devices."""
    start = at("2022-08-01T00:00:00Z") + n * HOUR
    return {
        **SESSION_DEFAULTS,
        "mac": f"AA:BB:CC:DD:EE:{n % 5:02X}",
        "id": n,
        "ip": "10.0.0.1",
        "connected_at": start,
        "disconnected_at": start + 2 * HOUR,
        "connection_event": "Connected",
        "disconnection_event": "Disconnected",
        "info": 'ü "quoted"',
    } | changes


def insert_statement(row: dict[str, Any], table: str = "session") -> str:
    """Return an INSERT statement with the values as literals."""
    values = (
        "NULL" if v is None else str(v) if isinstance(v, int) else "'{}'".format(v.replace("'", "''"))
        for v in row.values()
    )
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(values)})"


def stored_ids(url: str) -> list[int]:
    """Return the ids of all stored sessions, read over a new connection."""
    return [row[0] for row in sql(url, "SELECT id FROM session ORDER BY id")]
