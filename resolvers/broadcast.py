"""One thing after the other, told to all who follow, each at its own pace."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Generic, TypeVar

HELD = 10_000  # things that a follower may be behind
TURN = 50  # things that a follower takes in one go

T = TypeVar("T")


class TooSlowError(Exception):
    """A follower is so far behind that it is let go of; it may come back after the last change that it saw."""

    def __init__(self) -> None:
        super().__init__(
            f"More than {HELD} changes wait to be read; subscribe again after the last cursor that you saw."
        )


class Broadcast(Generic[T]):
    """Holds the latest for those who are behind. Whoever tells waits for nobody."""

    def __init__(self) -> None:
        self._held: deque[T] = deque(maxlen=HELD)
        self._more = asyncio.Event()
        self._over = False
        self.passed = 0  # how many were told; the place of whoever begins now

    def tell(self, things: Iterable[T]) -> None:
        """Tells all followers."""
        for thing in things:
            self._held.append(thing)
            self.passed += 1
        self._wake()

    def end(self) -> None:
        """There is nothing more to come."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def follow(self, place: int) -> AsyncGenerator[T, None]:
        """What was told from a place on, until it ends; raises TooSlowError."""
        while True:
            more = self._more
            while place < self.passed:
                behind = self.passed - place
                if behind > len(self._held):
                    raise TooSlowError
                place += 1
                yield self._held[-behind]
                if not place % TURN:
                    # Nothing on the way to a quick client waits: others have their turn here.
                    await asyncio.sleep(0)
            if self._over:
                return
            await more.wait()
