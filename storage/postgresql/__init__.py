"""The store on PostgreSQL."""

from storage.postgresql.store import connect

__all__ = ["connect"]
