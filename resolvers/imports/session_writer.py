"""Write the records of a file: new sessions in batches, and sessions that may exist already one by one.

The source determines how an existing session is recognized. A row of NetAlertX is compared by device, address, start and
end, an exported session by all exported columns. A lease matches a session of the same device and address that it overlaps.
"""

import json
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from resolvers.imports.conversion import convert_mac, convert_name, session_parameters
from resolvers.imports.reports import ImportReport, RejectedRecordError
from resolvers.sessions import new_session_ids
from resolvers.validation.clock import Clock
from storage.queries import imports as import_queries
from storage.queries import writes
from storage.queries.devices import devices_by_macs
from storage.queries.imports import ExistingSession
from storage.sources.records import SourceDevice, SourceSession
from storage.store import Transaction
from storage.tables import MISSING_EVENT

SessionParameters = dict[str, Any]  # of `writes.insert_session_unless_imported`, with or without the id

BATCH_SIZE = 1000  # records between two calls of `progress`; maximum of sessions in one write
FILTER_BITS = 2**27  # 16 MiB; less than 1 % false positives for a million sessions


class _SessionFilter:
    """A Bloom filter over device, start and address of sessions. It saves the look-up of most new sessions."""

    def __init__(self) -> None:
        self._bits = bytearray(FILTER_BITS // 8)

    def add(self, mac: str, starts_at: int, ip: str) -> bool:
        """Add a session. Return True if it was added before, and rarely also if it was not."""
        position = hash((mac, starts_at, ip)) % FILTER_BITS
        byte, bit = position >> 3, 1 << (position & 7)
        may_exist = bool(self._bits[byte] & bit)
        self._bits[byte] |= bit
        return may_exist


class SessionWriter:
    """Base class: writes the records of one source inside one transaction."""

    def __init__(self, transaction: Transaction, clock: Clock, report: ImportReport) -> None:
        self._transaction = transaction
        self._clock = clock
        self._report = report
        self._new: list[SessionParameters] = []
        self._filter = _SessionFilter()

    async def load_existing(self) -> None:
        """Add the sessions of the store to the filter."""
        async for mac, starts_at, ip in self._transaction.iterate(import_queries.session_keys(), {}):
            self._filter.add(mac, starts_at, ip)

    async def write(self, record: Any) -> None:
        """Write or buffer a record. Raise RejectedRecordError."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Write the buffered sessions, after the last record."""
        await self._flush()

    def named_devices(self) -> Iterable[SourceDevice]:
        """Return devices named by the records."""
        return ()

    async def write_device(self, row: SourceDevice) -> None:
        """Set the name and owner of a device where they are empty."""
        try:
            mac = convert_mac(row.mac)
            name, owner = convert_name(row.name, "unreadable name"), convert_name(row.owner, "unreadable owner")
        except RejectedRecordError as error:
            self._report.reject_device(row.line, error.reason, error.value)
            return
        rows = await self._transaction.fetch(devices_by_macs(), {"macs": json.dumps([mac])})
        _, current_name, current_owner = rows[0] if rows else (mac, None, None)
        if (name and current_name is None) or (owner and current_owner is None):
            parameters = {"where_mac": mac, "mac": mac, "name": name, "owner": owner}
            await self._transaction.execute(
                writes.fill_device_names() if rows else writes.insert_named_device(), parameters
            )
            self._report.devices_named += 1

    async def _add_new(self, parameters: SessionParameters) -> None:
        """Buffer a new session. Write the buffer when it holds a full batch."""
        self._new.append(parameters)
        if len(self._new) == BATCH_SIZE:
            await self._flush()

    async def _flush(self) -> None:
        new, self._new = self._new, []
        for parameters, session_id in zip(new, new_session_ids(self._clock, len(new)), strict=True):
            parameters.setdefault("id", session_id)
            self._count(parameters)
        if new:
            await self._transaction.insert_sessions(new)

    def _count(self, parameters: SessionParameters) -> None:
        report = self._report
        report.imported += 1
        report.connected += parameters["disconnection_event"] is None
        report.missing_connection += parameters["connected_at"] is None
        report.missing_disconnection += parameters["disconnection_event"] == MISSING_EVENT

    async def _end_existing(self, parameters: SessionParameters, existing: ExistingSession) -> None:
        """End an open session of the store."""
        await self._transaction.execute(
            writes.end_session_by_id(), parameters | {"where_mac": parameters["mac"], "where_id": existing.id}
        )
        self._report.completed += 1


class NetAlertXWriter(SessionWriter):
    """Writes rows of NetAlertX or Pi.Alert."""

    def __init__(self, transaction: Transaction, clock: Clock, report: ImportReport, zone: ZoneInfo) -> None:
        super().__init__(transaction, clock, report)
        self._zone = zone

    async def write(self, record: SourceSession) -> None:
        """Write a row. If it is the ended state of an open session, end that session."""
        parameters = session_parameters(record, self._zone)
        if not self._filter.add(parameters["mac"], parameters["starts_at"], parameters["ip"]):
            await self._add_new(parameters)
            return
        # The session may exist already, also among the buffered ones.
        await self._flush()
        started, ended = parameters["connected_at"] is not None, parameters["disconnection_event"] is not None
        if started and not ended and await self._transaction.fetch(import_queries.ended_session(), parameters):
            self._report.already_there += 1
        elif started and ended and await self._end_open_session(parameters):
            self._report.completed += 1
        elif await self._insert(parameters):
            self._count(parameters)
        else:
            self._report.already_there += 1

    async def _end_open_session(self, parameters: SessionParameters) -> int:
        open_session = {
            "where_mac": parameters["mac"],
            "where_start": parameters["starts_at"],
            "where_ip": parameters["ip"],
        }
        return await self._transaction.execute(writes.end_imported_session(), parameters | open_session)

    async def _insert(self, parameters: SessionParameters) -> int:
        await self._transaction.execute(writes.insert_device(), parameters)
        (session_id,) = new_session_ids(self._clock, 1)
        return await self._transaction.execute(writes.insert_session_unless_imported(), parameters | {"id": session_id})
