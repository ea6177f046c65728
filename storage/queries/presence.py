"""Named questions about presence: the sessions that overlap a window, handed over in bulk, as columns of numbers.

A row of a million sessions costs their reader some 300 ns each; as one string of bytes a column they cost a third, and numpy
reads numbers of a fixed width out of such a string at 6 ns each.

Parameters: `since`, `until`, `now` (instants), `zero` (`since` less `FLOOR`), `last` (the length of the window and
`FLOOR`), `mac`, `macs` (a JSON array).
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

from storage.queries.clauses import among, constant, number, of_classes, overlapping, text, united
from storage.tables import CLASSES, DEVICES, session

Whose = Literal["mac", "macs"] | None  # of one device, of several, of all

DIGITS, MAC = 16, 17  # characters of a number and of an address
FLOOR = 10 ** (DIGITS - 1)  # is added to numbers from 0 to eight times as much, so that each has so many digits


class Stays(NamedTuple):
    """Sessions as columns: both ends in microseconds since the window's start, cut to it, and whose they are.

    A session that is an instant has equal ends. A device is the number that its MAC is, its bytes in some order.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    devices: NDArray[np.uint64]


def window(since: int, until: int) -> dict[str, int]:
    """The parameters of a window."""
    return {"since": since, "until": until, "zero": since - FLOOR, "last": until - since + FLOOR}


class _packed(FunctionElement[Any]):  # noqa: N801
    """All numbers of a column as bytes: `DIGITS` digits each, or the eight bytes of each."""

    inherit_cache = True


@compiles(_packed, "sqlite")
def _packed_sqlite(element: _packed, compiler: SQLCompiler, **kw: Any) -> str:
    # Bytes are copied into Python; a text is read through, while nothing else of it runs.
    return f"CAST(string_agg({compiler.process(element.clauses, **kw)}, '') AS BLOB)"


@compiles(_packed, "postgresql")
def _packed_postgresql(element: _packed, compiler: SQLCompiler, **kw: Any) -> str:
    return f"string_agg(int8send({compiler.process(element.clauses, **kw)}), '')"


# What is stored as `starts_at`. In a row of SQLite it lies behind texts that would have to be passed over.
_STARTS_AT: ColumnElement[int] = func.coalesce(session.connected_at, session.disconnected_at)


def _cut(at: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
    """The columns of a session that starts `at` an instant and overlaps the window."""
    until, now, zero = number("until"), number("now"), number("zero")
    ended: ColumnElement[int | None] = session.disconnected_at
    start = case((at > number("since"), at - zero), else_=constant(FLOOR))
    end = case(
        (ended < until, ended - zero),
        (ended.is_not(None), number("last")),
        (or_(session.disconnection_event.is_not(None), at >= now), at - zero),
        (now < until, now - zero),
        else_=number("last"),
    )
    return start.label("start"), end.label("end"), session.mac.label("mac")


def _of(whose: Whose) -> list[ColumnElement[bool]]:
    match whose:
        case "mac":
            return [session.mac == text("mac")]
        case "macs":
            return [among(session.mac, "macs")]
        case None:
            return []


def _overlaps() -> ColumnElement[bool]:
    """What `overlapping` says, for all classes at once."""
    at, since, now = _STARTS_AT, number("since"), number("now")
    open_then = and_(session.disconnected_at.is_(None), session.disconnection_event.is_(None), now > since)
    return and_(at < number("until"), or_(session.disconnected_at > since, at >= since, open_then))


def _stays(row: Any) -> Select[Any]:
    macs: ColumnElement[Any] = cast(func.string_agg(row.mac, literal_column("''")), LargeBinary)
    return select(_packed(row.start), _packed(row.end), macs)


@cache
def scanned() -> Select[Any]:
    """One row of what `unpacked` reads, of all devices: read off the whole table."""
    return _stays(select(*_cut(_STARTS_AT)).where(_overlaps()).subquery().c)


def _sought(whose: Whose, *columns: ColumnElement[Any]) -> FromClause:
    return united([select(*columns).where(overlapping(n), *_of(whose)) for n in CLASSES]).subquery()


@cache
def sought(whose: Whose) -> Select[Any]:
    """The same, found by the indexes."""
    return _stays(_sought(whose, *_cut(session.starts_at)).c)


@cache
def count(whose: Whose) -> Select[Any]:
    """How many sessions `sought` has."""
    return select(func.count()).select_from(_sought(whose, session.id))


@cache
def extent() -> Select[Any]:
    """One row: the first and the last start of all sessions (null where there is none), and how many devices there are."""

    def end_of(function: Any, n: int) -> Any:
        return select(function(session.starts_at)).where(of_classes(session.span, n)).scalar_subquery()

    ends = [select(end_of(func.min, n).label("low"), end_of(func.max, n).label("high")) for n in CLASSES]
    row = united(ends).subquery().c
    return select(func.min(row.low), func.max(row.high), select(func.count()).select_from(DEVICES).scalar_subquery())


def unpacked(row: Any, only: Sequence[str] | None = None) -> Stays:
    """The sessions of a row of `scanned` or `sought`, or those of some MACs among them."""
    starts, ends, macs = (column or b"" for column in row)
    stays = Stays(_numbers(starts, len(macs) // MAC), _numbers(ends, len(macs) // MAC), _macs(macs))
    if only is None:
        return stays
    kept = np.isin(stays.devices, _macs("".join(only).encode("ascii")))
    return Stays(stays.starts[kept], stays.ends[kept], stays.devices[kept])


def _numbers(column: bytes, count: int) -> NDArray[np.int64]:
    if len(column) < DIGITS * count:
        return np.frombuffer(column, ">i8").astype(np.int64) - FLOOR
    # Eight digits lie in a word: they become four numbers of two, then two of four, then one of eight.
    words = np.frombuffer(column, "<u8") - np.uint64(0x3030303030303030)
    for bits, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0x00000000FFFFFFFF)):
        # The first of two neighbours lies in the lower half.
        words *= np.uint64((10 ** (bits // 8) << bits) + 1)
        words >>= np.uint64(bits)
        words &= np.uint64(mask)
    high, low = words.view(np.int64).reshape(-1, 2).T
    found: NDArray[np.int64] = high * 10**8 + low - FLOOR
    return found


# Of two hexadecimal digits, read as one number, the byte that they write.
_BYTES = np.zeros(2**16, np.uint8)
_BYTES[np.frombuffer(bytes(range(256)).hex().upper().encode("ascii"), "<u2")] = np.arange(256)


# An address as it is written: two digits for each byte, and a colon that is passed over.
_WRITTEN = np.dtype({"names": list("abcdef"), "formats": ["<u2"] * 6, "offsets": range(0, MAC, 3), "itemsize": MAC})


def _macs(column: bytes) -> NDArray[np.uint64]:
    written = np.frombuffer(column, _WRITTEN)
    found = np.zeros((len(written), 8), np.uint8)
    for n, byte in enumerate("abcdef"):
        found[:, n] = _BYTES[written[byte]]
    return found.view(np.uint64)[:, 0]
