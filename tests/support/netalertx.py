"""Databases of NetAlertX and Pi.Alert for tests of the import."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

SNAKE_CASE_SESSIONS = (
    "ses_MAC STRING, ses_IP STRING, ses_EventTypeConnection STRING, ses_DateTimeConnection DATETIME, "
    "ses_EventTypeDisconnection STRING, ses_DateTimeDisconnection DATETIME, ses_StillConnected BOOLEAN, "
    "ses_AdditionalInfo STRING"
)

CAMEL_CASE_SESSIONS = (
    "sesMac STRING, sesIp STRING, sesEventTypeConnection STRING, sesDateTimeConnection DATETIME, "
    "sesEventTypeDisconnection STRING, sesDateTimeDisconnection DATETIME, sesStillConnected BOOLEAN, "
    "sesAdditionalInfo STRING"
)

NETALERTX_DEVICES = "devMac STRING, devName STRING, devOwner STRING"

PI_ALERT_DEVICES = "dev_MAC STRING, dev_Name STRING, dev_Owner STRING"

SCHEMAS = [
    (SNAKE_CASE_SESSIONS, NETALERTX_DEVICES),
    (CAMEL_CASE_SESSIONS, NETALERTX_DEVICES),
    (SNAKE_CASE_SESSIONS, PI_ALERT_DEVICES),
]

A, B, C = "aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02", "aa:bb:cc:00:00:03"

IP = "192.168.1.10"

MISSING = "<missing event>"

T1, T2 = "2025-08-01 10:00:00", "2025-08-01 12:00:00"

COMPLETE = (A, IP, "New Device", T1, "Device Down", T2, 0, "")

OPEN = (B, IP, "Connected", T1, None, None, 1, 42)

NO_START = (A, IP, MISSING, None, "Disconnected", "2025-08-02 10:00:00.25", 0, None)

NO_END = (A, IP, "Connected", "2025-08-03T10:00:00+02:00", MISSING, None, 0, "x")

ALL_STATES = [COMPLETE, OPEN, NO_START, NO_END]

DEVICES = [(A, "Phone", "Ada"), (B, "(unknown)", ""), (C, 1234, "(unknown)")]


def write_database(
    file: Path,
    sessions: Sequence[tuple[Any, ...]],
    *,
    columns: str = CAMEL_CASE_SESSIONS,
    devices: str = NETALERTX_DEVICES,
    wal: bool = False,
) -> Path:
    """Create a database file with the sessions and DEVICES."""
    with closing(sqlite3.connect(file)) as connection, connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE Sessions ({columns})")
        connection.execute(f"CREATE TABLE Devices ({devices})")
        # Bytes are stored as text that is not UTF-8.
        for row in sessions:
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, bytes) else "?" for value in row)
            connection.execute(f"INSERT INTO Sessions VALUES ({marks})", row)
        connection.executemany("INSERT INTO Devices VALUES (?, ?, ?)", DEVICES)
    return file
