"""Convert records of other programs to sessions, and reject those that cannot become one."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from resolvers.imports.reports import RejectedRecordError
from resolvers.validation.addresses import EVENT_TYPE_LENGTH, INFO_LENGTH, NAME_LENGTH, parse_ip, parse_mac, parse_text
from resolvers.validation.clock import Clock, to_datetime, to_instant
from storage.sources.records import SourceSession, Value
from storage.tables import MISSING_EVENT, SESSION_DEFAULTS

T = TypeVar("T")

CACHE_SIZE = 65_536
UTC_ZONE = ZoneInfo("UTC")
# NetAlertX writes these for devices without a name or owner.
PLACEHOLDER_NAMES = ("", "(unknown)", "(name not found)")

_UTC_CLOCK = Clock(UTC_ZONE)
_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$", re.ASCII | re.IGNORECASE)


def parse_value(value: Value, parse: Callable[[str], T], reason: str) -> T:
    """Parse a value as text. Raise RejectedRecordError.

    Numbers are accepted, because SQLite stores text of digits as a number in columns with numeric affinity.
    """
    try:
        return parse(value.decode() if isinstance(value, bytes) else str(value))
    except ValueError:  # includes UnicodeDecodeError
        raise RejectedRecordError(reason, value) from None


# Values repeat within a file. The caches are typed because 1, 1.0 and True are equal, but differ as text.
@lru_cache(CACHE_SIZE, typed=True)
def convert_mac(value: Value) -> str:
    """Return the canonical MAC address. Raise RejectedRecordError."""
    return parse_value(value, parse_mac, "no MAC address")


@lru_cache(CACHE_SIZE, typed=True)
def convert_ip(value: Value) -> str:
    """Return the canonical IP address. Raise RejectedRecordError."""
    return parse_value(value, parse_ip, "no IP address")


@lru_cache(CACHE_SIZE, typed=True)
def _convert_event_type(value: Value, reason: str) -> str | None:
    if value is None:
        return None
    text = parse_value(value, lambda text: parse_text(text, EVENT_TYPE_LENGTH), reason)
    return text if text.strip() and text != MISSING_EVENT else None


def _parse_instant(text: str, zone: ZoneInfo, *, fold: bool = False) -> int:
    """Return an instant in microseconds since the epoch. Raise ValueError.

    Without an offset, the time is local to the zone. A time that was skipped at a change of the clocks counts as if they
    had not changed. `fold` selects the later instant of a time that occurs twice.
    """
    moment = to_datetime(_UTC_CLOCK.parse_time(text))
    return to_instant(moment if _OFFSET.search(text) else moment.replace(tzinfo=zone, fold=fold))


def _parse_common_format(text: str, zone: ZoneInfo) -> int | None:
    """Return the instant of a time in the formats that the programs write, or None for any other. A shortcut for speed."""
    has_known_length = len(text) in (19, 25) or (text[-1:] == "Z" and len(text) in (20, 27))
    if not has_known_length or text[4] + text[7] + text[13] + text[16] != "--::" or text[10] not in " T":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1900 < moment.year < 9998:
        return None
    return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _convert_time(value: Value, zone: ZoneInfo, reason: str, *, fold: bool = False) -> int | None:
    if value is None or value == b"":
        return None
    if isinstance(value, (bytes, str)) and value.isascii() and not fold:
        parsed = _parse_common_format(value if isinstance(value, str) else value.decode("ascii"), zone)
        if parsed is not None:
            return parsed
    return parse_value(value, lambda text: _parse_instant(text, zone, fold=fold), reason)


def _parse_info(text: str) -> str:
    return parse_text(text, INFO_LENGTH)


def session_parameters(row: SourceSession, zone: ZoneInfo) -> dict[str, Any]:
    """Return the parameters of `writes.insert_session_unless_imported`, without the id. Raise RejectedRecordError.

    Times without an offset are local to the zone.
    """
    mac, ip = convert_mac(row.mac), convert_ip(row.ip)
    connected_at = _convert_time(row.connected_at, zone, "unreadable connection time")
    disconnected_at = _convert_time(row.disconnected_at, zone, "unreadable disconnection time")
    start_event = _convert_event_type(row.connection_event, "unreadable connection event")
    end_event = _convert_event_type(row.disconnection_event, "unreadable disconnection event")
    # NetAlertX marks an open session by still_connected = 1, or by neither that mark nor an end event.
    has_no_mark = row.still_connected is None and row.disconnection_event in (None, b"")
    if connected_at is None and disconnected_at is None:
        raise RejectedRecordError("neither end has a time", row.mac)
    if connected_at is not None and disconnected_at is not None and disconnected_at < connected_at:
        # In the hour repeated in autumn, an end before the start is the second occurrence.
        disconnected_at = _convert_time(row.disconnected_at, zone, "unreadable disconnection time", fold=True)
        if disconnected_at is None or disconnected_at < connected_at:
            raise RejectedRecordError("end before start", row.disconnected_at)
    if disconnected_at is not None:
        end_event = end_event or "Disconnected"
    else:
        end_event = None if row.still_connected == 1 or has_no_mark else MISSING_EVENT
    return {
        **SESSION_DEFAULTS,
        "mac": mac,
        "ip": ip,
        "connected_at": connected_at,
        "disconnected_at": disconnected_at,
        "connection_event": MISSING_EVENT if connected_at is None else start_event or "Connected",
        "disconnection_event": end_event,
        "info": "" if row.info is None else parse_value(row.info, _parse_info, "unreadable info"),
        "starts_at": disconnected_at if connected_at is None else connected_at,
    }


def convert_name(value: Value, reason: str) -> str | None:
    """Return a device's name or owner, or None for a placeholder. Raise RejectedRecordError."""
    if value is None:
        return None
    text = parse_value(value, lambda text: parse_text(text.strip(), NAME_LENGTH), reason)
    return None if text.lower() in PLACEHOLDER_NAMES else text
