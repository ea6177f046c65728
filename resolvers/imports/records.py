"""The rules by which a record of another file becomes a session here: what its values mean, and which are refused."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from resolvers.imports.reports import RefusedError
from resolvers.validation.addresses import EVENT_TYPE_LENGTH, INFO_LENGTH, NAME_LENGTH, parse_ip, parse_mac, parse_text
from resolvers.validation.clock import Clock, instant, utc
from storage.sources.records import SourceSession, Value
from storage.tables import MISSING

T = TypeVar("T")

CACHED = 65_536
UTC_ZONE = ZoneInfo("UTC")
# What NetAlertX writes where nobody gave a name.
NAMELESS = ("", "(unknown)", "(name not found)")

_UTC = Clock(UTC_ZONE)
_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$", re.ASCII | re.IGNORECASE)


def parsed(value: Value, parse: Callable[[str], T], reason: str) -> T:
    """The value by a parser; the columns have numeric affinity, so that text of digits has become a number."""
    try:
        return parse(value.decode() if isinstance(value, bytes) else str(value))
    except ValueError:  # a wrong encoding is one too
        raise RefusedError(reason, value) from None


# A network's devices, addresses and event types come again and again; of a value, its type tells too.
@lru_cache(CACHED, typed=True)
def device_mac(value: Value) -> str:
    """A device's address; raises RefusedError."""
    return parsed(value, parse_mac, "no MAC address")


@lru_cache(CACHED, typed=True)
def device_ip(value: Value) -> str:
    """An address on the network; raises RefusedError."""
    return parsed(value, parse_ip, "no IP address")


@lru_cache(CACHED, typed=True)
def _event(value: Value, reason: str) -> str | None:
    if value is None:
        return None
    text = parsed(value, lambda text: parse_text(text, EVENT_TYPE_LENGTH), reason)
    return text if text.strip() and text != MISSING else None


def _instant(text: str, zone: ZoneInfo, *, second: bool = False) -> int:
    """A time of the file. One that the clocks skipped is the instant at which they would have shown it, had they stayed.

    `second` reads a time that occurs twice as the later one.
    """
    moment = utc(_UTC.parse(text))
    return instant(moment if _OFFSET.search(text) else moment.replace(tzinfo=zone, fold=second))


def _usual(text: str, zone: ZoneInfo) -> int | None:
    """The same for a time as the sources write it, with or without Z or an offset; None for any other."""
    zulu = text[-1:] == "Z" and len(text) in (20, 27)
    if not (zulu or len(text) in (19, 25)) or text[4] + text[7] + text[13] + text[16] != "--::" or text[10] not in " T":
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
    if isinstance(value, (bytes, str)) and value.isascii() and not second:
        usual = _usual(value if isinstance(value, str) else value.decode("ascii"), zone)
        if usual is not None:
            return usual
    return parsed(value, lambda text: _instant(text, zone, second=second), reason)


def parameters(row: SourceSession, zone: ZoneInfo) -> dict[str, Any]:
    """A row as `changes.insert_new_session` takes it, but for the id; raises RefusedError.

    Times without an offset are wall-clock time of the zone.
    """
    mac, ip = device_mac(row.mac), device_ip(row.ip)
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
        "info": "" if row.info is None else parsed(row.info, lambda t: parse_text(t, INFO_LENGTH), "unreadable info"),
        "live": 0,
        "seen_at": None,
        "starts_at": disconnected_at if connected_at is None else connected_at,
    }


def device_name(value: Value, reason: str) -> str | None:
    """A name or an owner; None where the file tells of none. Raises RefusedError."""
    if value is None:
        return None
    text = parsed(value, lambda text: parse_text(text.strip(), NAME_LENGTH), reason)
    return None if text.lower() in NAMELESS else text
