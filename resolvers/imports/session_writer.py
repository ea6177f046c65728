"""Storing what a file holds: what is new is gathered and stored together, what the store may hold already is looked up.

A stay that is met again is known by its source's rule: a row of NetAlertX by device, address and ends; an exported session
by all that is exported; a lease by the time that it has in common with a stay of the same device at the same address.
"""

import json
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from resolvers.imports.records import device_mac, device_name, parameters
from resolvers.imports.reports import RefusedError, Report
from resolvers.sessions import new_ids
from resolvers.validation.clock import Clock
from storage.queries import imports as stays
from storage.queries import writes as changes
from storage.queries.devices import named
from storage.queries.imports import HeldRow
from storage.sources.records import SourceDevice, SourceSession
from storage.store import Transaction
from storage.tables import MISSING

Given = dict[str, Any]  # a session as `changes.insert_new_session` takes it, with or without its id

STEP = 1000  # records between two reports of progress, and at most in one write
SEEN_BITS = 2**27  # 16 MiB; of a million stays, fewer than one in a hundred are taken for known


class _Seen:
    """Tells of most stays that they are new. What has the same device, start and address as another may concern it."""

    def __init__(self) -> None:
        self._bits = bytearray(SEEN_BITS // 8)

    def add(self, mac: str, starts_at: int, ip: str) -> bool:
        """Notes a stay; answers whether it may have been noted before: always if it was, else rarely."""
        place = hash((mac, starts_at, ip)) % SEEN_BITS
        byte, bit = place >> 3, 1 << (place & 7)
        known = bool(self._bits[byte] & bit)
        self._bits[byte] |= bit
        return known


class Storing:
    """One pass over a source, inside one transaction: what all sources have in common."""

    def __init__(self, transaction: Transaction, clock: Clock, report: Report) -> None:
        self._transaction = transaction
        self._clock = clock
        self._report = report
        self._fresh: list[Given] = []
        self._seen = _Seen()

    async def look(self) -> None:
        """Notes what the store holds."""
        async for mac, starts_at, ip in self._transaction.each(stays.stays(), {}):
            self._seen.add(mac, starts_at, ip)

    async def take(self, record: Any) -> None:
        """Stores a record of the source, now or later; raises RefusedError."""
        raise NotImplementedError

    async def end(self) -> None:
        """Stores what is left when the source has been read."""
        await self._write()

    def devices(self) -> Iterable[SourceDevice]:
        """Devices of which the records told a name."""
        return ()

    async def device(self, row: SourceDevice) -> None:
        """Fills in the name and owner of a device."""
        try:
            mac = device_mac(row.mac)
            name, owner = device_name(row.name, "unreadable name"), device_name(row.owner, "unreadable owner")
        except RefusedError as refused:
            self._report.refuse_device(row.line, refused.reason, refused.value)
            return
        known = await self._transaction.fetch(named(), {"macs": json.dumps([mac])})
        _, known_name, known_owner = known[0] if known else (mac, None, None)
        if (name and known_name is None) or (owner and known_owner is None):
            given = {"of": mac, "mac": mac, "name": name, "owner": owner}
            await self._transaction.execute(changes.fill_device() if known else changes.name_device(), given)
            self._report.devices_named += 1

    async def _gather(self, given: Given) -> None:
        """Stores a stay that is new, together with others."""
        self._fresh.append(given)
        if len(self._fresh) == STEP:
            await self._write()

    async def _write(self) -> None:
        fresh, self._fresh = self._fresh, []
        for given, identity in zip(fresh, new_ids(self._clock, len(fresh)), strict=True):
            given.setdefault("id", identity)
            self._count(given)
        if fresh:
            await self._transaction.record(fresh)

    def _count(self, given: Given) -> None:
        report = self._report
        report.imported += 1
        report.connected += given["disconnection_event"] is None
        report.missing_connection += given["connected_at"] is None
        report.missing_disconnection += given["disconnection_event"] == MISSING

    async def _complete(self, given: Given, held: HeldRow) -> None:
        """Ends a stay that was known as open."""
        await self._transaction.execute(changes.end_one_session(), given | {"of": given["mac"], "one": held.id})
        self._report.completed += 1


class StoringRows(Storing):
    """Rows of NetAlertX or Pi.Alert."""

    def __init__(self, transaction: Transaction, clock: Clock, report: Report, zone: ZoneInfo) -> None:
        super().__init__(transaction, clock, report)
        self._zone = zone

    async def take(self, record: SourceSession) -> None:
        """Stores a row; a later look at a stay that was known as open ends it."""
        given = parameters(record, self._zone)
        if not self._seen.add(given["mac"], given["starts_at"], given["ip"]):
            await self._gather(given)
            return
        # It may be another look at a stay that is there: what comes before it must be, too.
        await self._write()
        started, ended = given["connected_at"] is not None, given["disconnection_event"] is not None
        if started and not ended and await self._transaction.fetch(stays.ended_stay(), given):
            self._report.already_there += 1
        elif started and ended and await self._end(given):
            self._report.completed += 1
        elif await self._insert(given):
            self._count(given)
        else:
            self._report.already_there += 1

    async def _end(self, given: Given) -> int:
        stay = {"of": given["mac"], "began": given["starts_at"], "at": given["ip"]}
        return await self._transaction.execute(changes.end_session(), given | stay)

    async def _insert(self, given: Given) -> int:
        await self._transaction.execute(changes.insert_device(), given)
        (identity,) = new_ids(self._clock, 1)
        return await self._transaction.execute(changes.insert_new_session(), given | {"id": identity})
