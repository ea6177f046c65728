"""Back up a SQLite database into one file while servers use it, and restore such a file."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from storage.errors import StoreUnusableError
from storage.migrations import migrate
from storage.sqlite.connection import connect, translate_error

PAGES_PER_STEP = 2000  # copied between two calls of `progress`
LOCK_OFFSET, LOCK_LENGTH = 0x4000_0002, 510  # the bytes of a file that SQLite locks while a connection is open
REQUIRED_TABLES = frozenset({"alembic_version", "session", "device"})

PageProgress = Callable[[int, int], None]  # receives the number of copied pages and the total


class RowCounts(NamedTuple):
    """How many sessions and devices a database contains."""

    sessions: int
    devices: int


class RestoreBlockedError(Exception):
    """The target database contains data or is in use. The message is a sentence for the operator."""


class RestoreReport(NamedTuple):
    """What was restored, and where the previous database is kept, if there was one."""

    counts: RowCounts
    previous: Path | None


def back_up(path: Path, file: Path, progress: PageProgress) -> RowCounts:
    """Write a snapshot of the database `path` to `file`, which appears when it is complete and synced.

    Other processes may write to the database meanwhile. Raise `StoreUnavailableError`, `StoreUnusableError` or OSError.
    """
    part = file.with_name(f".{file.name}.part-{os.getpid()}")
    with _translate_errors(path), _temporary_database(part):
        counts = _copy(path, part, progress)
        _verify(part, counts, path)
        os.replace(part, file)
        _sync(file.absolute().parent)
    return counts


def restore(file: Path, path: Path, progress: PageProgress, *, stamp: str, force: bool) -> RestoreReport:
    """Migrate a copy of the backup `file` to this release, and put it in the place of the database `path`.

    With `force`, an existing database is kept under a name that ends with `stamp`. Raise `RestoreBlockedError`,
    `StoreUnavailableError`, `StoreUnusableError` or OSError, and leave the database unchanged.
    """
    folder = path.absolute().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    with _translate_errors(file), _temporary_database(part):
        if path.exists() and not force and _may_contain_data(path):
            raise RestoreBlockedError(
                f"{path} contains sessions or cannot be read. Add --force to replace it; it is kept under another name."
            )
        with _locked(path):  # fail before the copy if the database is in use
            pass
        counts = _copy(file, part, progress)
        try:
            migrate(f"sqlite:///{part}")
        except StoreUnusableError as problem:
            raise StoreUnusableError(str(problem).replace(str(part), str(file))) from problem
        _verify(part, counts, file)
        _copy_owner(path if path.exists() else folder, part)
        with _locked(path):
            previous = _keep_previous(path, stamp)
            os.replace(part, path)
        _sync(folder)
    return RestoreReport(counts, previous)


def _copy(path: Path, part: Path, progress: PageProgress) -> RowCounts:
    """Copy one snapshot of a database of this program."""
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # only the owner may read it
    with closing(connect(path, read_only=True)) as source, closing(connect(part, read_only=False)) as target:
        # Without a transaction, every write of another process would restart the copy.
        source.execute("BEGIN")
        tables = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= REQUIRED_TABLES:
            raise StoreUnusableError(f"{path} is not a netsessions database.")
        counts = _count_rows(source)
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES_PER_STEP)
                progress(backup.page_count - backup.remaining, backup.page_count)
    return counts


def _verify(part: Path, counts: RowCounts, path: Path) -> None:
    """Make a copy a single synced file. Raise `StoreUnusableError` if it is damaged or not equal to the original."""
    with closing(connect(part, read_only=False)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        result = str(connection.execute("PRAGMA integrity_check(1)").fetchall()[0][0])
        if result != "ok" or _count_rows(connection) != counts:
            raise StoreUnusableError(f"{path} is damaged ({result.splitlines()[-1]}); restore an earlier backup.")
    _sync(part)


def _count_rows(connection: apsw.Connection) -> RowCounts:
    query = "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM device)"
    (row,) = connection.execute(query).fetchall()
    return RowCounts._make(row)


def _may_contain_data(path: Path) -> bool:
    """Return whether a database contains data, or cannot be read and so may contain data."""
    if not path.stat().st_size:
        return True  # SQLite would delete the log of the lost file if it opened this one
    try:
        with closing(connect(path, read_only=True)) as connection:
            return _count_rows(connection) != (0, 0)
    except apsw.Error:
        return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Prevent other processes from opening the database. Raise `RestoreBlockedError` if one has it open."""
    with ExitStack() as stack:
        if path.exists():
            descriptor = os.open(path, os.O_RDWR)
            stack.callback(os.close, descriptor)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, LOCK_LENGTH, LOCK_OFFSET)
            except OSError:
                raise RestoreBlockedError(
                    f"Another process has {path} open. Stop the server and all other programs that use it first."
                ) from None
        yield


def _copy_owner(original: Path, part: Path) -> None:
    """Give a file the owner of another, so that the server can open what another user restored."""
    status = original.stat()
    with suppress(PermissionError):
        os.chown(part, status.st_uid, status.st_gid)
    if original.is_file():
        part.chmod(status.st_mode & 0o777)


def _keep_previous(path: Path, stamp: str) -> Path | None:
    """Add a second name to an existing database. Rename its log, which must not be applied to another file."""
    previous = path.with_name(f"{path.name}.before-{stamp}")
    exists = path.exists()
    if exists:
        os.link(path, previous)
    with suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{previous}-wal")
    Path(f"{path}-shm").unlink(missing_ok=True)
    return previous if exists else None


def _sync(path: Path) -> None:
    """Write a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary_database(part: Path) -> Iterator[None]:
    """Delete a database and its logs at the end."""
    try:
        yield
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{part}{suffix}").unlink(missing_ok=True)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Convert errors of SQLite to errors of storage."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError) as cause:
        raise StoreUnusableError(f"{path} cannot be read as a database ({cause}).") from cause
    except apsw.Error as cause:
        raise translate_error(cause) from cause
