"""What storage can say when it cannot serve."""


class StoreUnavailableError(Exception):
    """The database cannot be used now: locked for too long, full, or gone. Nothing of the refused call was stored."""


class StoreUnusableError(Exception):
    """The database cannot be opened at all: not a database, damaged, or made by a newer release."""
