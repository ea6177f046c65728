"""The store on SQLite."""

from storage.sqlite.integrity import check_integrity
from storage.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore", "check_integrity"]
