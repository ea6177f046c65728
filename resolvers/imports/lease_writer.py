"""Storing the leases of a DHCP server: a span that goes on with a stay which the store holds completes it, or is it."""

from collections.abc import Iterable

from resolvers.imports.leases import Device, Leases, Span
from resolvers.imports.reports import Report
from resolvers.imports.session_writer import Storing
from resolvers.validation.clock import Clock, Period
from storage.queries import imports as stays
from storage.queries.imports import HeldRow
from storage.sources.records import Lease, SourceDevice
from storage.store import Transaction

EVER = 2**61  # later than any instant, in microseconds


class StoringLeases(Storing):
    """Leases, joined over the whole file before they are compared with what the store holds."""

    def __init__(self, transaction: Transaction, clock: Clock, report: Report, lease_time: Period | None) -> None:
        super().__init__(transaction, clock, report)
        self._leases = Leases(clock, lease_time)
        self._names: dict[str, SourceDevice] = {}

    async def look(self) -> None:
        """Nothing: each span is looked up."""

    async def take(self, record: Lease) -> None:
        """Joins a lease to the one that it renews, or stores what it shows to be over."""
        device, over, renewal = self._leases.add(record)
        self._report.renewals += renewal
        if record.name is not None:
            self._names[device[0]] = SourceDevice(record.line, device[0], record.name, None)
        if over is not None:
            await self._store(device, over)

    async def end(self) -> None:
        """Stores the latest span of each device at an address."""
        for device, span in self._leases.rest():
            await self._store(device, span)
        await self._write()

    def devices(self) -> Iterable[SourceDevice]:
        """The host names that clients told, the last of each."""
        return self._names.values()

    async def _store(self, device: Device, span: Span) -> None:
        given = span.session(device)
        within = {"since": span.first, "until": EVER if span.last is None else span.last}
        found = await self._transaction.fetch(stays.reaching_into(), given | within)
        held = [HeldRow._make(row) for row in found]
        going_on = next((row for row in held if row.disconnection_event is None), None)
        if any(_ended(row, span) for row in held) or (going_on is not None and span.last is None):
            self._report.already_there += 1
        elif going_on is not None:
            await self._complete(given, going_on)
        else:
            await self._gather(given)


def _ended(row: HeldRow, span: Span) -> bool:
    """Whether a stay that ended is the one of this span. Its end stays: an older file may show a lease longer than it was."""
    if row.disconnection_event is None:
        return False
    if row.disconnected_at is not None and row.disconnected_at == span.until:
        return True  # of their starts, one may have been computed
    seen = [at for at in (row.connected_at, row.disconnected_at) if at is not None]
    return seen[0] == span.first or seen[0] < span.first < seen[-1]
