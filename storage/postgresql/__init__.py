"""PostgreSQL, as `storage/store.py` asks for it."""

from storage.postgresql.store import connect

__all__ = ["connect"]
