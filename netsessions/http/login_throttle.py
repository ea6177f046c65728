"""Wrong tokens, by the address that they come from: too many of them, and no more is looked at for a while.

While an address is refused so, a right token from it is refused, too: whoever is answered differently for a right guess is
not slowed by any limit. But many clients may share an address, and one that guesses must not lock the others out: a token
that was right from the address before goes on being answered. Whoever shares an address with such a client may try as often
as they like to find that client's token, and nothing else. A made token is 256 random bits; API_TOKEN should be no less.

Each process counts for itself. Requests that are under way at once may all be looked at before the first has failed.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import monotonic
from typing import Any

import structlog

from resolvers.errors import TooManyError
from resolvers.tokens import digest_of

WINDOW = 60.0  # seconds from the first wrong one on
HELD = 10_000  # addresses, and tokens of addresses, that are remembered; the oldest are forgotten first

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@lru_cache(HELD)
def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, all of which whoever has one of it has."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))


class Failures:
    """At most so many wrong tokens from an address within a minute are looked at."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wrong: dict[str, tuple[int, float]] = {}  # how many, and until when they count
        self._right: dict[tuple[str, str], None] = {}

    def check(self, network: str, token: bytes) -> None:
        """Raises TooManyError for a token that is not to be looked at."""
        count, until = self._wrong.get(network, (0, 0.0))
        if count < self._most:
            return
        left = until - monotonic()
        if left > 0 and (network, digest_of(token)) not in self._right:
            wait = ceil(left)
            raise TooManyError(f"Too many wrong tokens came from this address; try again in {wait} s.", wait)

    def wrong(self, network: str) -> None:
        """A token from there was wrong."""
        now = monotonic()
        count, until = self._wrong.pop(network, (0, 0.0))
        if now >= until:
            count, until = 0, now + WINDOW
        self._wrong[network] = count + 1, until
        _forget(self._wrong)
        if count + 1 == self._most:
            log.warning("too many wrong tokens", address=network, seconds=ceil(until - now))

    def right(self, network: str, digest: str) -> None:
        """A token from there was right."""
        if (network, digest) not in self._right:
            self._right[network, digest] = None
            _forget(self._right)


def _forget(held: dict[Any, Any]) -> None:
    if len(held) > HELD:
        del held[next(iter(held))]
