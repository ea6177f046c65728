"""Leases files of dnsmasq: one line per lease, with its expiry, hardware address, IP address, host name and client id."""

from collections.abc import Iterator
from pathlib import Path

from storage.sources.files import damaged_error, read_lines
from storage.sources.records import Lease, RejectedRecord
from storage.tables import SECOND

NEVER_EXPIRES, NO_NAME = 0, "*"
# Built for machines without a clock, dnsmasq writes the duration of the lease instead of its expiry.
MIN_EXPIRY = 1_000_000_000


def read_leases(path: Path) -> Iterator[Lease | RejectedRecord]:
    """Yield the leases of a file, which does not state when they started. Raise SourceError."""
    for number, line in read_lines(path):
        words = line.split()
        if not words or (words[0] == "duid" and len(words) == 2):
            continue
        if len(words) not in (4, 5) or not (words[0].isascii() and words[0].isdecimal() and len(words[0]) <= 12):
            raise damaged_error(path, number, "it is not a dnsmasq lease")
        expiry, mac, ip, name = int(words[0]), words[1], words[2], words[3]
        if expiry != NEVER_EXPIRES and expiry < MIN_EXPIRY:
            yield RejectedRecord(number, "no time of expiry", words[0])
            continue
        yield Lease(
            number,
            # An IPv6 lease has an association id in place of the hardware address.
            mac if ":" not in ip else None,
            ip,
            starts=None,
            ends=None if expiry == NEVER_EXPIRES else expiry * SECOND,
            active=True,
            name=None if name == NO_NAME else name,
        )
