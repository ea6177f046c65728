"""The rules by which leases of a DHCP server become sessions: a lease spans one, and what renews it goes on with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resolvers.imports.records import device_ip, device_mac
from resolvers.imports.reports import RefusedError
from resolvers.validation.clock import FIRST, LAST, Clock, Period, instant
from storage.sources.records import Lease
from storage.tables import MISSING

Device = tuple[str, str]  # a MAC at an address

_FIRST, _LAST = instant(FIRST), instant(LAST)


@dataclass
class Span:
    """A device at an address from a start to an end, in microseconds: none where it is not known."""

    since: int | None
    until: int | None
    ended: bool  # without an `until`, whether it is over all the same

    @property
    def first(self) -> int:
        """The first instant that is known of."""
        return self.since if self.since is not None else self.until or 0

    @property
    def last(self) -> int | None:
        """The last instant that is known of; none for one that goes on."""
        return self.until if self.until is not None or not self.ended else self.since

    def session(self, device: Device) -> dict[str, Any]:
        """As `changes.insert_session` takes it, but for the id, and with `starts_at`."""
        end_event = "Disconnected" if self.until is not None else MISSING if self.ended else None
        return {
            "mac": device[0],
            "ip": device[1],
            "connected_at": self.since,
            "disconnected_at": self.until,
            "connection_event": MISSING if self.since is None else "Connected",
            "disconnection_event": end_event,
            "info": "",
            "live": 0,
            "seen_at": None,
            "starts_at": self.first,
        }


class Leases:
    """The leases of one file, read in its order and joined: of each device at an address, the latest span is kept open."""

    def __init__(self, clock: Clock, lease_time: Period | None) -> None:
        self._clock = clock
        self._now = clock.now()
        self._lease_time = lease_time
        self._latest: dict[Device, Span] = {}

    def add(self, lease: Lease) -> tuple[Device, Span | None, bool]:
        """Takes a lease: its device, a span that it shows to be over with, and whether it renews the one before.

        Raises RefusedError.
        """
        device = _device(lease)
        span = self._span(lease)
        before = self._latest.get(device)
        if before is None or not _touching(before, span):
            self._latest[device] = span
            return device, before, False
        # The later entry knows how it ended; where it began, the earliest.
        starts = [one.since for one in (before, span) if one.since is not None]
        self._latest[device] = Span(min(starts, default=None), span.until, span.ended)
        return device, None, True

    def rest(self) -> Iterator[tuple[Device, Span]]:
        """The spans that were kept open to the end of the file."""
        yield from self._latest.items()

    def _span(self, lease: Lease) -> Span:
        since, until = lease.starts, lease.ends
        for at in (since, until):
            if at is not None and not _FIRST <= at <= _LAST:
                raise RefusedError("time out of range", at)
        if since is None and until is not None and self._lease_time is not None:
            try:
                since = self._clock.back(until, self._lease_time)
            except ValueError as problem:
                raise RefusedError("start out of range", problem) from None
        if since is not None and until is not None and until < since:
            raise RefusedError("end before start", lease.ip)
        if until is not None and until > self._now:
            until = None  # it has not come
        if since is None and until is None:
            never = lease.ends is None
            raise RefusedError(
                "never expires, and its start is not known" if never else
                "not expired, and its start is not known: --lease-time tells how long before its expiry", lease.ip,
            )  # fmt: skip
        return Span(since, until, until is not None or not lease.held)


def _device(lease: Lease) -> Device:
    if lease.mac is None:
        raise RefusedError("IPv6 lease without a MAC address" if ":" in lease.ip else "no MAC address", lease.ip)
    return device_mac(lease.mac), device_ip(lease.ip)


def _touching(one: Span, other: Span) -> bool:
    return (one.last is None or other.first <= one.last) and (other.last is None or one.first <= other.last)
