"""Connections that stay open, by the token that opened them: so many at a time, and none for longer than the token is right.

They end at the instant at which it expires, and within `EVERY` after it was withdrawn. Each process counts its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from resolvers.errors import TooManyError, UnauthenticatedError
from storage.errors import StoreUnavailableError

EVERY = 10.0  # seconds between two looks whether the tokens of those who watch are still there
RETRY = 10  # seconds after which a place may be free
ENDED = "The token has expired, or was withdrawn."

Join = Callable[[str, float | None], None]


class Watchers:
    """At most so many of one token; `is_right` tells of a token's digest whether it still is one."""

    def __init__(self, most: int, is_right: Callable[[str], Awaitable[bool]]) -> None:
        self._most = most
        self._is_right = is_right
        self._open: dict[str, set[asyncio.Timeout]] = {}
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Join]:
        """What is done in here is ended by UnauthenticatedError when the token ends.

        Whose it is, and in how many seconds it expires, is to be told once; that raises TooManyError for one too many.
        """
        until, joined = asyncio.timeout(None), ""

        def join(digest: str, seconds: float | None) -> None:
            nonlocal joined
            mine = self._open.setdefault(digest, set())
            if len(mine) >= self._most:
                raise TooManyError(
                    f"This token has {self._most} connections open, as many as it may; close some.", RETRY
                )
            mine.add(until)
            joined = digest
            if seconds is not None:
                until.reschedule(asyncio.get_running_loop().time() + seconds)
            self._looking = self._looking or asyncio.create_task(self._look())

        try:
            async with until:
                yield join
        except TimeoutError:
            if not until.expired():
                raise
            raise UnauthenticatedError(ENDED) from None
        finally:
            if joined:
                self._leave(joined, until)

    def _leave(self, digest: str, until: asyncio.Timeout) -> None:
        self._open[digest].discard(until)
        if not self._open[digest]:
            del self._open[digest]
        if not self._open and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            # What cannot be asked now is asked the next time.
            with suppress(StoreUnavailableError):
                await self.check()

    async def check(self) -> None:
        """Ends those whose token is not right any more."""
        for digest in list(self._open):
            if not await self._is_right(digest):
                for until in self._open.get(digest, ()):
                    if not until.expired():
                        until.reschedule(asyncio.get_running_loop().time())
