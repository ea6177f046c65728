"""Leases files of dnsmasq: a lease is a line of its expiry, hardware address, address, host name and client id."""

from collections.abc import Iterator
from pathlib import Path

from storage.sources.files import damaged, lines
from storage.sources.records import Lease, Refused
from storage.tables import SECOND

NEVER, NAMELESS = 0, "*"
# Built for a machine without a clock, dnsmasq writes how long a lease lasts in place of when it ends.
FIRST_EXPIRY = 1_000_000_000


def leases(path: Path) -> Iterator[Lease | Refused]:
    """The leases of a file, of which none tells its start; raises SourceError."""
    for number, line in lines(path):
        words = line.split()
        if not words or (words[0] == "duid" and len(words) == 2):
            continue
        if len(words) not in (4, 5) or not (words[0].isascii() and words[0].isdecimal() and len(words[0]) <= 12):
            raise damaged(path, number, "it is not a lease of dnsmasq")
        expiry, mac, ip, name = int(words[0]), words[1], words[2], words[3]
        if expiry != NEVER and expiry < FIRST_EXPIRY:
            yield Refused(number, "no time of expiry", words[0])
            continue
        # In a lease of IPv6, the number of its association stands where the hardware address would.
        known = mac if ":" not in ip else None
        yield Lease(
            number,
            known,
            ip,
            starts=None,
            ends=None if expiry == NEVER else expiry * SECOND,
            held=True,
            name=None if name == NAMELESS else name,
        )
