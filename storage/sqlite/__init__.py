"""SQLite: implements the protocols of `storage/store.py`."""

from storage.sqlite.store import Store, check

__all__ = ["Store", "check"]
