"""Moving house: the whole content of one database into another, compared device by device before and after."""

from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from storage.errors import OutcomeUnknownError
from storage.queries import copy as beside
from storage.queries import devices, sessions
from storage.queries.journal import NOTED
from storage.queries.writes import WRITTEN
from storage.store import Store, Transaction

BATCH = 5000  # sessions in one transaction


class NotTheSameError(Exception):
    """The two databases differ in a way that copying does not mend; one sentence for a person."""


class _Held(NamedTuple):
    """What a database holds of a device, or in all: how many sessions, and the sum of their digests."""

    sessions: int = 0
    digest: int = 0


class Copied(NamedTuple):
    """What was copied, and what both databases hold now."""

    copied: int
    sessions: int
    devices: int
    checksum: str


Progress = Callable[[str, int], None]


def _digest(row: Any) -> int:
    return int.from_bytes(blake2b(repr(tuple(row)).encode(), digest_size=8).digest())


async def _held(store: Store, told: Progress, step: str) -> dict[str, _Held]:
    """What a database holds, by device."""
    held: dict[str, _Held] = {}
    async for rows in store.stream(sessions.written(), {}):
        for row in rows:
            before, digest = held.get(row[0], _Held())
            held[row[0]] = _Held(before + 1, (digest + _digest(row)) % 2**64)
        told(step, len(rows))
    return held


async def _names(store: Store) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row) async for rows in store.stream(devices.every(), {}) for row in rows}


async def copy(source: Store, target: Store, told: Progress) -> Copied:
    """Copies what the target has not, and compares count and checksum of both; raises NotTheSameError.

    Begun again after an interruption it goes on: devices that are there whole are left out. `told` is told of each step,
    and how many more sessions it has passed.
    """
    had, there = await _held(source, told, "Reading"), await _held(target, told, "Comparing")
    foreign = next((mac for mac, held in there.items() if held.sessions > had.get(mac, _Held()).sessions), None)
    if foreign is not None:
        raise NotTheSameError(
            f"The target holds sessions of {foreign} that the source has not; nothing was copied. Name an empty database."
        )
    named = await _names(source)

    async def name(transaction: Transaction) -> None:
        await transaction.name([{"mac": mac, "name": name, "owner": owner} for mac, name, owner in named.values()])

    if named:
        await target.write(name)
    copied = 0
    for begun in (False, True):
        differing = [mac for mac, held in had.items() if there.get(mac) != held]
        macs = sorted(mac for mac in differing if (mac in there) == begun)
        async for batch in _batches(source, macs):
            await _store(target, batch, known=begun)
            copied += len(batch)
            told("Copying", len(batch))
    await _beside(source, target)
    there, names = await _held(target, told, "Verifying"), await _names(target)
    mac = next((mac for mac in had.keys() | there.keys() if had.get(mac) != there.get(mac)), None)
    mac = mac or next((mac for mac in named if names.get(mac) != named[mac]), None)
    if mac is not None:
        raise NotTheSameError(
            f"Source and target differ in {mac}. Where somebody writes to one of them, stop that and copy again; "
            "otherwise copy into an empty database."
        )
    checksum = sum(held.digest for held in there.values()) % 2**64
    return Copied(copied, sum(held.sessions for held in there.values()), len(names), f"{checksum:016x}")


async def _beside(source: Store, target: Store) -> None:
    """What was changed of sessions, tokens, and names that network access servers gave sessions."""
    histories = [
        dict(zip(NOTED, row, strict=True)) async for rows in source.stream(beside.histories(), {}) for row in rows
    ]
    ((there,),) = await target.fetch(beside.count_histories(), {}, current=True)
    if there not in (0, len(histories)):
        raise NotTheSameError(
            "The target holds changes of sessions that the source has not. Copy into an empty database."
        )

    async def put(transaction: Transaction) -> None:
        for table in beside.KEYED:
            for row in keyed[table.name]:
                await transaction.execute(beside.put(table), row)
        if not there:
            await transaction.note(histories)

    keyed = {
        table.name: [
            dict(zip(table.c.keys(), row, strict=True))
            async for rows in source.stream(beside.every(table), {})
            for row in rows
        ]
        for table in beside.KEYED
    }
    await target.write(put)


async def _batches(source: Store, macs: list[str]) -> AsyncIterator[list[dict[str, Any]]]:
    """The sessions of the devices, as many at a time as one transaction takes."""
    batch: list[dict[str, Any]] = []
    for mac in macs:
        async for rows in source.stream(sessions.written_of_device(), {"mac": mac}):
            batch += (dict(zip(WRITTEN, row, strict=True)) for row in rows)
            if len(batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


async def _store(target: Store, batch: list[dict[str, Any]], *, known: bool) -> None:
    async def record(transaction: Transaction) -> None:
        await transaction.record(batch, known=known)

    try:
        await target.write(record)
    except OutcomeUnknownError:
        known = True  # for whoever tries again
        await target.write(record)
