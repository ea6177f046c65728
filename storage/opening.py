"""Opens a database by its address: `sqlite:///file` or `postgresql://…`."""

from storage import postgresql, sqlite
from storage.migrations import migrate
from storage.replicas import Marks
from storage.store import Store, sqlite_path


def make_ready(url: str) -> None:
    """Looks through a file that was not closed in order, and migrates; raises `StoreUnusableError` and OSError."""
    path = sqlite_path(url)
    if path is not None:
        sqlite.check(path)
    migrate(url)


async def open_store(url: str, read_url: str | None = None, marks: Marks | None = None) -> Store:
    """Opens a migrated database. Reads go to `read_url` where they may, as the marks of all workers tell."""
    path = sqlite_path(url)
    return await postgresql.connect(url, read_url, marks) if path is None else sqlite.Store(path)
