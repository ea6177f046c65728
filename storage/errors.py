"""Errors of storage."""


class StoreUnavailableError(Exception):
    """The database cannot be used now: locked for too long, full, or lost. Nothing was stored."""

    advice = "Nothing was stored; try again later."
    retry_after = 5  # seconds; a write lock of another process, or a failover, lasts about as long


class StoreFullError(StoreUnavailableError):
    """There is no space for a write: the disk is full, or a limit is reached. Reads still work."""

    advice = "The database's disk is full and nothing was stored. Free some space, then try again."
    retry_after = 60  # seconds; a person has to free some space


class OutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during a commit. The transaction may or may not have been committed."""

    advice = "The change may or may not have been stored. Check before you try again."


class QueryTimeoutError(Exception):
    """A query took longer than QUERY_SECONDS and was cancelled."""

    advice = "The query took longer than QUERY_SECONDS and was cancelled. Request less at once."


class StoreUnusableError(Exception):
    """The database cannot be opened: it is damaged, not a netsessions database, or written by a newer release."""
