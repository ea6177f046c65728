"""The last move of an export: sessions as rows of CSV, or as JSON objects on lines of their own.

Nothing is lost on the way out and back: instants are whole, in UTC, and texts stand as they were stored. So does one that
a spreadsheet would take for a formula; a mark against that could not be told from the text itself when it comes back.
"""

import csv
from collections.abc import Callable, Iterable
from io import StringIO
from typing import NamedTuple

from resolvers.validation.clock import iso
from rest_compat.serializers import quoted
from storage.queries.sessions import SessionRow
from storage.sources.exported import COLUMNS


class Form(NamedTuple):
    """How a file of sessions is written, and what it is called."""

    media_type: str
    name: str
    head: str
    rows: Callable[[Iterable[SessionRow]], str]


def _time(instant: int | None) -> str | None:
    return None if instant is None else iso(instant)


def _cells(row: SessionRow) -> tuple[str | None, ...]:
    """What stands under each of `COLUMNS`."""
    return (
        row.mac,
        row.ip,
        _time(row.connected_at),
        _time(row.disconnected_at),
        row.connection_event,
        row.disconnection_event,
        row.state,
        row.info,
    )


def _csv(cells: Iterable[Iterable[str | None]]) -> str:
    """RFC 4180: lines end in CRLF, and what has a quote, a comma or a line end in it is quoted."""
    written = StringIO()
    csv.writer(written).writerows(cells)
    return written.getvalue()


_OBJECT = "{" + ",".join(f'"{name}":%s' for name in COLUMNS) + "}\n"


def _ndjson(rows: Iterable[SessionRow]) -> str:
    return "".join(_OBJECT % tuple(map(quoted, _cells(row))) for row in rows)


FORMS = {
    "csv": Form(
        "text/csv; charset=utf-8; header=present",
        "sessions.csv",
        _csv([COLUMNS]),
        lambda rows: _csv(map(_cells, rows)),
    ),
    "ndjson": Form("application/x-ndjson", "sessions.ndjson", "", _ndjson),
}
