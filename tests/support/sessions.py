"""Sessions to send to a server, and SQL that generates many rows."""

from typing import Any

# Selects `{row}`, an expression of `n`, for n from 0 to `{count}` - 1; by the scheme of the database URL.
GENERATE_ROWS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count} - 1) SELECT {row} FROM s",
    "postgresql": "SELECT {row} FROM generate_series(0, {count} - 1) AS s(n)",
}


def session_fields(n: int, **changes: Any) -> dict[str, Any]:
    """Return the n-th session as the body of a REST create request."""
    return {
        "mac": f"AA:BB:CC:DD:{n % 7:02X}:{n % 251:02X}",
        "ip": "192.168.1.10",
        "start_time": "2025-08-01T10:00:00",
        "info": str(n),
    } | changes
