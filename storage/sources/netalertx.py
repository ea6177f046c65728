"""Databases of NetAlertX and Pi.Alert, opened read-only."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from os import SEEK_END
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from storage.sources.files import SourceError, unreadable_error
from storage.sources.records import SourceDevice, SourceSession

MAGIC = b"SQLite format 3\0"

Columns = tuple[str, ...]

# Old releases name columns in snake case, new ones in camel case. The order is that of SourceSession and SourceDevice.
_SNAKE_CASE_COLUMNS: Columns = (
    "ses_MAC",
    "ses_IP",
    "ses_EventTypeConnection",
    "ses_DateTimeConnection",
    "ses_EventTypeDisconnection",
    "ses_DateTimeDisconnection",
    "ses_StillConnected",
    "ses_AdditionalInfo",
)
_CAMEL_CASE_COLUMNS: Columns = (
    "sesMac",
    "sesIp",
    "sesEventTypeConnection",
    "sesDateTimeConnection",
    "sesEventTypeDisconnection",
    "sesDateTimeDisconnection",
    "sesStillConnected",
    "sesAdditionalInfo",
)
_DEVICE_COLUMNS: tuple[Columns, ...] = (("devMac", "devName", "devOwner"), ("dev_MAC", "dev_Name", "dev_Owner"))


class NetAlertXDatabase:
    """An open database, read in one transaction."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        with self._translate_errors():
            # Without this check, SQLite reads bytes outside a damaged page as a row.
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("BEGIN")
            sessions, devices = (
                self._find_columns("Sessions", (_SNAKE_CASE_COLUMNS, _CAMEL_CASE_COLUMNS)),
                self._find_columns("Devices", _DEVICE_COLUMNS),
            )
            if sessions is None:
                raise SourceError(
                    f"{path} is not a database of NetAlertX or Pi.Alert: it has no Sessions table with their columns."
                )
            self.has_local_times = sessions is _SNAKE_CASE_COLUMNS
            self.count: int = connection.execute("SELECT count(*) FROM Sessions").fetchone()[0]
        connection.text_factory = bytes
        self._sessions, self._devices = sessions, devices

    def _find_columns(self, table: str, layouts: tuple[Columns, ...]) -> Columns | None:
        rows = self._connection.execute("SELECT lower(name) FROM pragma_table_info(?)", (table,)).fetchall()
        names = {name for (name,) in rows}
        return next((columns for columns in layouts if names.issuperset(map(str.lower, columns))), None)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as cause:
            # In a damaged file, SQLite's message may quote bytes that are not UTF-8.
            problem = cause if isinstance(cause, sqlite3.Error) else "database disk image is malformed"
            raise SourceError(f"{self._path} cannot be read as a SQLite database ({problem}).") from cause

    def sessions(self) -> Iterator[SourceSession]:
        """Iterate over the sessions."""
        return map(SourceSession._make, self._rows("Sessions", self._sessions))

    def devices(self) -> Iterator[SourceDevice]:
        """Iterate over the devices. A file without a Devices table has none."""
        return map(SourceDevice._make, self._rows("Devices", self._devices) if self._devices else ())

    def _rows(self, table: str, columns: Columns) -> Iterator[tuple[Any, ...]]:
        query = f"SELECT rowid, {', '.join(columns)} FROM {table} ORDER BY rowid"  # noqa: S608, names are constants
        with self._translate_errors():
            yield from self._connection.execute(query)


@contextmanager
def open_database(path: Path) -> Iterator[NetAlertXDatabase]:
    """Open the file so that neither it nor its folder changes. Raise SourceError."""
    try:
        with path.open("rb") as file:
            header, size = file.read(100), file.seek(0, SEEK_END)
    except OSError as cause:
        raise unreadable_error(path, cause) from cause
    if not header.startswith(MAGIC):
        raise SourceError(f"{path} is not a SQLite database.")
    if size % _page_size(header):
        # SQLite would read the missing part of the page as zeros, and those as rows.
        raise SourceError(f"{path} is a damaged SQLite database: it is truncated within a page.")
    with TemporaryDirectory(prefix="netsessions-") as folder:
        try:
            uri = _read_only_uri(path, header, Path(folder))
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as cause:
            raise SourceError(f"{path} cannot be read ({cause}).") from cause
        with closing(connection):
            yield NetAlertXDatabase(connection, path)


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18])
    return 65_536 if size == 1 else max(size, 1)


def _read_only_uri(path: Path, header: bytes, folder: Path) -> str:
    """Return a URI with which SQLite reads the file and creates no other. In WAL mode even a reader would create some."""
    wal, shm = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    if header[18:19] == b"\2" and not shm.exists():
        if not wal.exists() or wal.stat().st_size == 0:
            return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        # No process has it open, and its latest rows are in the log. Read a copy, next to which SQLite may create the index.
        copyfile(path, folder / "source")
        copyfile(wal, folder / "source-wal")
        path = folder / "source"
    return f"{path.absolute().as_uri()}?mode=ro"
