"""The check of a SQLite file before it is served."""

from contextlib import closing
from pathlib import Path

import apsw

from storage.errors import StoreUnusableError
from storage.sqlite.connection import DAMAGE_ERRORS, connect


def check_integrity(path: Path) -> None:
    """Check a file with a write-ahead log, which was not closed properly. Raise StoreUnusableError.

    SQLite will apply the log, but cannot detect that it belongs to another file. The check takes half a second for a
    million sessions. A file without a log is not checked.
    """
    log = Path(f"{path}-wal")
    if not path.is_file() or not log.is_file() or not log.stat().st_size:
        return
    try:
        # Read-only, so that the log of another file is not applied.
        with closing(connect(path, read_only=True)) as connection:
            result = str(connection.execute("PRAGMA quick_check(1)").fetchall()[0][0])
    except DAMAGE_ERRORS as cause:
        result = str(cause)
    except apsw.Error as cause:
        raise StoreUnusableError(f"{path} cannot be opened ({cause}).") from cause
    if result != "ok":
        raise StoreUnusableError(
            f"{path} is damaged, or {log.name} belongs to another file ({result.splitlines()[-1]}). "
            "Keep both, and restore a backup."
        )
