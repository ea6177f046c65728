"""What storage can say when it cannot serve."""


class StoreUnavailableError(Exception):
    """The database cannot be used now: locked for too long, full, or gone. Nothing of the refused call was stored."""

    advice = "Nothing was stored; try again later."
    retry_after = 5  # seconds; about as long as another process's write lock lasts, or a failover


class StoreFullError(StoreUnavailableError):
    """There is no room for what was to be written: a full disk, or a limit. What is there can still be read."""

    advice = "Its disk is full and nothing was stored; make room, and send it again."
    retry_after = 60  # seconds; a person has to make the room


class OutcomeUnknownError(StoreUnavailableError):
    """The database was lost while it committed: the call may or may not have been carried out."""

    advice = "It may or may not have been carried out; look before you send it again."


class TookTooLongError(Exception):
    """A question took longer than QUERY_SECONDS; the database has given it up."""

    advice = "The query took longer than QUERY_SECONDS and was given up; ask for less at once."


class StoreUnusableError(Exception):
    """The database cannot be opened at all: not a database, damaged, or made by a newer release."""
