"""What an import tells of itself: what became of every record that was read, and why some were refused."""

from dataclasses import dataclass, field

from resolvers.errors import SHOWN

EXAMPLES = 3  # refused records that are shown for each reason


class RefusedError(Exception):
    """A record that cannot become a session: the kind of reason, and the value that is at fault."""

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value


@dataclass
class Refusals:
    """How many records were refused for one reason; the first few as row id, or line, and value."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, value: object) -> None:
        """Counts one more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            shown = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            self.examples.append((line, repr(shown)[:SHOWN]))


@dataclass
class Report:
    """What became of every record that was read; of the imported ones, how many have which end open."""

    format: str
    by_line: bool  # whether records are told by their lines, rather than by row ids
    zone: str
    local_time: bool  # whether the file's times are wall-clock time, rather than UTC
    read: int = 0
    imported: int = 0
    completed: int = 0
    already_there: int = 0
    renewals: int = 0  # leases that went on, and are one session with the one before
    connected: int = 0
    missing_connection: int = 0
    missing_disconnection: int = 0
    devices_named: int = 0
    refused: dict[str, Refusals] = field(default_factory=dict)
    devices_refused: dict[str, Refusals] = field(default_factory=dict)

    @property
    def refused_count(self) -> int:
        """How many sessions were refused, for whatever reason."""
        return sum(refusals.count for refusals in self.refused.values())

    def refuse(self, line: int, reason: str, value: object) -> None:
        """Counts a session that was refused."""
        self.refused.setdefault(reason, Refusals()).add(line, value)

    def refuse_device(self, line: int, reason: str, value: object) -> None:
        """Counts a device that was refused."""
        self.devices_refused.setdefault(reason, Refusals()).add(line, value)
