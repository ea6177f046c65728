"""Copy the whole content of one database into another, and compare both per device before and after."""

from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from storage.errors import OutcomeUnknownError
from storage.queries import copy as copy_queries
from storage.queries import devices as device_queries
from storage.store import Store, Transaction
from storage.tables import INSERT_COLUMNS, JOURNAL_COLUMNS

BATCH = 5000  # sessions in one transaction


class DatabasesDifferError(Exception):
    """The databases differ in a way that copying cannot resolve. The message is one sentence for the operator."""


class _Contents(NamedTuple):
    """The number of sessions of a device, and the sum of their digests modulo 2**64."""

    sessions: int = 0
    digest: int = 0


class CopyReport(NamedTuple):
    """The number of copied sessions, and what both databases contain: sessions, devices, and a hexadecimal checksum."""

    copied: int
    sessions: int
    devices: int
    checksum: str


Progress = Callable[[str, int], None]  # receives the name of the step and the number of sessions since the last call


def _digest(row: Any) -> int:
    return int.from_bytes(blake2b(repr(tuple(row)).encode(), digest_size=8).digest())


async def _read_contents(store: Store, progress: Progress, step: str) -> dict[str, _Contents]:
    """Return the contents of a database by device."""
    contents: dict[str, _Contents] = {}
    async for rows in store.stream(copy_queries.stored_sessions(), {}):
        for row in rows:
            count, digest = contents.get(row[0], _Contents())
            contents[row[0]] = _Contents(count + 1, (digest + _digest(row)) % 2**64)
        progress(step, len(rows))
    return contents


async def _read_devices(store: Store) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row) async for rows in store.stream(device_queries.all_devices(), {}) for row in rows}


async def copy_database(source: Store, target: Store, progress: Progress) -> CopyReport:
    """Copy everything that the target lacks, then compare count and checksum of both. Raise DatabasesDifferError.

    A copy that was interrupted can be repeated: it skips devices that are complete in the target.
    """
    expected, existing = (
        await _read_contents(source, progress, "Reading"),
        await _read_contents(target, progress, "Comparing"),
    )
    extra = next(
        (mac for mac, contents in existing.items() if contents.sessions > expected.get(mac, _Contents()).sessions),
        None,
    )
    if extra is not None:
        raise DatabasesDifferError(
            f"The target contains sessions of {extra} that the source does not contain; nothing was copied. "
            "Copy into an empty database."
        )
    devices = await _read_devices(source)

    async def insert_devices(transaction: Transaction) -> None:
        rows = [{"mac": mac, "name": name, "owner": owner} for mac, name, owner in devices.values()]
        await transaction.insert_devices(rows)

    if devices:
        await target.write(insert_devices)
    copied = 0
    for is_partial in (False, True):
        differing = [mac for mac, contents in expected.items() if existing.get(mac) != contents]
        macs = sorted(mac for mac in differing if (mac in existing) == is_partial)
        async for batch in _read_batches(source, macs):
            await _write_batch(target, batch, skip_existing=is_partial)
            copied += len(batch)
            progress("Copying", len(batch))
    await _copy_other_tables(source, target)
    return await _verify(target, expected, devices, copied, progress)


async def _verify(
    target: Store, expected: dict[str, _Contents], devices: dict[str, tuple[Any, ...]], copied: int, progress: Progress
) -> CopyReport:
    """Compare the target with the contents and devices of the source. Raise DatabasesDifferError."""
    actual, actual_devices = await _read_contents(target, progress, "Verifying"), await _read_devices(target)
    mac = next((mac for mac in expected.keys() | actual.keys() if expected.get(mac) != actual.get(mac)), None)
    mac = mac or next((mac for mac in devices if actual_devices.get(mac) != devices[mac]), None)
    if mac is not None:
        raise DatabasesDifferError(
            f"Source and target differ in {mac}. If a server writes to one of them, stop it and copy again; "
            "otherwise copy into an empty database."
        )
    checksum = sum(contents.digest for contents in actual.values()) % 2**64
    sessions = sum(contents.sessions for contents in actual.values())
    return CopyReport(copied, sessions, len(actual_devices), f"{checksum:016x}")


async def _copy_other_tables(source: Store, target: Store) -> None:
    """Copy tokens, accounting ids, saved responses and histories. Raise DatabasesDifferError."""
    histories = [
        dict(zip(JOURNAL_COLUMNS, row, strict=True))
        async for rows in source.stream(copy_queries.history_entries(), {})
        for row in rows
    ]
    ((existing,),) = await target.fetch(copy_queries.count_history_entries(), {}, primary=True)
    if existing not in (0, len(histories)):
        raise DatabasesDifferError(
            "The target contains changes of sessions that the source does not contain. Copy into an empty database."
        )
    rows_by_table = {
        table: [
            dict(zip(table.c.keys(), row, strict=True))
            async for rows in source.stream(copy_queries.all_rows(table), {})
            for row in rows
        ]
        for table in copy_queries.TABLES_WITH_KEYS
    }

    async def insert_rows(transaction: Transaction) -> None:
        for table, rows in rows_by_table.items():
            for row in rows:
                await transaction.execute(copy_queries.insert_if_absent(table), row)
        if not existing:
            await transaction.write_journal(histories)

    await target.write(insert_rows)


async def _read_batches(source: Store, macs: list[str]) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the sessions of the devices in batches for one transaction each."""
    batch: list[dict[str, Any]] = []
    for mac in macs:
        async for rows in source.stream(copy_queries.stored_sessions_of_device(), {"mac": mac}):
            batch += (dict(zip(INSERT_COLUMNS, row, strict=True)) for row in rows)
            if len(batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


async def _write_batch(target: Store, batch: list[dict[str, Any]], *, skip_existing: bool) -> None:
    async def insert_sessions(transaction: Transaction) -> None:
        await transaction.insert_sessions(batch, skip_existing=skip_existing)

    try:
        await target.write(insert_sessions)
    except OutcomeUnknownError:
        skip_existing = True  # the commit may have succeeded
        await target.write(insert_sessions)
