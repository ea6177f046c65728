"""One thing after the other, told to all who follow, each at its own pace."""

import asyncio
from collections.abc import Iterable
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


class _Place(Generic[T]):
    """A place between what was told and what is to come. It holds what comes after it, and nothing before."""

    __slots__ = ("next", "number")

    def __init__(self, number: int) -> None:
        self.number = number  # of things that were told before it
        self.next: tuple[T, _Place[T]] | None = None


class Broadcast(Generic[T]):
    """Tells all who follow, and waits for nobody. What all of them were told is not held any more."""

    def __init__(self) -> None:
        self.now: _Place[T] = _Place(0)
        self.more = asyncio.Event()
        self.over = False

    def tell(self, things: Iterable[T]) -> None:
        """Tells all followers."""
        for thing in things:
            later: _Place[T] = _Place(self.now.number + 1)
            self.now.next = thing, later
            self.now = later
        self._wake()

    def end(self) -> None:
        """There is nothing more to come."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        more, self.more = self.more, asyncio.Event()
        more.set()

    def follow(self) -> "Following[T]":
        """What is told from now on, until it ends."""
        return Following(self)


class Following(Generic[T]):
    """One who follows, at a place that moves. Raises TooSlowError."""

    def __init__(self, broadcast: Broadcast[T]) -> None:
        self._broadcast = broadcast
        self._place = broadcast.now

    def __aiter__(self) -> "Following[T]":
        return self

    async def __anext__(self) -> T:
        if not self._place.number % TURN:
            # Nothing on the way to a quick client waits: others have their turn here.
            await asyncio.sleep(0)
        while self._place.next is None:
            if self._broadcast.over:
                raise StopAsyncIteration
            await self._broadcast.more.wait()
        if self._broadcast.now.number - self._place.number > HELD:
            raise TooSlowError
        thing, self._place = self._place.next
        return thing
