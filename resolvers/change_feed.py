"""What changes, as it changes: one reader of the journal for all who watch."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import TypeVar

from resolvers.broadcast import Broadcast, TooSlowError
from resolvers.errors import InvalidInputError
from resolvers.paging import cursor, parse_cursor
from resolvers.validation.clock import Clock
from storage.errors import StoreUnavailableError
from storage.queries import journal
from storage.queries.journal import ChangeRow
from storage.store import Store
from storage.tables import HOUR

KEPT = HOUR  # for so long a watcher may come back where it was
CHUNK = 1000  # changes that are read at a time
PAUSE = 0.5  # seconds between two looks at a store that is not there
KIND = "CHANGE"

T = TypeVar("T")

log = logging.getLogger("netsessions")


def cursor_of(change: ChangeRow) -> str:
    """The place of a change, opaque to clients."""
    return cursor(KIND, change.at, change.seq)


class Feed:
    """Reads the journal while somebody watches, and hands the same changes to all."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._reading: _Reading | None = None
        self._over = False

    async def watch(self, macs: Collection[str] | None, after: str | None) -> AsyncGenerator[ChangeRow, None]:
        """Changes of some devices or of all, as they are committed: from now on, or after a cursor.

        Ends when the feed is closed. Raises InvalidInputError for what is no cursor, or too old a one.
        """
        place = None if after is None else parse_cursor("after", after, KIND, 2)
        if self._over:
            return
        reading = self._reading = self._reading or _Reading(self._store)
        reading.watchers += 1
        try:
            await reading.begun.wait()
            if place is not None:
                await self._check(reading, *place)
            async with aclosing(reading.told(None if place is None else place[1])) as changes:
                async for change in changes:
                    if macs is None or change.mac in macs:
                        yield change
        finally:
            reading.watchers -= 1
            if not reading.watchers:
                # Whoever comes meanwhile begins anew.
                if self._reading is reading:
                    self._reading = None
                await reading.close()

    async def _check(self, reading: "_Reading", at: int, seq: int) -> None:
        """Raises InvalidInputError where what followed a change may not all be there any more, or never was."""
        # However long ago the last change was, nothing has followed it.
        if at < self._clock.now() - KEPT and seq != reading.last:
            raise InvalidInputError("after", "is older than an hour; read the sessions anew and subscribe without it")
        if [change.at for change in await reading.after(seq - 1, seq)] != [at]:
            raise InvalidInputError("after", "is not of this database; read the sessions anew and subscribe without it")

    async def close(self) -> None:
        """Lets go of whoever watches, for good."""
        self._over = True
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.close()


class _Reading:
    """Reads the journal from its end on, for as long as somebody watches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task = asyncio.create_task(self._read())
        self.changes: Broadcast[ChangeRow] = Broadcast()
        self.last = 0  # the number of the last change that was told
        self.begun = asyncio.Event()
        self.watchers = 0
        self.closed = False

    async def told(self, seq: int | None) -> AsyncGenerator[ChangeRow, None]:
        """What was told after a change, or is told from now on; until this is closed. Who falls behind reads the journal."""
        following, upto = self.changes.follow(), self.last
        seq = upto if seq is None else seq
        while True:
            while seq < upto:
                found = await self.after(seq, upto)
                for change in found:
                    yield change
                seq = found[-1].seq if len(found) == CHUNK else upto
            try:
                async for change in following:
                    seq = change.seq
                    yield change
                break
            except TooSlowError:
                following, upto = self.changes.follow(), self.last
        if not self.closed:
            raise StoreUnavailableError("the journal cannot be read any more")

    async def after(self, seq: int, upto: int = 2**62) -> list[ChangeRow]:
        """The changes after one number up to another, the first thousand."""
        places = {"after": seq, "upto": upto, "limit": CHUNK}
        return [ChangeRow.of(row) for row in await self._store.fetch(journal.since(), places, current=True)]

    async def _read(self) -> None:
        try:
            async with aclosing(self._store.changed()) as changed:
                async for _ in changed:
                    if not self.begun.is_set():
                        ((self.last,),) = await _surely(lambda: self._store.fetch(journal.last(), {}, current=True))
                        self.begun.set()
                    while found := await _surely(lambda: self.after(self.last)):
                        self.last = found[-1].seq
                        self.changes.tell(found)
        except Exception:
            log.exception("The journal cannot be read")
            raise
        finally:
            self.begun.set()
            self.changes.end()

    async def close(self) -> None:
        """Stops reading; those who watch come to their end."""
        self.closed = True
        self._task.cancel()
        # What it failed by, those who watched were told.
        await asyncio.wait([self._task])


async def _surely(read: Callable[[], Awaitable[T]]) -> T:
    """What is read, however long the store takes to be there again: watchers would only come back to wait."""
    while True:
        try:
            return await read()
        except StoreUnavailableError:
            await asyncio.sleep(PAUSE)
