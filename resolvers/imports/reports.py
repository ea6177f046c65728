"""The report of an import: the outcome of every record, and the reasons for rejections."""

from dataclasses import dataclass, field

from resolvers.errors import MAX_ECHO_LENGTH

MAX_EXAMPLES = 3  # rejected records shown for each reason


class RejectedRecordError(Exception):
    """A record that cannot become a session, with the reason and the invalid value."""

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value


@dataclass
class Rejections:
    """The number of records rejected for one reason, and the first few as (line or row id, value)."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, value: object) -> None:
        """Count a rejected record."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            self.examples.append((line, repr(text)[:MAX_ECHO_LENGTH]))


@dataclass
class ImportReport:
    """The counts of an import. Every record read is imported, completed, already there, a renewal or rejected."""

    format: str
    has_line_numbers: bool  # whether records are identified by line numbers, not row ids
    zone: str
    has_local_times: bool  # whether times without an offset are local, not UTC
    read: int = 0
    imported: int = 0
    completed: int = 0  # open sessions that the file ended
    already_there: int = 0
    renewals: int = 0  # leases merged into the session of an earlier lease
    connected: int = 0
    missing_connection: int = 0
    missing_disconnection: int = 0
    devices_named: int = 0
    rejected: dict[str, Rejections] = field(default_factory=dict)
    rejected_devices: dict[str, Rejections] = field(default_factory=dict)

    @property
    def rejected_count(self) -> int:
        """The number of rejected sessions, over all reasons."""
        return sum(rejections.count for rejections in self.rejected.values())

    def reject(self, line: int, reason: str, value: object) -> None:
        """Count a rejected session."""
        self.rejected.setdefault(reason, Rejections()).add(line, value)

    def reject_device(self, line: int, reason: str, value: object) -> None:
        """Count a rejected device."""
        self.rejected_devices.setdefault(reason, Rejections()).add(line, value)
