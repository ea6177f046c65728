"""Which format a file is in, by its beginning, and the file opened as a source of that format."""

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from storage.sources import dhcpd, dnsmasq, exported, kea, netalertx
from storage.sources.files import BOM, SourceError, count_lines, unreadable
from storage.sources.records import Lease, Refused, SourceDevice, SourceSession

Format = Literal["netalertx", "csv", "ndjson", "dhcpd", "kea", "dnsmasq"]
FORMATS: tuple[Format, ...] = get_args(Format)
EXPORTED, LEASES = ("csv", "ndjson"), ("dhcpd", "kea", "dnsmasq")

HEAD = 65_536  # bytes that are looked at
_BEGINNINGS: dict[Format, re.Pattern[str]] = {
    "ndjson": re.compile(r"\{"),
    "csv": re.compile(re.escape(",".join(exported.COLUMNS)) + r"\s*"),
    "kea": re.compile(r"address,([a-z0-9_]+,)*expire\b"),
    "dnsmasq": re.compile(r"\d+ \S+ \S+ \S+( \S+)?\s*$|duid \S+\s*$", re.ASCII),
    "dhcpd": re.compile(
        r"(lease|ia-(na|ta|pd)|server-duid|authoring-byte-order|failover|group|host|class|subclass) ", re.ASCII
    ),
}

Record = SourceSession | Lease | Refused
_RECORDS: dict[Format, Callable[[Path], Iterator[Record]]] = {
    "csv": exported.from_csv,
    "ndjson": exported.from_ndjson,
    "dhcpd": dhcpd.leases,
    "kea": kea.leases,
    "dnsmasq": dnsmasq.leases,
}


class Source(NamedTuple):
    """A file that can be read: how many rows or lines it has; whether its times are wall-clock time; what it holds."""

    format: Format
    size: int
    local_time: bool
    records: Callable[[], Iterator[Record]]
    devices: Callable[[], Iterator[SourceDevice]]

    @property
    def by_line(self) -> bool:
        """Whether its records are told by their lines, rather than by row ids."""
        return self.format != "netalertx"


def opened(path: Path, form: Format | None) -> AbstractContextManager[Source]:
    """The file as a source, of the given format or of the one that its beginning tells; raises SourceError."""
    try:
        # It is read more than once.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path} is not a file.")
    except OSError as cause:
        raise unreadable(path, cause) from cause
    form = form or _recognized(path)
    return _database(path) if form == "netalertx" else _text(path, form)


@contextmanager
def _database(path: Path) -> Iterator[Source]:
    with netalertx.opened(path) as source:
        yield Source("netalertx", source.count, source.local_time, source.sessions, source.devices)


@contextmanager
def _text(path: Path, form: Format) -> Iterator[Source]:
    yield Source(form, count_lines(path), False, lambda: _RECORDS[form](path), lambda: iter(()))


def _recognized(path: Path) -> Format:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    if head.startswith(netalertx.MAGIC):
        return "netalertx"
    if not head:
        raise SourceError(f"{path} is empty.")
    for line in head.decode(errors="replace").removeprefix(BOM).splitlines():
        if line.strip() and not line.startswith("#"):
            for form, beginning in _BEGINNINGS.items():
                if beginning.match(line):
                    return form
            break
    raise SourceError(
        f"{path} does not begin like a file of any format that is known here; they are {', '.join(FORMATS)}, "
        "and --format names one."
    )
