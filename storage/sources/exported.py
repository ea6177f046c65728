"""Exports of this program: one session per CSV row, or per line of NDJSON."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from storage.sources.files import SourceError, damaged_error, read_lines
from storage.sources.records import RejectedRecord, SourceSession
from storage.tables import COMPLETE, CONNECTED, MISSING_CONNECTION, MISSING_DISCONNECTION

EXPORT_COLUMNS = (
    "mac",
    "ip",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "state",
    "info",
)


def read_csv(path: Path) -> Iterator[SourceSession | RejectedRecord]:
    """Yield the sessions of a CSV file, with None for empty cells. Raise SourceError."""
    reader = csv.reader((line for _, line in read_lines(path)), strict=True)
    last = 0
    try:
        if tuple(next(reader, ())) != EXPORT_COLUMNS:
            raise SourceError(
                f"{path} is not a CSV export of sessions: its first line must be {','.join(EXPORT_COLUMNS)}."
            )
        last = reader.line_num
        for cells in reader:
            # A cell may contain line ends. Report the line where the row begins.
            first, last = last + 1, reader.line_num
            if len(cells) != len(EXPORT_COLUMNS):
                raise damaged_error(path, first, f"it has {len(cells)} cells instead of {len(EXPORT_COLUMNS)}")
            yield _to_record(first, {name: cell or None for name, cell in zip(EXPORT_COLUMNS, cells, strict=True)})
    except csv.Error as cause:
        raise damaged_error(path, last + 1, f"it is not CSV ({cause})") from cause


def read_ndjson(path: Path) -> Iterator[SourceSession | RejectedRecord]:
    """Yield the sessions of an NDJSON file. Raise SourceError."""
    for number, line in read_lines(path):
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as cause:
            raise damaged_error(path, number, f"it is not JSON ({cause})") from cause
        if not isinstance(values, dict) or values.keys() != set(EXPORT_COLUMNS):
            raise damaged_error(path, number, f"it is not a JSON object with the keys {', '.join(EXPORT_COLUMNS)}")
        yield _to_record(number, values)


def _to_record(line: int, values: dict[str, Any]) -> SourceSession | RejectedRecord:
    for name in EXPORT_COLUMNS:
        if not isinstance(values[name], str | None):
            return RejectedRecord(line, f"{name} is not text", values[name])
    if values["state"] != _expected_state(values):
        return RejectedRecord(line, "state does not match the start and end", values["state"])
    return SourceSession(
        line,
        values["mac"],
        values["ip"],
        values["connection_event"],
        values["connected_at"],
        values["disconnection_event"],
        values["disconnected_at"],
        int(values["state"] == CONNECTED),
        values["info"],
    )


def _expected_state(values: dict[str, Any]) -> str:
    if not values["connected_at"]:
        return MISSING_CONNECTION
    if values["disconnected_at"]:
        return COMPLETE
    return MISSING_DISCONNECTION if values["disconnection_event"] else CONNECTED
