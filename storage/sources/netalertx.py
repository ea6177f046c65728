"""Databases that NetAlertX or Pi.Alert wrote: opened for reading only, and the questions that an import asks of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from os import SEEK_END
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from storage.sources.files import SourceError, unreadable
from storage.sources.records import SourceDevice, SourceSession

MAGIC = b"SQLite format 3\0"

Columns = tuple[str, ...]

# The columns of each generation, in the order of the rows above.
_FIRST: Columns = (
    "ses_MAC",
    "ses_IP",
    "ses_EventTypeConnection",
    "ses_DateTimeConnection",
    "ses_EventTypeDisconnection",
    "ses_DateTimeDisconnection",
    "ses_StillConnected",
    "ses_AdditionalInfo",
)
_SECOND: Columns = (
    "sesMac",
    "sesIp",
    "sesEventTypeConnection",
    "sesDateTimeConnection",
    "sesEventTypeDisconnection",
    "sesDateTimeDisconnection",
    "sesStillConnected",
    "sesAdditionalInfo",
)
_DEVICES: tuple[Columns, ...] = (("devMac", "devName", "devOwner"), ("dev_MAC", "dev_Name", "dev_Owner"))


class Source:
    """An open file, all of one moment."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        with self._readable():
            # Without it SQLite would read what lies beyond a damaged page as if it were a row.
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("BEGIN")
            sessions, devices = self._layout("Sessions", (_FIRST, _SECOND)), self._layout("Devices", _DEVICES)
            if sessions is None:
                raise SourceError(
                    f"{path} is not a database of NetAlertX or Pi.Alert: it has no table of their sessions."
                )
            self.local_time = sessions is _FIRST
            self.count: int = connection.execute("SELECT count(*) FROM Sessions").fetchone()[0]
        connection.text_factory = bytes
        self._sessions, self._devices = sessions, devices

    def _layout(self, table: str, known: tuple[Columns, ...]) -> Columns | None:
        found = self._connection.execute("SELECT lower(name) FROM pragma_table_info(?)", (table,)).fetchall()
        names = {name for (name,) in found}
        return next((columns for columns in known if names.issuperset(map(str.lower, columns))), None)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as cause:
            # SQLite says what is wrong in words of the file, which in a damaged one need not be text.
            what = cause if isinstance(cause, sqlite3.Error) else "database disk image is malformed"
            raise SourceError(f"{self._path} cannot be read as a SQLite database ({what}).") from cause

    def sessions(self) -> Iterator[SourceSession]:
        """All sessions, one at a time."""
        return map(SourceSession._make, self._rows("Sessions", self._sessions))

    def devices(self) -> Iterator[SourceDevice]:
        """All devices, one at a time; none where the file has no table of them."""
        return map(SourceDevice._make, self._rows("Devices", self._devices) if self._devices else ())

    def _rows(self, table: str, columns: Columns) -> Iterator[tuple[Any, ...]]:
        question = f"SELECT rowid, {', '.join(columns)} FROM {table} ORDER BY rowid"  # noqa: S608, names from above
        with self._readable():
            yield from self._connection.execute(question)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file, opened so that neither it nor its folder changes; raises SourceError with one sentence."""
    try:
        with path.open("rb") as file:
            header, size = file.read(100), file.seek(0, SEEK_END)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    if not header.startswith(MAGIC):
        raise SourceError(f"{path} is not a SQLite database.")
    if size % _page_size(header):
        # SQLite would read the rest of the page as zeros, and those as rows.
        raise SourceError(f"{path} breaks off within a page; it is damaged as a SQLite database.")
    with TemporaryDirectory(prefix="netsessions-") as folder:
        try:
            uri = _uri(path, header, Path(folder))
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as cause:
            raise SourceError(f"{path} cannot be read ({cause}).") from cause
        with closing(connection):
            yield Source(connection, path)


def _page_size(header: bytes) -> int:
    told = int.from_bytes(header[16:18])
    return 65_536 if told == 1 else max(told, 1)


def _uri(path: Path, header: bytes, folder: Path) -> str:
    """How SQLite can read the file without a trace; in WAL mode even a reader makes files unless it is kept from it."""
    wal, shm = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    if header[18:19] == b"\2" and not shm.exists():
        if not wal.exists() or wal.stat().st_size == 0:
            return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        # Nobody has it open, and its latest rows are in the log: read where the index of the log may be made.
        copyfile(path, folder / "source")
        copyfile(wal, folder / "source-wal")
        path = folder / "source"
    return f"{path.absolute().as_uri()}?mode=ro"
