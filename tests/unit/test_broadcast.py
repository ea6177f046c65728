"""The broadcast that distributes changes to subscribers within a process."""

import asyncio
from weakref import WeakSet

import pytest

from resolvers.broadcast import ITEMS_PER_TURN, Broadcast, SubscriberTooSlowError
from tests.conftest import run


def test_subscriber_that_is_too_far_behind_gets_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher does not wait for subscribers."""
    monkeypatch.setattr("resolvers.broadcast.MAX_BACKLOG", 3)

    async def scenario() -> list[int]:
        broadcast: Broadcast[int] = Broadcast()
        subscription = broadcast.subscribe()
        broadcast.publish([1, 2, 3])
        received = [await anext(subscription)]
        broadcast.publish([4])
        received += [await anext(subscription) for _ in range(3)]
        broadcast.publish([5, 6, 7, 8])
        message = r"^More than 3 changes are unread\. Subscribe again after the last"
        with pytest.raises(SubscriberTooSlowError, match=message):
            await anext(subscription)
        return received

    assert run(scenario()) == [1, 2, 3, 4]


def test_busy_subscriber_yields_to_other_tasks() -> None:
    """Also when there is always a next item."""

    async def scenario() -> int:
        broadcast: Broadcast[int] = Broadcast()
        subscription, turns = broadcast.subscribe(), 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        broadcast.publish([*range(1000)])
        task = asyncio.create_task(count_turns())
        for _ in range(1000):
            await anext(subscription)
        task.cancel()
        return turns

    assert 1000 / ITEMS_PER_TURN - 2 <= run(scenario()) <= 1000 / ITEMS_PER_TURN + 2


class Item:
    """An object whose release can be observed."""


def test_delivered_items_are_released() -> None:
    """Otherwise the memory of a server would grow for as long as it has subscribers."""

    async def scenario() -> list[int]:
        broadcast: Broadcast[Item] = Broadcast()
        fast, slow = broadcast.subscribe(), broadcast.subscribe()
        alive: WeakSet[Item] = WeakSet()
        for _ in range(200_000):
            alive.add(item := Item())
            broadcast.publish([item])
            await anext(fast)
        del item
        counts = [len(alive)]
        with pytest.raises(SubscriberTooSlowError):
            await anext(slow)
        del slow
        return [*counts, len(alive)]

    assert run(scenario()) == [200_000, 0]
