"""Publish and subscribe within a process. Each subscriber reads at its own pace."""

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

MAX_BACKLOG = 10_000  # unread items of a subscriber
ITEMS_PER_TURN = 50  # items that a subscriber reads before other tasks run

T = TypeVar("T")


class SubscriberTooSlowError(Exception):
    """A subscriber has too many unread items. It can subscribe again after the last item that it read."""

    def __init__(self) -> None:
        super().__init__(
            f"More than {MAX_BACKLOG} changes are unread. Subscribe again after the last cursor that you received."
        )


class _Node(Generic[T]):
    """A position in a linked list of items. Items before the slowest subscriber are garbage collected."""

    __slots__ = ("next", "number")

    def __init__(self, number: int) -> None:
        self.number = number  # of items before this position
        self.next: tuple[T, _Node[T]] | None = None


class Broadcast(Generic[T]):
    """Publishes items to all subscribers without waiting for them."""

    def __init__(self) -> None:
        self.tail: _Node[T] = _Node(0)
        self.changed = asyncio.Event()
        self.closed = False

    def publish(self, items: Iterable[T]) -> None:
        """Append items for all subscribers."""
        for item in items:
            node: _Node[T] = _Node(self.tail.number + 1)
            self.tail.next = item, node
            self.tail = node
        self._wake()

    def close(self) -> None:
        """End all subscriptions after the items that were published."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def subscribe(self) -> "Subscriber[T]":
        """Return an iterator over the items that are published from now on."""
        return Subscriber(self)


class Subscriber(Generic[T]):
    """An asynchronous iterator over published items. Raises SubscriberTooSlowError."""

    def __init__(self, broadcast: Broadcast[T]) -> None:
        self._broadcast = broadcast
        self._node = broadcast.tail

    def __aiter__(self) -> "Subscriber[T]":
        return self

    async def __anext__(self) -> T:
        if not self._node.number % ITEMS_PER_TURN:
            # A fast subscriber never waits otherwise, so let other tasks run here.
            await asyncio.sleep(0)
        while self._node.next is None:
            if self._broadcast.closed:
                raise StopAsyncIteration
            await self._broadcast.changed.wait()
        if self._broadcast.tail.number - self._node.number > MAX_BACKLOG:
            raise SubscriberTooSlowError
        item, self._node = self._node.next
        return item
