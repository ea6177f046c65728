"""A SQLite database as one file to keep, made while a server writes to it, and put back in the place of another."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from storage.errors import StoreUnusableError
from storage.migrations import migrate
from storage.sqlite.store import connect, unavailable

PAGES = 2000  # that are copied between two words about it
SHARED_LOCK, LENGTH = 0x4000_0002, 510  # the bytes of a file that SQLite locks for as long as a connection is open
TABLES = frozenset({"alembic_version", "session", "device"})

Progress = Callable[[int, int], None]


class Held(NamedTuple):
    """What a database holds."""

    sessions: int
    devices: int


class RestoreRefusedError(Exception):
    """A database is in the way, or in use; one sentence for a person."""


class Restored(NamedTuple):
    """What was put back, and where that is which was there before."""

    held: Held
    aside: Path | None


def back_up(path: Path, file: Path, progress: Progress) -> Held:
    """Writes what the database holds at this moment into one file, which has its name when it is whole and on the disk.

    Others may write to the database meanwhile. Raises `StoreUnavailableError`, `StoreUnusableError` and OSError.
    """
    part = file.with_name(f".{file.name}.part-{os.getpid()}")
    with _told(path), _removed(part):
        held = _copy(path, part, progress)
        _settle(part, held, path)
        os.replace(part, file)
        _sync(file.absolute().parent)
    return held


def restore(file: Path, path: Path, progress: Progress, *, stamp: str, force: bool) -> Restored:
    """Puts a backup, brought up to this release, in the place of the database, which with `force` is kept aside.

    The name of what is kept ends with `stamp`. Raises `RestoreRefusedError`, `StoreUnavailableError`,
    `StoreUnusableError` and OSError; then the database is as it was.
    """
    folder = path.absolute().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    with _told(file), _removed(part):
        if path.exists() and not force and _holds_something(path):
            raise RestoreRefusedError(
                f"{path} holds sessions, or cannot be read. To restore in its place, add --force: it is kept aside."
            )
        with _nobody_at(path):  # asked before the work, too
            pass
        held = _copy(file, part, progress)
        try:
            migrate(f"sqlite:///{part}")
        except StoreUnusableError as problem:
            raise StoreUnusableError(str(problem).replace(str(part), str(file))) from problem
        _settle(part, held, file)
        _same_owner(part, path if path.exists() else folder)
        with _nobody_at(path):
            aside = _kept_aside(path, stamp)
            os.replace(part, path)
        _sync(folder)
    return Restored(held, aside)


def _copy(path: Path, part: Path, progress: Progress) -> Held:
    """The content of a database of ours, all of one moment."""
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # it holds what is nobody else's to read
    with closing(connect(path, read_only=True)) as source, closing(connect(part, read_only=False)) as target:
        # Inside a transaction, or what is written meanwhile would have the copy begin anew, again and again.
        source.execute("BEGIN")
        found = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not found >= TABLES:
            raise StoreUnusableError(f"{path} is not a database of netsessions.")
        held = _held(source)
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(PAGES)
                progress(copying.page_count - copying.remaining, copying.page_count)
    return held


def _settle(part: Path, held: Held, path: Path) -> None:
    """Makes a copy one file that is on the disk; raises `StoreUnusableError` where it is not what was copied."""
    with closing(connect(part, read_only=False)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchall()[0][0])
        if found != "ok" or _held(connection) != held:
            raise StoreUnusableError(f"{path} is damaged ({found.splitlines()[-1]}); restore an earlier backup.")
    _sync(part)


def _held(connection: apsw.Connection) -> Held:
    counted = "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM device)"
    (row,) = connection.execute(counted).fetchall()
    return Held._make(row)


def _holds_something(path: Path) -> bool:
    """Whether a database would be missed; one that cannot be read might be."""
    if not path.stat().st_size:
        return True  # and not opened: SQLite would take the log of what was lost away
    try:
        with closing(connect(path, read_only=True)) as connection:
            return _held(connection) != (0, 0)
    except apsw.Error:
        return True


@contextmanager
def _nobody_at(path: Path) -> Iterator[None]:
    """Raises `RestoreRefusedError` where another process has the database open; none can open it inside."""
    with ExitStack() as stack:
        if path.exists():
            descriptor = os.open(path, os.O_RDWR)
            stack.callback(os.close, descriptor)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, LENGTH, SHARED_LOCK)
            except OSError:
                raise RestoreRefusedError(
                    f"Another process has {path} open. Stop the server, and whatever else uses it, first."
                ) from None
        yield


def _same_owner(part: Path, other: Path) -> None:
    """Lets the server open what somebody else restored for it."""
    known = other.stat()
    with suppress(PermissionError):
        os.chown(part, known.st_uid, known.st_gid)
    if other.is_file():
        part.chmod(known.st_mode & 0o777)


def _kept_aside(path: Path, stamp: str) -> Path | None:
    """Gives a database that is there another name as well; its log, which must not meet another file, only that."""
    aside = path.with_name(f"{path.name}.before-{stamp}")
    there = path.exists()
    if there:
        os.link(path, aside)
    with suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{aside}-wal")
    Path(f"{path}-shm").unlink(missing_ok=True)
    return aside if there else None


def _sync(path: Path) -> None:
    """Returns when a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _removed(part: Path) -> Iterator[None]:
    """Whatever happens, nothing of what was begun is left."""
    try:
        yield
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            Path(f"{part}{end}").unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says of a file, in a sentence."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError) as cause:
        raise StoreUnusableError(f"{path} cannot be read as a database ({cause}).") from cause
    except apsw.Error as cause:
        raise unavailable(cause) from cause
