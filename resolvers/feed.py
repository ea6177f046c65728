"""What changes, as it changes: one reader of the journal for all who watch."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing, suppress
from typing import TypeVar

from resolvers.clock import Clock
from resolvers.errors import InvalidInputError
from resolvers.paging import cursor, parse_cursor
from storage import journal
from storage.errors import StoreUnavailableError
from storage.journal import ChangeRow
from storage.store import Store
from storage.tables import HOUR

KEPT = HOUR  # for so long a watcher may come back where it was
HELD = 10_000  # changes that a watcher may be behind
CHUNK = 1000  # changes that are read at a time
PAUSE = 0.5  # seconds between two looks at a store that is not there
KIND = "CHANGE"

T = TypeVar("T")


class TooSlowError(Exception):
    """A watcher is so far behind that it is let go of; it may come back after the last change that it saw."""

    def __init__(self) -> None:
        super().__init__(
            f"More than {HELD} changes wait to be read; subscribe again after the last cursor that you saw."
        )


def cursor_of(change: ChangeRow) -> str:
    """The place of a change, opaque to clients."""
    return cursor(KIND, change.at, change.seq)


class Feed:
    """Reads the journal while somebody watches, and hands the same changes to all."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: deque[ChangeRow] = deque(maxlen=HELD)
        self._passed = 0  # changes that went through `_held` since this began
        self._last = 0  # the number of the last of them
        self._watchers = 0
        self._reading: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._more = asyncio.Event()

    async def watch(self, macs: Collection[str] | None, after: str | None) -> AsyncGenerator[ChangeRow, None]:
        """Changes of some devices or of all, as they are committed: from now on, or after a cursor.

        Raises InvalidInputError for what is no cursor or too old a one, TooSlowError.
        """
        seq = None if after is None else self._parsed(after)
        self._watchers += 1
        try:
            if self._reading is None:
                self._begun = asyncio.Event()
                self._reading = asyncio.create_task(self._read(self._begun))
            await self._begun.wait()
            place, upto = self._passed, self._last
            if seq is not None:
                async with aclosing(self._earlier(seq, upto)) as earlier:
                    async for change in earlier:
                        if macs is None or change.mac in macs:
                            yield change
            while self._reading is not None and not self._reading.done():
                more = self._more
                while place < self._passed:
                    if self._passed - place > len(self._held):
                        raise TooSlowError
                    change = self._held[len(self._held) - (self._passed - place)]
                    place += 1
                    if macs is None or change.mac in macs:
                        yield change
                await more.wait()
            raise StoreUnavailableError("the journal cannot be read any more")
        finally:
            self._watchers -= 1
            if not self._watchers:
                await self.close()

    def _parsed(self, after: str) -> int:
        at, seq = parse_cursor("after", after, KIND, 2)
        if at < self._clock.now() - KEPT:
            raise InvalidInputError("after", "is older than an hour; read the sessions anew and subscribe without it")
        return seq

    async def _earlier(self, seq: int, upto: int) -> AsyncGenerator[ChangeRow, None]:
        while seq < upto:
            found = await self._after(seq, upto)
            for change in found:
                yield change
            seq = found[-1].seq if len(found) == CHUNK else upto

    async def _after(self, seq: int, upto: int = 2**62) -> list[ChangeRow]:
        places = {"after": seq, "upto": upto, "limit": CHUNK}
        return [ChangeRow.of(row) for row in await self._store.fetch(journal.since(), places, current=True)]

    async def _read(self, begun: asyncio.Event) -> None:
        try:
            async with aclosing(self._store.changed()) as changed:
                async for _ in changed:
                    if not begun.is_set():
                        ((self._last,),) = await self._surely(
                            lambda: self._store.fetch(journal.last(), {}, current=True)
                        )
                        begun.set()
                    while found := await self._surely(lambda: self._after(self._last)):
                        self._last = found[-1].seq
                        self._held.extend(found)
                        self._passed += len(found)
                        self._wake()
        finally:
            begun.set()
            self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def _surely(self, read: Callable[[], Awaitable[T]]) -> T:
        """What is read, however long the store takes to be there again: watchers would only come back to wait."""
        while True:
            try:
                return await read()
            except StoreUnavailableError:
                await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        """Stops reading; whoever watches next begins anew."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
