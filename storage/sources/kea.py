"""Lease files of Kea's memfile backend, `kea-leases4.csv` and `kea-leases6.csv`.

They are journals: a later row replaces an earlier one.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from storage.sources.files import SourceError, damaged_error, read_lines
from storage.sources.records import Lease, RejectedRecord
from storage.tables import SECOND

REQUIRED_COLUMNS = ("address", "hwaddr", "valid_lifetime", "expire")
INFINITE_LIFETIME = 2**32 - 1  # seconds
ASSIGNED, DECLINED, RECLAIMED, RELEASED, REGISTERED = "0", "1", "2", "3", "4"
DELEGATED_PREFIX = "2"  # a value of lease_type

_ESCAPE_SEQUENCE = re.compile("&#x([0-9A-Fa-f]{2})")


def read_leases(path: Path) -> Iterator[Lease | RejectedRecord]:
    """Yield the leases of a file. Raise SourceError."""
    reader = csv.reader((line for _, line in read_lines(path)), quoting=csv.QUOTE_NONE)
    try:
        header = next(reader, [])
        missing = [name for name in REQUIRED_COLUMNS if name not in header]
        if missing:
            raise SourceError(f"{path} is not a lease file of Kea: its first line does not name {', '.join(missing)}.")
        for cells in reader:
            if len(cells) != len(header):
                raise damaged_error(path, reader.line_num, f"it has {len(cells)} cells instead of {len(header)}")
            yield _parse_lease(reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as cause:
        raise damaged_error(path, reader.line_num + 1, f"it is not CSV ({cause})") from cause


def _parse_lease(line: int, row: dict[str, str]) -> Lease | RejectedRecord:
    state = row.get("state", ASSIGNED)
    if state == DECLINED:
        return RejectedRecord(line, "declined address", row["address"])
    if state not in (ASSIGNED, RECLAIMED, RELEASED, REGISTERED):
        return RejectedRecord(line, "unknown state", state)
    if row.get("lease_type") == DELEGATED_PREFIX:
        return RejectedRecord(line, "delegated prefix, not an address", row["address"])
    lifetime, expire = _parse_number(row["valid_lifetime"]), _parse_number(row["expire"])
    if lifetime is None or expire is None or lifetime > expire:
        return RejectedRecord(line, "no time of expiry", f"{row['expire']}, {row['valid_lifetime']}")
    return Lease(
        line,
        row["hwaddr"] or None,
        row["address"],
        # A deleted lease has lifetime 0. Its expiry is the time of the last request of its client.
        starts=(expire - lifetime) * SECOND,
        ends=None if lifetime == INFINITE_LIFETIME else expire * SECOND,
        active=state in (ASSIGNED, REGISTERED),
        name=_unescape(row.get("hostname", "")).removesuffix(".") or None,
    )


def _parse_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def _unescape(text: str) -> str:
    return _ESCAPE_SEQUENCE.sub(lambda match: chr(int(match[1], 16)), text)
