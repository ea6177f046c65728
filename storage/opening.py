"""Opens a database by its URL: `sqlite:///file` or `postgresql://…`."""

from storage import postgresql, sqlite
from storage.migrations import migrate
from storage.replicas import Watermarks
from storage.store import Store, sqlite_path


def prepare_database(url: str) -> None:
    """Check a SQLite file that was not closed properly, then migrate. Raise `StoreUnusableError` or OSError."""
    path = sqlite_path(url)
    if path is not None:
        sqlite.check_integrity(path)
    migrate(url)


async def open_store(url: str, read_url: str | None = None, watermarks: Watermarks | None = None) -> Store:
    """Open a migrated database. Reads go to `read_url` unless the watermarks require the primary."""
    path = sqlite_path(url)
    return await postgresql.connect(url, read_url, watermarks) if path is None else sqlite.SQLiteStore(path)
