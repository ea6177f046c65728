"""Forgetting what nobody can ask for any more: creations in the journal, and answers that might have been given again."""

from resolvers.change_feed import KEPT
from resolvers.context import Context
from storage.queries import idempotency as answers
from storage.queries import journal
from storage.store import Transaction
from storage.tables import DAY

LONGER = 1.1  # than promised: a watcher who comes back at the last moment reads on for a while


class Forgetting:
    """Called now and then."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._done = 0  # the last change of the journal that was looked at

    async def __call__(self) -> None:
        now = self._context.clock.now()

        async def change(transaction: Transaction) -> int:
            until = {"after": self._done, "until": now - int(KEPT * LONGER)}
            ((last,),) = await transaction.fetch(journal.old(), until)
            if last is not None:
                await transaction.execute(journal.forget_created(), {"after": self._done, "upto": last})
            await transaction.execute(answers.forget(), {"until": now - DAY})
            return self._done if last is None else int(last)

        self._done = await self._context.store.write(change)
