"""Import a file in one transaction."""

import asyncio
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

from resolvers.context import Context
from resolvers.imports.conversion import UTC_ZONE
from resolvers.imports.export_writer import ExportWriter
from resolvers.imports.lease_writer import LeaseWriter
from resolvers.imports.reports import ImportReport, RejectedRecordError
from resolvers.imports.session_writer import BATCH_SIZE, NetAlertXWriter, SessionWriter
from resolvers.validation.periods import Period
from storage.sources.recognition import EXPORT_FORMATS, LEASE_FORMATS, Format, Source, open_source
from storage.sources.records import RejectedRecord
from storage.store import Transaction


class _RollbackError(Exception):
    """Raised inside the transaction to roll it back, on a dry run or cancellation."""


async def import_file(
    context: Context,
    path: Path,
    zone: ZoneInfo | None,
    *,
    source_format: Format | None = None,
    lease_time: Period | None = None,
    dry_run: bool,
    progress: Callable[[int, int], None],
) -> ImportReport:
    """Import all sessions and device names of a file, or nothing. Raise SourceError.

    `zone` is the time zone of local times in the file, by default the clock's. It is ignored if the file's times are UTC.
    `lease_time` is the duration of leases whose start the file does not state. `progress` is called from another thread
    with the number of lines or rows read, and their total. A dry run rolls everything back.
    """
    with open_source(path, source_format) as source:
        file_zone = (zone or context.clock.zone) if source.has_local_times else UTC_ZONE
        cancelled = Event()
        report: ImportReport

        async def import_records(transaction: Transaction) -> None:
            nonlocal report
            # Created here, so that a retry counts from zero.
            report = ImportReport(source.format, source.has_line_numbers, file_zone.key, source.has_local_times)
            writer: SessionWriter
            if source.format in EXPORT_FORMATS:
                writer = ExportWriter(transaction, context.clock, report, source.size)
            elif source.format in LEASE_FORMATS:
                writer = LeaseWriter(transaction, context.clock, report, lease_time)
            else:
                writer = NetAlertXWriter(transaction, context.clock, report, file_zone)
            await _import_records(source, writer, report, cancelled, progress)
            if dry_run:
                raise _RollbackError

        write_task = asyncio.ensure_future(context.store.write(import_records, exclusive=True))
        try:
            await asyncio.shield(write_task)
        except _RollbackError:
            pass
        except asyncio.CancelledError:
            # The store finishes transactions that it began. Make this one stop before the source is closed.
            cancelled.set()
            await asyncio.gather(write_task, return_exceptions=True)
            raise
    if not dry_run:
        context.on_written(report.imported + report.completed)
    return report


async def _import_records(
    source: Source, writer: SessionWriter, report: ImportReport, cancelled: Event, progress: Callable[[int, int], None]
) -> None:
    await writer.load_existing()
    for record in source.records():
        report.read += 1
        if isinstance(record, RejectedRecord):
            report.reject(*record)
        else:
            try:
                await writer.write(record)
            except RejectedRecordError as error:
                report.reject(record.line, error.reason, error.value)
        if report.read % BATCH_SIZE == 0:
            progress(record.line if source.has_line_numbers else report.read, source.size)
            if cancelled.is_set():
                raise _RollbackError
    await writer.finish()
    for device in chain(source.devices(), writer.named_devices()):
        await writer.write_device(device)
    progress(source.size, source.size)
    if cancelled.is_set():
        raise _RollbackError
