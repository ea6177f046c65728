"""Queries for presence: the sessions that overlap a window, as columns of numbers.

A row of a result costs about 300 ns, too much for a million sessions. A column that the database joins into one byte string
costs a third of that, and numpy converts numbers of fixed width at 6 ns each.

Parameters: `since`, `until`, `now` (instants), `zero` (`since` minus `NUMBER_OFFSET`), `last` (the length of the window plus
`NUMBER_OFFSET`), `mac`, `macs` (a JSON array).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from storage.queries.clauses import (
    in_json_array,
    in_span_classes,
    integer_literal,
    integer_param,
    overlaps_window,
    text_param,
    union_branches,
)
from storage.tables import DEVICES, SPAN_CLASSES, session

DeviceFilter = Literal["mac", "macs"] | None  # one device, several, or all

NUMBER_LENGTH, MAC_LENGTH = 16, 17  # characters of a number and of a MAC
NUMBER_OFFSET = 10 ** (NUMBER_LENGTH - 1)  # added to each number, so that all of them have NUMBER_LENGTH digits


class SessionArrays(NamedTuple):
    """Sessions as columns: both ends in microseconds since the start of the window and clipped to it, and the device.

    A session without a duration has equal ends. A device is an integer made of the bytes of its MAC.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    devices: NDArray[np.uint64]


def window_params(since: int, until: int) -> dict[str, int]:
    """Return the parameters of a window."""
    return {"since": since, "until": until, "zero": since - NUMBER_OFFSET, "last": until - since + NUMBER_OFFSET}


class _packed(FunctionElement[Any]):  # noqa: N801
    """The numbers of a column as one byte string: `NUMBER_LENGTH` digits, or eight bytes, per number."""

    inherit_cache = True


@compiles(_packed, "sqlite")
def _packed_sqlite(element: _packed, compiler: SQLCompiler, **kw: Any) -> str:
    # Python copies bytes as they are. Text would be decoded while holding the GIL.
    return f"CAST(string_agg({compiler.process(element.clauses, **kw)}, '') AS BLOB)"


@compiles(_packed, "postgresql")
def _packed_postgresql(element: _packed, compiler: SQLCompiler, **kw: Any) -> str:
    return f"string_agg(int8send({compiler.process(element.clauses, **kw)}), '')"


# The value of `starts_at`. In a SQLite row, that column lies behind texts that would have to be skipped.
_STARTS_AT: ColumnElement[int] = func.coalesce(session.connected_at, session.disconnected_at)


def _clipped_columns(at: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
    """Return start, end and MAC of a session that starts at `at` and overlaps the window."""
    until, now, zero = integer_param("until"), integer_param("now"), integer_param("zero")
    disconnected_at: ColumnElement[int | None] = session.disconnected_at
    start = case((at > integer_param("since"), at - zero), else_=integer_literal(NUMBER_OFFSET))
    end = case(
        (disconnected_at < until, disconnected_at - zero),
        (disconnected_at.is_not(None), integer_param("last")),
        (or_(session.disconnection_event.is_not(None), at >= now), at - zero),
        (now < until, now - zero),
        else_=integer_param("last"),
    )
    return start.label("start"), end.label("end"), session.mac.label("mac")


def _is_device(devices: DeviceFilter) -> list[ColumnElement[bool]]:
    match devices:
        case "mac":
            return [session.mac == text_param("mac")]
        case "macs":
            return [in_json_array(session.mac, "macs")]
        case None:
            return []


def _overlaps() -> ColumnElement[bool]:
    """Return the condition of `overlaps_window` for all span classes at once."""
    at, since, now = _STARTS_AT, integer_param("since"), integer_param("now")
    is_open_then = and_(session.disconnected_at.is_(None), session.disconnection_event.is_(None), now > since)
    return and_(at < integer_param("until"), or_(session.disconnected_at > since, at >= since, is_open_then))


def _packed_columns(row: Any) -> Select[Any]:
    macs: ColumnElement[Any] = cast(func.string_agg(row.mac, literal_column("''")), LargeBinary)
    return select(_packed(row.start), _packed(row.end), macs)


@cache
def scan_window() -> Select[Any]:
    """Select one row for `unpack_sessions` with all sessions of the window, by a full scan of the table."""
    return _packed_columns(select(*_clipped_columns(_STARTS_AT)).where(_overlaps()).subquery().c)


def _seek(devices: DeviceFilter, *columns: ColumnElement[Any]) -> FromClause:
    branches = [select(*columns).where(overlaps_window(n), *_is_device(devices)) for n in SPAN_CLASSES]
    return union_branches(branches).subquery()


@cache
def seek_window(devices: DeviceFilter) -> Select[Any]:
    """Select one row for `unpack_sessions` with the sessions of these devices in the window, by index."""
    return _packed_columns(_seek(devices, *_clipped_columns(session.starts_at)).c)


@cache
def count_in_window(devices: DeviceFilter) -> Select[Any]:
    """Count the sessions of `seek_window`."""
    return select(func.count()).select_from(_seek(devices, session.id))


@cache
def stored_extent() -> Select[Any]:
    """Select the first and the last start of all sessions (null if there are none), and the number of devices."""

    def aggregate(function: Any, n: int) -> Any:
        return select(function(session.starts_at)).where(in_span_classes(session.span, n)).scalar_subquery()

    ends = [select(aggregate(func.min, n).label("low"), aggregate(func.max, n).label("high")) for n in SPAN_CLASSES]
    row = union_branches(ends).subquery().c
    device_count = select(func.count()).select_from(DEVICES).scalar_subquery()
    return select(func.min(row.low), func.max(row.high), device_count)


def unpack_sessions(row: Any, macs: Sequence[str] | None = None) -> SessionArrays:
    """Convert a row of `scan_window` or `seek_window`. If `macs` is set, keep only the sessions of these devices."""
    starts, ends, devices = (column or b"" for column in row)
    count = len(devices) // MAC_LENGTH
    sessions = SessionArrays(_unpack_numbers(starts, count), _unpack_numbers(ends, count), _unpack_macs(devices))
    if macs is None:
        return sessions
    selected = np.isin(sessions.devices, _unpack_macs("".join(macs).encode("ascii")))
    return SessionArrays(sessions.starts[selected], sessions.ends[selected], sessions.devices[selected])


def _unpack_numbers(column: bytes, count: int) -> NDArray[np.int64]:
    if len(column) < NUMBER_LENGTH * count:
        return np.frombuffer(column, ">i8").astype(np.int64) - NUMBER_OFFSET
    # A word contains eight digits. They become four numbers of two digits, then two of four, then one of eight.
    words = np.frombuffer(column, "<u8") - np.uint64(0x3030303030303030)
    for bits, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0x00000000FFFFFFFF)):
        # The first of two neighbours is in the lower half.
        words *= np.uint64((10 ** (bits // 8) << bits) + 1)
        words >>= np.uint64(bits)
        words &= np.uint64(mask)
    high, low = words.view(np.int64).reshape(-1, 2).T
    numbers: NDArray[np.int64] = high * 10**8 + low - NUMBER_OFFSET
    return numbers


# The byte of two hexadecimal digits, which are the index as a 16-bit integer.
_BYTES = np.zeros(2**16, np.uint8)
_BYTES[np.frombuffer(bytes(range(256)).hex().upper().encode("ascii"), "<u2")] = np.arange(256)


# The text of a MAC: two digits for each of six bytes, without the colons between them.
_MAC_TEXT = np.dtype(
    {"names": list("abcdef"), "formats": ["<u2"] * 6, "offsets": range(0, MAC_LENGTH, 3), "itemsize": MAC_LENGTH}
)


def _unpack_macs(column: bytes) -> NDArray[np.uint64]:
    texts = np.frombuffer(column, _MAC_TEXT)
    macs = np.zeros((len(texts), 8), np.uint8)
    for n, byte in enumerate("abcdef"):
        macs[:, n] = _BYTES[texts[byte]]
    return macs.view(np.uint64)[:, 0]
