"""What every resolver is handed: the store, the clock, the feed of changes, and whom to tell of what was written."""

from asyncio import Semaphore
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from resolvers.change_feed import Feed
from resolvers.limits import DEFAULT, Limits
from resolvers.scopes import require
from resolvers.validation.clock import Clock
from storage.queries.tokens import Scope
from storage.store import Parameters, Store

OWN = "API_TOKEN"  # the name of the server's own token

# Whose token, or which command, makes the changes: set by the program around a request.
acting: ContextVar[str] = ContextVar("acting", default="netsessions")

SWEEPS = 2  # over a store's sessions that are held in memory at once, half a million each; others wait


def _nobody(_: int) -> None:
    """Takes no notice."""


@dataclass(frozen=True)
class Context:
    """Opened once by the program, for all requests."""

    store: Store
    clock: Clock
    on_written: Callable[[int], None] = _nobody
    limits: Limits = DEFAULT
    sweeps: Semaphore = field(default_factory=lambda: Semaphore(SWEEPS))

    @cached_property
    def feed(self) -> Feed:
        """The changes of all processes, for those who watch."""
        return Feed(self.store, self.clock)

    def told(self, needed: Scope) -> Parameters:
        """What the journal says of a change besides the change: when, and by whom, who must have the scope for it.

        Raises ForbiddenError.
        """
        require(needed)
        return {"at": self.clock.now(), "who": acting.get()}
