"""The dependencies of every resolver: store, clock, limits and change feed."""

from asyncio import Semaphore
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from resolvers.change_feed import ChangeFeed
from resolvers.limits import DEFAULT_LIMITS, Limits
from resolvers.scopes import require_scope
from resolvers.validation.clock import Clock
from storage.queries.tokens import Scope
from storage.store import AuditStamp, Store

SERVER_ACTOR = "API_TOKEN"  # the actor of requests with the server's own token

# The token or command that makes changes. The HTTP layer sets it for each request.
actor: ContextVar[str] = ContextVar("actor", default="netsessions")

MAX_PRESENCE_SCANS = 2  # concurrent scans, each with up to half a million sessions in memory


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """What resolvers need, created once per process. `on_written` receives the number of created sessions."""

    store: Store
    clock: Clock
    on_written: Callable[[int], None] = _ignore
    limits: Limits = DEFAULT_LIMITS
    presence_slots: Semaphore = field(default_factory=lambda: Semaphore(MAX_PRESENCE_SCANS))

    @cached_property
    def feed(self) -> ChangeFeed:
        """The changes of all processes, for subscribers."""
        return ChangeFeed(self.store, self.clock)

    def authorize(self, needed: Scope) -> AuditStamp:
        """Return the time and the actor of a change. Raise ForbiddenError if the caller lacks the scope."""
        require_scope(needed)
        return {"at": self.clock.now(), "who": actor.get()}
