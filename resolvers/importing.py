"""Taking over what NetAlertX or Pi.Alert recorded: the rules by which a row of theirs becomes a session here."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from resolvers.clock import Clock, instant, utc
from resolvers.context import Context
from resolvers.errors import SHOWN
from resolvers.sessions import new_ids
from resolvers.values import EVENT_TYPE_LENGTH, INFO_LENGTH, NAME_LENGTH, parse_ip, parse_mac, parse_text
from storage import changes, netalertx
from storage.devices import named
from storage.netalertx import Source, SourceDevice, SourceSession, Value
from storage.sessions import stays
from storage.store import Transaction
from storage.tables import MISSING

T = TypeVar("T")

EXAMPLES = 3  # refused rows that are shown for each reason
STEP = 1000  # rows between two reports of progress, and at most in one write
CACHED = 65_536
SEEN_BITS = 2**27  # 16 MiB; of a million stays, fewer than one in a hundred are taken for known
UTC_ZONE = ZoneInfo("UTC")
# What the source writes where nobody gave a name.
NAMELESS = ("", "(unknown)", "(name not found)")

_UTC = Clock(UTC_ZONE)
_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$", re.ASCII | re.IGNORECASE)


class RefusedError(Exception):
    """A row that cannot become a session: the kind of reason, and the value that is at fault."""

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason)
        self.reason = reason
        shown = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        self.value = repr(shown)[:SHOWN]


@dataclass
class Refusals:
    """How many rows were refused for one reason; the first few as row id and value."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)

    def add(self, rowid: int, value: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((rowid, value))


@dataclass
class Report:
    """What became of every row that was read; of the imported ones, how many have which end open."""

    zone: str
    local_time: bool  # whether the file's times are wall-clock time, rather than UTC
    read: int = 0
    imported: int = 0
    completed: int = 0
    already_there: int = 0
    connected: int = 0
    missing_connection: int = 0
    missing_disconnection: int = 0
    devices_named: int = 0
    refused: dict[str, Refusals] = field(default_factory=dict)
    devices_refused: dict[str, Refusals] = field(default_factory=dict)

    @property
    def refused_count(self) -> int:
        """How many sessions were refused, for whatever reason."""
        return sum(refusals.count for refusals in self.refused.values())


class _UndoneError(Exception):
    """Raised inside the change, so that it leaves nothing behind."""


def _parsed(value: Value, parse: Callable[[str], T], reason: str) -> T:
    """The value by a parser; the columns have numeric affinity, so that text of digits has become a number."""
    try:
        return parse(value.decode() if isinstance(value, bytes) else str(value))
    except ValueError:  # a wrong encoding is one too
        raise RefusedError(reason, value) from None


# A network's devices, addresses and event types come again and again; of a value, its type tells too.
@lru_cache(CACHED, typed=True)
def _mac(value: Value) -> str:
    return _parsed(value, parse_mac, "no MAC address")


@lru_cache(CACHED, typed=True)
def _ip(value: Value) -> str:
    return _parsed(value, parse_ip, "no IP address")


@lru_cache(CACHED, typed=True)
def _event(value: Value, reason: str) -> str | None:
    if value is None:
        return None
    text = _parsed(value, lambda text: parse_text(text, EVENT_TYPE_LENGTH), reason)
    return text if text.strip() and text != MISSING else None


def _instant(text: str, zone: ZoneInfo, *, second: bool = False) -> int:
    """A time of the file. One that the clocks skipped is the instant at which they would have shown it, had they stayed.

    `second` reads a time that occurs twice as the later one.
    """
    moment = utc(_UTC.parse(text))
    return instant(moment if _OFFSET.search(text) else moment.replace(tzinfo=zone, fold=second))


def _usual(text: str, zone: ZoneInfo) -> int | None:
    """The same for a time as the source writes it, with or without an offset of hours and minutes; None for any other."""
    if len(text) not in (19, 25) or text[4] + text[7] + text[13] + text[16] != "--::" or text[10] not in " T":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1900 < moment.year < 9998:
        return None
    return instant(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _time(value: Value, zone: ZoneInfo, reason: str, *, second: bool = False) -> int | None:
    if value is None or value == b"":
        return None
    if isinstance(value, bytes) and value.isascii() and not second:
        usual = _usual(value.decode("ascii"), zone)
        if usual is not None:
            return usual
    return _parsed(value, lambda text: _instant(text, zone, second=second), reason)


def parameters(row: SourceSession, zone: ZoneInfo) -> dict[str, Any]:
    """A row as `changes.insert_new_session` takes it, but for the id; raises RefusedError.

    Times without an offset are wall-clock time of the zone.
    """
    mac, ip = _mac(row.mac), _ip(row.ip)
    connected_at = _time(row.connected_at, zone, "unreadable connection time")
    disconnected_at = _time(row.disconnected_at, zone, "unreadable disconnection time")
    start_event = _event(row.connection_event, "unreadable connection event")
    end_event = _event(row.disconnection_event, "unreadable disconnection event")
    # Among the rows without an end, the source tells those that are still connected by a mark, or by no event at all.
    unmarked = row.still_connected is None and row.disconnection_event in (None, b"")
    if connected_at is None and disconnected_at is None:
        raise RefusedError("neither end has a time", row.mac)
    if connected_at is not None and disconnected_at is not None and disconnected_at < connected_at:
        # In the hour that autumn repeats, an end before the start can only be the later of the two.
        disconnected_at = _time(row.disconnected_at, zone, "unreadable disconnection time", second=True)
        if disconnected_at is None or disconnected_at < connected_at:
            raise RefusedError("end before start", row.disconnected_at)
    if disconnected_at is not None:
        end_event = end_event or "Disconnected"
    else:
        end_event = None if row.still_connected == 1 or unmarked else MISSING
    return {
        "mac": mac,
        "ip": ip,
        "connected_at": connected_at,
        "disconnected_at": disconnected_at,
        "connection_event": MISSING if connected_at is None else start_event or "Connected",
        "disconnection_event": end_event,
        "info": "" if row.info is None else _parsed(row.info, lambda t: parse_text(t, INFO_LENGTH), "unreadable info"),
        "live": 0,
        "seen_at": None,
        "starts_at": disconnected_at if connected_at is None else connected_at,
    }


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


class _Import:
    """One pass over a source, inside one transaction."""

    def __init__(self, transaction: Transaction, clock: Clock, report: Report, zone: ZoneInfo) -> None:
        self._transaction = transaction
        self._clock = clock
        self._report = report
        self._zone = zone
        self._fresh: list[dict[str, Any]] = []
        self._seen = _Seen()

    async def look(self) -> None:
        """Notes what the store holds."""
        async for mac, starts_at, ip in self._transaction.each(stays(), {}):
            self._seen.add(mac, starts_at, ip)

    async def session(self, row: SourceSession) -> None:
        report = self._report
        report.read += 1
        try:
            given = parameters(row, self._zone)
        except RefusedError as refused:
            report.refused.setdefault(refused.reason, Refusals()).add(row.rowid, refused.value)
            return
        if not self._seen.add(given["mac"], given["starts_at"], given["ip"]):
            self._fresh.append(given)
            if len(self._fresh) == STEP:
                await self.write()
            return
        # It may be another look at a stay that is there: what comes before it must be, too.
        await self.write()
        started, ended = given["connected_at"] is not None, given["disconnection_event"] is not None
        if started and not ended and await self._transaction.fetch(netalertx.ended_stay(), given):
            report.already_there += 1
        elif started and ended and await self._end(given):
            report.completed += 1
        elif await self._insert(given):
            self._count(given)
        else:
            report.already_there += 1

    async def write(self) -> None:
        """Stores the new stays that were gathered."""
        fresh, self._fresh = self._fresh, []
        for given, identity in zip(fresh, new_ids(self._clock, len(fresh)), strict=True):
            given["id"] = identity
            self._count(given)
        if fresh:
            await self._transaction.record(fresh)

    def _count(self, given: dict[str, Any]) -> None:
        report = self._report
        report.imported += 1
        report.connected += given["disconnection_event"] is None
        report.missing_connection += given["connected_at"] is None
        report.missing_disconnection += given["disconnection_event"] == MISSING

    async def _end(self, given: dict[str, Any]) -> int:
        stay = {"of": given["mac"], "began": given["starts_at"], "at": given["ip"]}
        return await self._transaction.execute(changes.end_session(), given | stay)

    async def _insert(self, given: dict[str, Any]) -> int:
        await self._transaction.execute(changes.insert_device(), given)
        (identity,) = new_ids(self._clock, 1)
        return await self._transaction.execute(changes.insert_new_session(), given | {"id": identity})

    async def device(self, row: SourceDevice) -> None:
        try:
            mac = _parsed(row.mac, parse_mac, "no MAC address")
            name, owner = _name(row.name, "unreadable name"), _name(row.owner, "unreadable owner")
        except RefusedError as refused:
            self._report.devices_refused.setdefault(refused.reason, Refusals()).add(row.rowid, refused.value)
            return
        known = await self._transaction.fetch(named(), {"macs": json.dumps([mac])})
        _, known_name, known_owner = known[0] if known else (mac, None, None)
        if (name and known_name is None) or (owner and known_owner is None):
            given = {"of": mac, "mac": mac, "name": name, "owner": owner}
            await self._transaction.execute(changes.fill_device() if known else changes.name_device(), given)
            self._report.devices_named += 1


def _name(value: Value, reason: str) -> str | None:
    if value is None:
        return None
    text = _parsed(value, lambda text: parse_text(text.strip(), NAME_LENGTH), reason)
    return None if text.lower() in NAMELESS else text


async def import_file(
    context: Context, path: Path, zone: ZoneInfo | None, *, dry_run: bool, progress: Callable[[int, int], None]
) -> Report:
    """Takes over all sessions and device names of a file, or nothing; raises `netalertx.SourceError`.

    `zone` is that of the file's wall-clock times, the clock's unless told; it says nothing where the file has UTC.
    `progress` is told how many sessions of how many were read, from another thread. A dry run does all and undoes it.
    """
    with netalertx.opened(path) as source:
        meant = (zone or context.clock.zone) if source.local_time else UTC_ZONE
        stopped = Event()
        report = Report(meant.key, source.local_time)

        async def change(transaction: Transaction) -> None:
            nonlocal report
            report = Report(meant.key, source.local_time)  # begun anew, it counts anew
            await _take_over(source, _Import(transaction, context.clock, report, meant), report, stopped, progress)
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
    source: Source, taken: _Import, report: Report, stopped: Event, progress: Callable[[int, int], None]
) -> None:
    await taken.look()
    for row in source.sessions():
        await taken.session(row)
        if report.read % STEP == 0:
            progress(report.read, source.count)
            if stopped.is_set():
                raise _UndoneError
    await taken.write()
    for device in source.devices():
        await taken.device(device)
    progress(report.read, source.count)
    if stopped.is_set():
        raise _UndoneError
