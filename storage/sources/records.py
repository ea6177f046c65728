"""Records as the readers in this package return them: as stored in the file, not yet validated."""

from typing import NamedTuple

# Text in a database is read as bytes, because it need not be UTF-8.
Value = str | bytes | int | float | None


class SourceSession(NamedTuple):
    """A session with values of any type. `line` is the line number in a text file, or the row id in a database."""

    line: int
    mac: Value
    ip: Value
    connection_event: Value
    connected_at: Value
    disconnection_event: Value
    disconnected_at: Value
    still_connected: Value
    info: Value


class SourceDevice(NamedTuple):
    """A device with values of any type. `line` is the line number in a text file, or the row id in a database."""

    line: int
    mac: Value
    name: Value
    owner: Value


class Lease(NamedTuple):
    """An entry of a DHCP server's leases file. Instants are in microseconds since the epoch."""

    line: int
    mac: str | None
    ip: str
    starts: int | None  # None if the file does not state it
    ends: int | None  # None if the lease never expires, or the file does not state it
    active: bool  # False if the client released it, or the server reclaimed it
    name: Value


class RejectedRecord(NamedTuple):
    """A record that cannot be imported, with the reason and the invalid value."""

    line: int
    reason: str
    value: object
