"""Write the leases of a DHCP server. A lease span that overlaps an existing session updates or equals it."""

from collections.abc import Iterable

from resolvers.imports.leases import LeaseKey, LeaseMerger, LeaseSpan
from resolvers.imports.reports import ImportReport
from resolvers.imports.session_writer import SessionWriter
from resolvers.validation.clock import Clock
from resolvers.validation.periods import Period
from storage.queries import imports as import_queries
from storage.queries.imports import ExistingSession
from storage.sources.records import Lease, SourceDevice
from storage.store import Transaction

NO_END = 2**61  # microseconds; later than any instant


class LeaseWriter(SessionWriter):
    """Writes leases, merged over the whole file before they are compared with existing sessions."""

    def __init__(self, transaction: Transaction, clock: Clock, report: ImportReport, lease_time: Period | None) -> None:
        super().__init__(transaction, clock, report)
        self._merger = LeaseMerger(clock, lease_time)
        self._names: dict[str, SourceDevice] = {}

    async def load_existing(self) -> None:
        """Do nothing: every span is looked up."""

    async def write(self, record: Lease) -> None:
        """Merge a lease into the one that it renews, or write the span that it replaces."""
        key, final, is_renewal = self._merger.add(record)
        self._report.renewals += is_renewal
        if record.name is not None:
            self._names[key[0]] = SourceDevice(record.line, key[0], record.name, None)
        if final is not None:
            await self._write_span(key, final)

    async def finish(self) -> None:
        """Write the remaining spans."""
        for key, span in self._merger.remaining():
            await self._write_span(key, span)
        await self._flush()

    def named_devices(self) -> Iterable[SourceDevice]:
        """Return the last host name that each client sent."""
        return self._names.values()

    async def _write_span(self, key: LeaseKey, span: LeaseSpan) -> None:
        parameters = span.parameters(key)
        limits = {"since": span.first, "until": NO_END if span.last is None else span.last}
        rows = await self._transaction.fetch(import_queries.sessions_reaching_into(), parameters | limits)
        existing = [ExistingSession._make(row) for row in rows]
        open_session = next((row for row in existing if row.disconnection_event is None), None)
        if any(_is_ended_session(row, span) for row in existing) or (open_session is not None and span.last is None):
            self._report.already_there += 1
        elif open_session is not None:
            await self._end_existing(parameters, open_session)
        else:
            await self._add_new(parameters)


def _is_ended_session(row: ExistingSession, span: LeaseSpan) -> bool:
    """Return whether an ended session is the one of this span. It keeps its end: an older file may show a later expiry."""
    if row.disconnection_event is None:
        return False
    if row.disconnected_at is not None and row.disconnected_at == span.until:
        return True  # the starts may differ: one may be computed from the lease time
    instants = [instant for instant in (row.connected_at, row.disconnected_at) if instant is not None]
    return instants[0] == span.first or instants[0] < span.first < instants[-1]
