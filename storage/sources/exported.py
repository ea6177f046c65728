"""Files that this program exported: a session is a row of CSV, or a JSON object on a line of its own."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from storage.sources.files import SourceError, damaged, lines
from storage.sources.records import Refused, SourceSession
from storage.tables import COMPLETE, CONNECTED, MISSING_CONNECTION, MISSING_DISCONNECTION

COLUMNS = (
    "mac",
    "ip",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "state",
    "info",
)


def from_csv(path: Path) -> Iterator[SourceSession | Refused]:
    """The sessions of a CSV file; what is empty is not there. Raises SourceError."""
    reader = csv.reader((line for _, line in lines(path)), strict=True)
    last = 0
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise SourceError(f"{path} is no CSV file of sessions: its first line must be {','.join(COLUMNS)}.")
        last = reader.line_num
        for cells in reader:
            # A text may hold line ends: where the row began tells more than where it ended.
            first, last = last + 1, reader.line_num
            if len(cells) != len(COLUMNS):
                raise damaged(path, first, f"it has {len(cells)} cells in place of {len(COLUMNS)}")
            yield _record(first, {name: cell or None for name, cell in zip(COLUMNS, cells, strict=True)})
    except csv.Error as cause:
        raise damaged(path, last + 1, f"it is not CSV ({cause})") from cause


def from_ndjson(path: Path) -> Iterator[SourceSession | Refused]:
    """The sessions of an NDJSON file; raises SourceError."""
    for number, line in lines(path):
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as cause:
            raise damaged(path, number, f"it is not JSON ({cause})") from cause
        if not isinstance(found, dict) or found.keys() != set(COLUMNS):
            raise damaged(path, number, f"it is not a JSON object of {', '.join(COLUMNS)}")
        yield _record(number, found)


def _record(line: int, found: dict[str, Any]) -> SourceSession | Refused:
    for name in COLUMNS:
        if not isinstance(found[name], str | None):
            return Refused(line, f"{name} is not text", found[name])
    if found["state"] != _state(found):
        return Refused(line, "state is not what the ends tell", found["state"])
    return SourceSession(
        line,
        found["mac"],
        found["ip"],
        found["connection_event"],
        found["connected_at"],
        found["disconnection_event"],
        found["disconnected_at"],
        int(found["state"] == CONNECTED),
        found["info"],
    )


def _state(found: dict[str, Any]) -> str:
    if not found["connected_at"]:
        return MISSING_CONNECTION
    if found["disconnected_at"]:
        return COMPLETE
    return MISSING_DISCONNECTION if found["disconnection_event"] else CONNECTED
