"""Export formats: sessions as CSV, or as one JSON object per line.

An import restores exactly what was exported. Instants are in UTC with full precision. Texts are written unchanged, even
those that a spreadsheet would read as a formula: an escape character would be imported as part of the text.
"""

import csv
from collections.abc import Callable, Iterable
from io import StringIO
from typing import NamedTuple

from resolvers.constants import EXPORT_COLUMNS
from resolvers.sessions import SessionRow
from resolvers.validation.clock import format_utc
from rest_compat.serializers import json_string


class ExportFormat(NamedTuple):
    """How sessions are written to a file."""

    media_type: str
    file_name: str
    head: str
    write_rows: Callable[[Iterable[SessionRow]], str]


def _time(instant: int | None) -> str | None:
    return None if instant is None else format_utc(instant)


def _cells(row: SessionRow) -> tuple[str | None, ...]:
    """Return the values of `EXPORT_COLUMNS`."""
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


def _csv(lines: Iterable[Iterable[str | None]]) -> str:
    """Return CSV as in RFC 4180: lines end in CRLF, and cells with a quote, a comma or a line end are quoted."""
    text = StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


_OBJECT = "{" + ",".join(f'"{name}":%s' for name in EXPORT_COLUMNS) + "}\n"


def _ndjson(rows: Iterable[SessionRow]) -> str:
    return "".join(_OBJECT % tuple(map(json_string, _cells(row))) for row in rows)


FORMATS = {
    "csv": ExportFormat(
        "text/csv; charset=utf-8; header=present",
        "sessions.csv",
        _csv([EXPORT_COLUMNS]),
        lambda rows: _csv(map(_cells, rows)),
    ),
    "ndjson": ExportFormat("application/x-ndjson", "sessions.ndjson", "", _ndjson),
}
