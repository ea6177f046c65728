"""Bringing in what others recorded, or what was exported: a file, read once, becomes sessions in one transaction."""

import asyncio
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

from resolvers.context import Context
from resolvers.imports.export_writer import StoringExports
from resolvers.imports.lease_writer import StoringLeases
from resolvers.imports.records import UTC_ZONE
from resolvers.imports.reports import RefusedError, Report
from resolvers.imports.session_writer import STEP, Storing, StoringRows
from resolvers.validation.clock import Period
from storage.sources.recognition import EXPORTED, LEASES, Format, Source, opened
from storage.sources.records import Refused
from storage.store import Transaction


class _UndoneError(Exception):
    """Raised inside the change, so that it leaves nothing behind."""


async def import_file(
    context: Context,
    path: Path,
    zone: ZoneInfo | None,
    *,
    form: Format | None = None,
    lease_time: Period | None = None,
    dry_run: bool,
    progress: Callable[[int, int], None],
) -> Report:
    """Takes over all sessions and device names of a file, or nothing; raises `files.SourceError`.

    `zone` is that of the file's wall-clock times, the clock's unless told; it says nothing where the file has UTC.
    `lease_time` is how long leases last of which the file tells no start. `progress` is told how many rows, or lines, of
    how many were read, from another thread. A dry run does all and undoes it.
    """
    with opened(path, form) as source:
        meant = (zone or context.clock.zone) if source.local_time else UTC_ZONE
        stopped = Event()
        report: Report

        async def change(transaction: Transaction) -> None:
            nonlocal report
            report = Report(source.format, source.by_line, meant.key, source.local_time)  # begun anew, it counts anew
            storing: Storing
            if source.format in EXPORTED:
                storing = StoringExports(transaction, context.clock, report, source.size)
            elif source.format in LEASES:
                storing = StoringLeases(transaction, context.clock, report, lease_time)
            else:
                storing = StoringRows(transaction, context.clock, report, meant)
            await _take_over(source, storing, report, stopped, progress)
            if dry_run:
                raise _UndoneError

        writing = asyncio.ensure_future(context.store.write(change, alone=True))
        try:
            await asyncio.shield(writing)
        except _UndoneError:
            pass
        except asyncio.CancelledError:
            # The store carries through what is begun: tell the change to give up, before the source is closed under it.
            stopped.set()
            await asyncio.gather(writing, return_exceptions=True)
            raise
    if not dry_run:
        context.on_written(report.imported + report.completed)
    return report


async def _take_over(
    source: Source, storing: Storing, report: Report, stopped: Event, progress: Callable[[int, int], None]
) -> None:
    await storing.look()
    for record in source.records():
        report.read += 1
        if isinstance(record, Refused):
            report.refuse(*record)
        else:
            try:
                await storing.take(record)
            except RefusedError as refused:
                report.refuse(record.line, refused.reason, refused.value)
        if report.read % STEP == 0:
            progress(record.line if source.by_line else report.read, source.size)
            if stopped.is_set():
                raise _UndoneError
    await storing.end()
    for device in chain(source.devices(), storing.devices()):
        await storing.device(device)
    progress(source.size, source.size)
    if stopped.is_set():
        raise _UndoneError
