"""The change feed: one reader of the journal per process, for all subscribers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import TypeVar

from resolvers.broadcast import Broadcast, SubscriberTooSlowError
from resolvers.errors import InvalidInputError
from resolvers.paging import decode_cursor, encode_cursor
from resolvers.validation.clock import Clock
from storage.errors import StoreUnavailableError
from storage.queries import journal
from storage.queries.journal import JournalRow as JournalRow
from storage.store import Store
from storage.tables import HOUR

RETENTION = HOUR  # how long a subscriber can resume after its last cursor
CHUNK = 1000  # journal entries per read
RETRY_SECONDS = 0.5  # between two attempts to read from an unavailable store
CURSOR_KIND = "CHANGE"

T = TypeVar("T")

log = logging.getLogger("netsessions")


def cursor_of(entry: JournalRow) -> str:
    """Return the cursor of a journal entry, opaque to clients."""
    return encode_cursor(CURSOR_KIND, entry.at, entry.seq)


class ChangeFeed:
    """Reads the journal while there are subscribers, and sends the same entries to all of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._reader: _JournalReader | None = None
        self._closed = False

    async def subscribe(self, macs: Collection[str] | None, after: str | None) -> AsyncGenerator[JournalRow, None]:
        """Yield journal entries of some devices or of all as they are committed, from now on or after a cursor.

        The generator ends when the feed is closed. Raise InvalidInputError if the cursor is invalid or too old.
        """
        position = None if after is None else decode_cursor("after", after, CURSOR_KIND, 2)
        if self._closed:
            return
        reader = self._reader = self._reader or _JournalReader(self._store)
        reader.subscribers += 1
        try:
            await reader.started.wait()
            if position is not None:
                await self._check_position(reader, *position)
            async with aclosing(reader.entries_from(None if position is None else position[1])) as entries:
                async for entry in entries:
                    if macs is None or entry.mac in macs:
                        yield entry
        finally:
            reader.subscribers -= 1
            if not reader.subscribers:
                # A new subscriber starts a new reader while this one closes.
                if self._reader is reader:
                    self._reader = None
                await reader.close()

    async def _check_position(self, reader: "_JournalReader", at: int, seq: int) -> None:
        """Raise InvalidInputError if entries after the position may be purged already, or if it never existed."""
        # The last entry is valid whatever its age, because nothing followed it.
        if at < self._clock.now() - RETENTION and seq != reader.last_seq:
            raise InvalidInputError(
                "after", "is older than an hour. Read the sessions again and subscribe without `after`."
            )
        if [entry.at for entry in await reader.entries_after(seq - 1, seq)] != [at]:
            raise InvalidInputError(
                "after", "is not a cursor of this database. Read the sessions again and subscribe without `after`."
            )

    async def close(self) -> None:
        """End all subscriptions. New ones end at once."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


class _JournalReader:
    """Reads new journal entries while there are subscribers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task = asyncio.create_task(self._read())
        self.broadcast: Broadcast[JournalRow] = Broadcast()
        self.last_seq = 0  # the number of the last published entry
        self.started = asyncio.Event()
        self.subscribers = 0
        self.closed = False

    async def entries_from(self, seq: int | None) -> AsyncGenerator[JournalRow, None]:
        """Yield the entries after a number, or from now on. A subscriber that falls behind reads the journal itself."""
        live, until = self.broadcast.subscribe(), self.last_seq
        seq = until if seq is None else seq
        while True:
            while seq < until:
                entries = await self.entries_after(seq, until)
                for entry in entries:
                    yield entry
                seq = entries[-1].seq if len(entries) == CHUNK else until
            try:
                async for entry in live:
                    seq = entry.seq
                    yield entry
                break
            except SubscriberTooSlowError:
                live, until = self.broadcast.subscribe(), self.last_seq
        if not self.closed:
            raise StoreUnavailableError("the journal can no longer be read")

    async def entries_after(self, seq: int, until: int = 2**62) -> list[JournalRow]:
        """Return the first entries after one number up to another, at most CHUNK."""
        limits = {"after": seq, "until": until, "limit": CHUNK}
        rows = await self._store.fetch(journal.entries_since(), limits, primary=True)
        return [JournalRow.from_row(row) for row in rows]

    async def _last_stored_seq(self) -> int:
        ((seq,),) = await self._store.fetch(journal.last_seq(), {}, primary=True)
        return int(seq)

    async def _read(self) -> None:
        try:
            async with aclosing(self._store.watch_journal()) as wake_ups:
                async for _ in wake_ups:
                    if not self.started.is_set():
                        self.last_seq = await retry_until_available(self._last_stored_seq)
                        self.started.set()
                    while entries := await retry_until_available(lambda: self.entries_after(self.last_seq)):
                        self.last_seq = entries[-1].seq
                        self.broadcast.publish(entries)
        except Exception:
            log.exception("The journal cannot be read")
            raise
        finally:
            self.started.set()
            self.broadcast.close()

    async def close(self) -> None:
        """Stop reading and end the subscriptions."""
        self.closed = True
        self._task.cancel()
        # `wait` does not raise the task's exception: the subscribers got it.
        await asyncio.wait([self._task])


async def retry_until_available(read: Callable[[], Awaitable[T]]) -> T:
    """Read until the store responds. If subscriptions ended instead, clients would reconnect only to wait."""
    while True:
        try:
            return await read()
        except StoreUnavailableError:
            await asyncio.sleep(RETRY_SECONDS)
