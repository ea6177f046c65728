"""Deletion of old sessions in small batches."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from resolvers.context import Context
from resolvers.sessions import FAR_PAST, window_of
from resolvers.validation.periods import Period
from storage.queries import journal
from storage.queries import retention as retention_queries
from storage.store import Transaction

BATCH = 1000  # sessions per transaction, which takes about 10 ms


class PruneResult(NamedTuple):
    """The numbers of deleted rows. For a dry run: the sessions that would be deleted, and no devices."""

    before: int  # end of the deleted time range, in microseconds since 1970
    sessions: int
    devices: int


async def prune(
    context: Context, older_than: Period, *, dry_run: bool, progress: Callable[[int, int], None]
) -> PruneResult:
    """Delete sessions that ended longer ago than a period, and devices without sessions. Raise InvalidInputError.

    Open sessions are kept, whatever their age. `progress` is called with the numbers of deleted and of all old sessions.
    """
    before = window_of(context, older_than).since
    ((total,),) = await context.store.fetch(retention_queries.count_expired(), {"before": before})
    if dry_run:
        return PruneResult(before, int(total), 0)
    removed = 0
    for n in retention_queries.CLOSED_CLASSES:
        window = {"before": before, "since": FAR_PAST, "limit": BATCH}
        while True:
            started = perf_counter()
            batch = await context.store.write(_DeleteBatch(n, window))
            if batch is None:
                break
            window["since"], deleted = batch
            removed += deleted
            progress(removed, int(total))
            # Leave half of the time to other writers.
            await asyncio.sleep(perf_counter() - started)

    async def delete_transaction(transaction: Transaction) -> int:
        # The histories of deleted sessions are deleted, too.
        await transaction.execute(journal.delete_before(), {"until": before})
        return await transaction.execute(retention_queries.delete_unused_devices(), {})

    return PruneResult(before, removed, await context.store.write(delete_transaction))


class _DeleteBatch:
    """A transaction that deletes one batch. Returns its latest start and its size, or None if no session is left."""

    def __init__(self, n: int, window: dict[str, int]) -> None:
        self._n = n
        self._window = dict(window)

    async def __call__(self, transaction: Transaction) -> tuple[int, int] | None:
        ((size, last),) = await transaction.fetch(retention_queries.next_batch(self._n), self._window)
        if not size:
            return None
        return last, await transaction.execute(retention_queries.delete_batch(self._n), self._window | {"last": last})
