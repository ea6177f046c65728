"""Deletion of expired records: journal entries of creations, and idempotency keys."""

from resolvers.change_feed import RETENTION
from resolvers.context import Context
from storage.queries import idempotency as idempotency_queries
from storage.queries import journal
from storage.store import Transaction
from storage.tables import DAY

GRACE_FACTOR = 1.1  # keeps entries longer than promised, so that a subscriber who resumes at the limit can read on


class Purge:
    """A maintenance job that deletes expired records and remembers how far it got."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last_purged = 0  # sequence number of the last journal entry checked

    async def __call__(self) -> None:
        """Delete what has expired since the last call, in one transaction."""
        now = self._context.clock.now()

        async def purge_transaction(transaction: Transaction) -> int:
            window = {"after": self._last_purged, "until": now - int(RETENTION * GRACE_FACTOR)}
            ((last,),) = await transaction.fetch(journal.last_expired(), window)
            if last is not None:
                await transaction.execute(journal.delete_created(), {"after": self._last_purged, "until": last})
            await transaction.execute(idempotency_queries.delete_expired_keys(), {"until": now - DAY})
            return self._last_purged if last is None else int(last)

        self._last_purged = await self._context.store.write(purge_transaction)
