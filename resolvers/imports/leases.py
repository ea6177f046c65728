"""Convert leases of a DHCP server to sessions. A lease and its renewals are one session."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resolvers.imports.conversion import convert_ip, convert_mac
from resolvers.imports.reports import RejectedRecordError
from resolvers.validation.clock import MAX_TIME, MIN_TIME, Clock, to_instant
from resolvers.validation.periods import Period
from storage.sources.records import Lease
from storage.tables import MISSING_EVENT, SESSION_DEFAULTS

LeaseKey = tuple[str, str]  # MAC and IP address

_MIN_INSTANT, _MAX_INSTANT = to_instant(MIN_TIME), to_instant(MAX_TIME)


@dataclass
class LeaseSpan:
    """The time that a device had an address. Instants are in microseconds since the epoch, None if unknown."""

    since: int | None
    until: int | None
    ended: bool  # True without `until`: ended at an unknown time

    @property
    def first(self) -> int:
        """The earliest known instant."""
        return self.since if self.since is not None else self.until or 0

    @property
    def last(self) -> int | None:
        """The latest known instant, or None if the span is still open."""
        return self.until if self.until is not None or not self.ended else self.since

    def parameters(self, key: LeaseKey) -> dict[str, Any]:
        """Return the parameters of `writes.insert_session`, without the id, and `starts_at`."""
        end_event = "Disconnected" if self.until is not None else MISSING_EVENT if self.ended else None
        return {
            **SESSION_DEFAULTS,
            "mac": key[0],
            "ip": key[1],
            "connected_at": self.since,
            "disconnected_at": self.until,
            "connection_event": MISSING_EVENT if self.since is None else "Connected",
            "disconnection_event": end_event,
            "info": "",
            "starts_at": self.first,
        }


class LeaseMerger:
    """Merges the leases of one file, in file order. Keeps the latest span of each key to merge renewals into."""

    def __init__(self, clock: Clock, lease_time: Period | None) -> None:
        self._clock = clock
        self._now = clock.now()
        self._lease_time = lease_time
        self._latest: dict[LeaseKey, LeaseSpan] = {}

    def add(self, lease: Lease) -> tuple[LeaseKey, LeaseSpan | None, bool]:
        """Add a lease. Return its key, the previous span of that key if now final, and whether the lease is a renewal.

        Raise RejectedRecordError.
        """
        key = _lease_key(lease)
        span = self._to_span(lease)
        before = self._latest.get(key)
        if before is None or not _overlap(before, span):
            self._latest[key] = span
            return key, before, False
        # The later entry has the end, the earlier one the start.
        starts = [part.since for part in (before, span) if part.since is not None]
        self._latest[key] = LeaseSpan(min(starts, default=None), span.until, span.ended)
        return key, None, True

    def remaining(self) -> Iterator[tuple[LeaseKey, LeaseSpan]]:
        """Yield the latest span of each key, at the end of the file."""
        yield from self._latest.items()

    def _to_span(self, lease: Lease) -> LeaseSpan:
        since, until = lease.starts, lease.ends
        for moment in (since, until):
            if moment is not None and not _MIN_INSTANT <= moment <= _MAX_INSTANT:
                raise RejectedRecordError("time out of range", moment)
        if since is None and until is not None and self._lease_time is not None:
            try:
                since = self._clock.subtract(until, self._lease_time)
            except ValueError as error:
                raise RejectedRecordError("start out of range", error) from None
        if since is not None and until is not None and until < since:
            raise RejectedRecordError("end before start", lease.ip)
        if until is not None and until > self._now:
            until = None  # the lease is still active
        if since is None and until is None:
            raise RejectedRecordError(
                "never expires, and its start is not known" if lease.ends is None else
                "not expired, and its start is not known; set --lease-time", lease.ip,
            )  # fmt: skip
        return LeaseSpan(since, until, until is not None or not lease.active)


def _lease_key(lease: Lease) -> LeaseKey:
    if lease.mac is None:
        raise RejectedRecordError("IPv6 lease without a MAC address" if ":" in lease.ip else "no MAC address", lease.ip)
    return convert_mac(lease.mac), convert_ip(lease.ip)


def _overlap(first: LeaseSpan, second: LeaseSpan) -> bool:
    return (first.last is None or second.first <= first.last) and (second.last is None or first.first <= second.last)
