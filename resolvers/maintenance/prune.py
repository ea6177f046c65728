"""Pruning: what ended long ago is deleted, a little at a time."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from resolvers.context import Context
from resolvers.sessions import FAR_PAST, latest
from resolvers.validation.clock import Period
from storage.queries import journal
from storage.queries import retention as ask
from storage.store import Transaction

BATCH = 1000  # sessions in one transaction: it lasts some ten milliseconds


class Pruned(NamedTuple):
    """What was removed; on a dry run, what would be, devices not counted."""

    before: int  # microseconds since 1970: what ended before it went
    sessions: int
    devices: int


async def prune(context: Context, older_than: Period, *, dry_run: bool, progress: Callable[[int, int], None]) -> Pruned:
    """Deletes the sessions that ended longer ago than a period, and the devices of which nothing is left.

    Open sessions stay, however old. `progress` is told how many of how many are gone. Raises InvalidInputError.
    """
    before = latest(context, older_than).since
    ((total,),) = await context.store.fetch(ask.count(), {"before": before})
    if dry_run:
        return Pruned(before, int(total), 0)
    removed = 0
    for n in ask.CLOSED:
        window = {"before": before, "since": FAR_PAST, "limit": BATCH}
        while True:
            began = perf_counter()
            deleted = await context.store.write(_Batch(n, window))
            if deleted is None:
                break
            window["since"], gone = deleted
            removed += gone
            progress(removed, int(total))
            # Whoever else writes has as much time as this takes.
            await asyncio.sleep(perf_counter() - began)

    async def bare(transaction: Transaction) -> int:
        # The history of what is gone is gone with it.
        await transaction.execute(journal.forget_all(), {"until": before})
        return await transaction.execute(ask.delete_bare_devices(), {})

    return Pruned(before, removed, await context.store.write(bare))


class _Batch:
    """Deletes one batch; answers its last start and how many it had, None where there is none left."""

    def __init__(self, n: int, window: dict[str, int]) -> None:
        self._n = n
        self._window = dict(window)

    async def __call__(self, transaction: Transaction) -> tuple[int, int] | None:
        ((found, last),) = await transaction.fetch(ask.batch(self._n), self._window)
        if not found:
            return None
        return last, await transaction.execute(ask.delete_batch(self._n), self._window | {"last": last})
