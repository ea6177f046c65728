"""Lease files of Kea's memfile backend, `kea-leases4.csv` and `kea-leases6.csv`: a journal, whose later rows count more."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from storage.sources.files import SourceError, damaged, lines
from storage.sources.records import Lease, Refused
from storage.tables import SECOND

NEEDED = ("address", "hwaddr", "valid_lifetime", "expire")
FOREVER = 2**32 - 1  # a lifetime in seconds that stands for no end
ASSIGNED, DECLINED, RECLAIMED, RELEASED, REGISTERED = "0", "1", "2", "3", "4"
PREFIX = "2"  # of the types of lease

_ESCAPED = re.compile("&#x([0-9A-Fa-f]{2})")


def leases(path: Path) -> Iterator[Lease | Refused]:
    """The leases of a file; raises SourceError."""
    reader = csv.reader((line for _, line in lines(path)), quoting=csv.QUOTE_NONE)
    try:
        head = next(reader, [])
        missing = [name for name in NEEDED if name not in head]
        if missing:
            raise SourceError(f"{path} is no lease file of Kea: its first line does not name {', '.join(missing)}.")
        for cells in reader:
            if len(cells) != len(head):
                raise damaged(path, reader.line_num, f"it has {len(cells)} cells in place of {len(head)}")
            yield _lease(reader.line_num, dict(zip(head, cells, strict=True)))
    except csv.Error as cause:
        raise damaged(path, reader.line_num + 1, f"it is not CSV ({cause})") from cause


def _lease(line: int, row: dict[str, str]) -> Lease | Refused:
    state = row.get("state", ASSIGNED)
    if state == DECLINED:
        return Refused(line, "declined address", row["address"])
    if state not in (ASSIGNED, RECLAIMED, RELEASED, REGISTERED):
        return Refused(line, "unknown state", state)
    if row.get("lease_type") == PREFIX:
        return Refused(line, "delegated prefix, not an address", row["address"])
    lifetime, expire = _number(row["valid_lifetime"]), _number(row["expire"])
    if lifetime is None or expire is None or lifetime > expire:
        return Refused(line, "no time of expiry", f"{row['expire']}, {row['valid_lifetime']}")
    return Lease(
        line,
        row["hwaddr"] or None,
        row["address"],
        # A lease that was deleted has no lifetime any more; its expiry is when its client was last heard.
        starts=(expire - lifetime) * SECOND,
        ends=None if lifetime == FOREVER else expire * SECOND,
        held=state in (ASSIGNED, REGISTERED),
        name=_unescaped(row.get("hostname", "")).removesuffix(".") or None,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
