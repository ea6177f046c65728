"""The limit on wrong tokens per client address.

An address over the limit is rejected even with a valid token, unless that token was valid from the address before. If a
valid token were always accepted, the limit would not slow down guessing. The exception keeps one client from locking out
others behind the same address. It only lets clients of that address guess each other's tokens. A created token has 256
random bits, and API_TOKEN should have no fewer.

Each process has its own counts. Concurrent requests may all be checked before the first of them fails.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import monotonic
from typing import Any

import structlog

from resolvers.errors import TooManyRequestsError
from resolvers.tokens import digest_of

WINDOW_SECONDS = 60.0  # from the first wrong token
MAX_ENTRIES = 10_000  # addresses, and pairs of address and token; the oldest are dropped first

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@lru_cache(MAX_ENTRIES)
def network_of(address: str) -> str:
    """Return what is counted as one address: for IPv6 the /64 network, because a client usually owns all of it."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


class LoginThrottle:
    """Limits the wrong tokens that an address may send in a minute."""

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._failures: dict[str, tuple[int, float]] = {}  # by network: count, and the end of its window
        self._successes: dict[tuple[str, str], None] = {}

    def check(self, network: str, token: bytes) -> None:
        """Raise TooManyRequestsError if a token from this network must be rejected without checking it."""
        count, window_end = self._failures.get(network, (0, 0.0))
        if count < self._max_failures:
            return
        seconds = window_end - monotonic()
        if seconds > 0 and (network, digest_of(token)) not in self._successes:
            retry_after = ceil(seconds)
            raise TooManyRequestsError(
                f"This address sent too many wrong tokens. Try again in {retry_after} s.", retry_after
            )

    def record_failure(self, network: str) -> None:
        """Count a wrong token."""
        now = monotonic()
        count, window_end = self._failures.pop(network, (0, 0.0))
        if now >= window_end:
            count, window_end = 0, now + WINDOW_SECONDS
        self._failures[network] = count + 1, window_end
        _drop_oldest(self._failures)
        if count + 1 == self._max_failures:
            log.warning("too many wrong tokens", address=network, seconds=ceil(window_end - now))

    def record_success(self, network: str, digest: str) -> None:
        """Remember that a token was valid from this network."""
        if (network, digest) not in self._successes:
            self._successes[network, digest] = None
            _drop_oldest(self._successes)


def _drop_oldest(entries: dict[Any, Any]) -> None:
    if len(entries) > MAX_ENTRIES:
        del entries[next(iter(entries))]
