"""What the modules beside this one read out of files: records as the files hold them, not yet judged."""

from typing import NamedTuple

# What a database calls text comes as bytes: it need not be UTF-8.
Value = str | bytes | int | float | None


class SourceSession(NamedTuple):
    """A session as a file holds it, whatever types it holds; `line` is where it stands, a row of a database or a line."""

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
    """A device as a file holds it."""

    line: int
    mac: Value
    name: Value
    owner: Value


class Lease(NamedTuple):
    """An entry of a DHCP server's leases file; instants in microseconds."""

    line: int
    mac: str | None
    ip: str
    starts: int | None  # none: the file does not tell
    ends: int | None  # none: never, or the file does not tell
    held: bool  # by the client until it ends; otherwise it was released, or taken back
    name: Value


class Refused(NamedTuple):
    """In place of a record that is none: the kind of reason, and the value that is at fault."""

    line: int
    reason: str
    value: object
