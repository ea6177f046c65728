"""Detect the format of a file by its beginning, and open it as a source of that format."""

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from storage.sources import dhcpd, dnsmasq, exported, kea, netalertx
from storage.sources.files import BOM, SourceError, count_lines, unreadable_error
from storage.sources.records import Lease, RejectedRecord, SourceDevice, SourceSession

Format = Literal["netalertx", "csv", "ndjson", "dhcpd", "kea", "dnsmasq"]
FORMATS: tuple[Format, ...] = get_args(Format)
EXPORT_FORMATS, LEASE_FORMATS = ("csv", "ndjson"), ("dhcpd", "kea", "dnsmasq")

HEAD_BYTES = 65_536  # read to detect the format
_FIRST_LINE_PATTERNS: dict[Format, re.Pattern[str]] = {
    "ndjson": re.compile(r"\{"),
    "csv": re.compile(re.escape(",".join(exported.EXPORT_COLUMNS)) + r"\s*"),
    "kea": re.compile(r"address,([a-z0-9_]+,)*expire\b"),
    "dnsmasq": re.compile(r"\d+ \S+ \S+ \S+( \S+)?\s*$|duid \S+\s*$", re.ASCII),
    "dhcpd": re.compile(
        r"(lease|ia-(na|ta|pd)|server-duid|authoring-byte-order|failover|group|host|class|subclass) ", re.ASCII
    ),
}

Record = SourceSession | Lease | RejectedRecord
_READERS: dict[Format, Callable[[Path], Iterator[Record]]] = {
    "csv": exported.read_csv,
    "ndjson": exported.read_ndjson,
    "dhcpd": dhcpd.read_leases,
    "kea": kea.read_leases,
    "dnsmasq": dnsmasq.read_leases,
}


class Source(NamedTuple):
    """An open file: its number of rows or lines, whether its times are local, and functions that iterate over its content."""

    format: Format
    size: int
    has_local_times: bool
    records: Callable[[], Iterator[Record]]
    devices: Callable[[], Iterator[SourceDevice]]

    @property
    def has_line_numbers(self) -> bool:
        """Whether `line` of a record is a line number, not a row id."""
        return self.format != "netalertx"


def open_source(path: Path, source_format: Format | None) -> AbstractContextManager[Source]:
    """Open a file as a source of the given format, detected if None. Raise SourceError."""
    try:
        # Files are read more than once, which a pipe does not allow.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path} is not a file.")
    except OSError as cause:
        raise unreadable_error(path, cause) from cause
    source_format = source_format or _recognize(path)
    return _open_database(path) if source_format == "netalertx" else _open_text(path, source_format)


@contextmanager
def _open_database(path: Path) -> Iterator[Source]:
    with netalertx.open_database(path) as source:
        yield Source("netalertx", source.count, source.has_local_times, source.sessions, source.devices)


@contextmanager
def _open_text(path: Path, source_format: Format) -> Iterator[Source]:
    yield Source(source_format, count_lines(path), False, lambda: _READERS[source_format](path), lambda: iter(()))


def _recognize(path: Path) -> Format:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as cause:
        raise unreadable_error(path, cause) from cause
    if head.startswith(netalertx.MAGIC):
        return "netalertx"
    if not head:
        raise SourceError(f"{path} is empty.")
    for line in head.decode(errors="replace").removeprefix(BOM).splitlines():
        if line.strip() and not line.startswith("#"):
            for source_format, pattern in _FIRST_LINE_PATTERNS.items():
                if pattern.match(line):
                    return source_format
            break
    raise SourceError(f"{path} is not in a recognized format. Choose one with --format: {', '.join(FORMATS)}.")
