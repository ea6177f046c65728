"""The change feed: order, cursors, lag, failures and the retention of the journal."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar
from unittest import mock

import pytest

from resolvers import live, sessions
from resolvers.broadcast import Broadcast
from resolvers.change_feed import cursor_of
from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.maintenance.purge import Purge
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewSession, StartReport, validate
from storage.errors import StoreUnavailableError
from storage.queries.journal import JournalRow
from storage.tables import DAY, HOUR
from tests.conftest import MAC, run, sql

OTHER_MAC = "02:00:5E:10:00:01"
SESSION = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00Z", "end_time": "2025-08-01T12:00:00Z"}
ONE_SECOND_LATER = "2025-08-20T12:00:01Z"  # than `NOW`
TIMEOUT_SECONDS = 60

T = TypeVar("T")


def create_session(context: Context, **changes: str) -> None:
    """Create `SESSION` with some fields changed."""
    run(sessions.create_one(context, validate(NewSession, SESSION | changes, context.clock)))


def start_session(context: Context, mac: str) -> None:
    run(live.start(context, validate(StartReport, {"mac": mac, "ip": "10.0.0.1"}, context.clock)))


async def begin_subscription(first_change: Awaitable[T]) -> asyncio.Future[T]:
    """Request the first change of a subscription. Wait until the subscription is active, or has ended."""
    subscribed, subscribe = asyncio.Event(), Broadcast.subscribe

    def subscribe_and_notify(broadcast: Broadcast[Any]) -> Any:
        subscribed.set()
        return subscribe(broadcast)

    with mock.patch.object(Broadcast, "subscribe", subscribe_and_notify):
        first = asyncio.ensure_future(first_change)
        active = asyncio.ensure_future(subscribed.wait())
        await asyncio.wait([first, active], timeout=TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        active.cancel()
    return first


def changes_during(context: Context, count: int, action: Callable[[], None], **options: Any) -> list[JournalRow]:
    """Subscribe to the feed, call `action`, and return the first `count` changes."""

    async def receive(started: asyncio.Event) -> list[JournalRow]:
        entries: list[JournalRow] = []
        async with aclosing(context.feed.subscribe(options.get("macs"), options.get("after"))) as changes:
            next_change = await begin_subscription(anext(changes))
            started.set()
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while True:
                    entries.append(await next_change)
                    if len(entries) == count:
                        return entries
                    next_change = asyncio.ensure_future(anext(changes))

    async def start_subscription() -> tuple[asyncio.Event, asyncio.Task[list[JournalRow]]]:
        started = asyncio.Event()
        return started, asyncio.create_task(receive(started))

    started, subscription = run(start_subscription())

    async def wait_for_start() -> None:
        await started.wait()

    run(wait_for_start())
    action()

    async def result() -> list[JournalRow]:
        return await subscription

    return run(result())


def test_changes_arrive_in_commit_order(context: Context) -> None:
    """Creations, updates and deletions, with the session after the change."""

    def action() -> None:
        create_session(context)
        start_session(context, OTHER_MAC)
        report = {"mac": OTHER_MAC, "ip": "10.0.0.2", "at": ONE_SECOND_LATER}
        run(live.start(context, validate(StartReport, report, context.clock)))
        run(sessions.delete(context, MAC))

    changes = changes_during(context, 4, action)
    assert [(change.kind, change.mac) for change in changes] == [
        ("CREATED", MAC),
        ("CREATED", OTHER_MAC),
        ("UPDATED", OTHER_MAC),
        ("DELETED", MAC),
    ]
    assert changes[2].session is not None
    assert changes[2].session.ip == "10.0.0.2"
    assert changes[3].session is None
    assert changes[3].id == changes[0].id
    assert changes[2].id == changes[2].session.id
    assert [change.seq for change in changes] == sorted({change.seq for change in changes})


def test_ten_thousand_changes_at_once_arrive_once_each(context: Context) -> None:
    """All sessions of one mutation."""
    new = [validate(NewSession, SESSION | {"info": str(n)}, context.clock) for n in range(10_000)]
    changes = changes_during(context, 10_000, lambda: run(create_sessions(context, new)))
    assert len({change.session for change in changes}) == 10_000


async def create_sessions(context: Context, new: list[NewSession]) -> None:
    await sessions.create(context, new)


def test_subscription_can_be_limited_to_some_devices(context: Context) -> None:
    """Changes of other devices do not arrive."""

    def action() -> None:
        create_session(context)
        create_session(context, mac=OTHER_MAC)

    assert [change.mac for change in changes_during(context, 1, action, macs={OTHER_MAC})] == [OTHER_MAC]


def test_subscription_after_a_cursor_returns_missed_changes_first(context: Context) -> None:
    """Without gaps or duplicates, followed by new changes."""
    (first,) = changes_during(context, 1, lambda: create_session(context))
    for n in range(3):
        create_session(context, info=str(n))
    changes = changes_during(context, 4, lambda: create_session(context, info="later"), after=cursor_of(first))
    assert [change.session.info for change in changes if change.session] == ["0", "1", "2", "later"]
    changes = changes_during(context, 2, lambda: None, after=cursor_of(changes[1]))
    assert [change.session.info for change in changes if change.session] == ["2", "later"]


def test_cursor_that_is_too_old_or_unknown_is_rejected(context: Context) -> None:
    """After an hour, changes may be deleted. The subscriber gets an error instead of a list with a gap."""
    (first,) = changes_during(context, 1, lambda: create_session(context))
    create_session(context)
    in_time = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + HOUR))
    assert len(changes_during(in_time, 1, lambda: None, after=cursor_of(first))) == 1
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + HOUR + 1))
    other = cursor_of(first._replace(at=first.at + 1))
    beyond = cursor_of(first._replace(seq=first.seq + 10))
    for feed_context, after, message in (
        (later, cursor_of(first), "is older than an hour. Read the sessions again and subscribe without `after`."),
        (context, other, "is not a cursor of this database. Read the sessions again and subscribe without `after`."),
        (context, beyond, "is not a cursor of this database. Read the sessions again and subscribe without `after`."),
        (context, "NEWEST.1.2.3", "'NEWEST.1.2.3' is not a cursor of this list"),
        (context, "x", "'x' is not a cursor of this list"),
    ):
        with pytest.raises(InvalidInputError) as error:
            changes_during(feed_context, 1, lambda: None, after=after)
        assert str(error.value) == f"after: {message}"


def test_cursor_of_the_last_change_never_expires(context: Context) -> None:
    """On a quiet network nothing follows it, also after a purge."""
    (last,) = changes_during(context, 1, lambda: create_session(context))
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + 2 * DAY))
    run(Purge(later)())
    changes = changes_during(later, 1, lambda: create_session(later, mac=OTHER_MAC), after=cursor_of(last))
    assert [change.mac for change in changes] == [OTHER_MAC]


def test_subscriber_that_falls_behind_reads_from_the_journal(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow subscriber loses no change."""
    monkeypatch.setattr("resolvers.broadcast.MAX_BACKLOG", 5)
    monkeypatch.setattr("resolvers.change_feed.CHUNK", 7)
    new = [validate(NewSession, SESSION | {"info": str(n)}, context.clock) for n in range(200)]

    async def receive() -> list[JournalRow]:
        first = validate(NewSession, SESSION | {"info": "first"}, context.clock)
        async with aclosing(context.feed.subscribe(None, None)) as changes, asyncio.timeout(TIMEOUT_SECONDS):
            next_change = await begin_subscription(anext(changes))
            await sessions.create_one(context, first)
            entries = [await next_change]
            next_change = asyncio.ensure_future(anext(changes))
            await sessions.create(context, new)
            entries.append(await next_change)
            return entries + [await anext(changes) for _ in range(199)]

    changes = run(receive())
    assert [change.session.info for change in changes if change.session] == ["first", *map(str, range(200))]


def test_subscription_works_again_after_the_reader_failed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Current subscribers get the error, and later ones do not. `close` never raises it."""

    async def broken() -> AsyncGenerator[None, None]:
        yield
        raise ValueError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(context.store, "watch_journal", broken)
        with pytest.raises(StoreUnavailableError, match=r"^the journal can no longer be read$"):
            changes_during(context, 1, lambda: None)
    assert [change.mac for change in changes_during(context, 1, lambda: create_session(context))] == [MAC]
    run(context.feed.close())


def test_purge_deletes_old_creations_and_keeps_updates(context: Context, url: str) -> None:
    """Updates are the history of a session."""
    start_session(context, MAC)
    run(
        live.start(
            context, validate(StartReport, {"mac": MAC, "ip": "10.0.0.2", "at": ONE_SECOND_LATER}, context.clock)
        )
    )
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + DAY))
    create_session(later)

    async def purge_twice() -> None:
        purge = Purge(later)
        await purge()
        await purge()

    run(purge_twice())
    assert sql(url, "SELECT kind FROM change ORDER BY seq") == [("UPDATED",), ("CREATED",)]


def test_purge_keeps_creations_for_an_hour_and_the_last_one_for_ever(context: Context, url: str) -> None:
    """New subscriptions start after the last one."""
    now = context.clock.now()
    with_clock = replace(context, clock=Clock(context.clock.zone, lambda: now))
    purge = Purge(with_clock)
    counts = []
    for elapsed in (0, HOUR, HOUR, DAY):
        create_session(with_clock)
        now += elapsed
        run(purge())
        counts += sql(url, "SELECT count(*) FROM change")
    assert counts == [(1,), (2,), (1,), (1,)]


def test_reader_stops_when_the_last_subscriber_leaves(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it serves the others."""
    watch_journal, stopped = context.store.watch_journal, []

    async def observed() -> AsyncGenerator[None, None]:
        try:
            async with aclosing(watch_journal()) as changes:
                async for _ in changes:
                    yield
        finally:
            stopped.append(True)

    async def subscribe_and_leave() -> None:
        new = validate(NewSession, SESSION, context.clock)
        remaining, leaving = context.feed.subscribe(None, None), context.feed.subscribe(None, None)
        next_changes = [await begin_subscription(anext(changes)) for changes in (remaining, leaving)]
        await sessions.create_one(context, new)
        await asyncio.gather(*next_changes)
        await leaving.aclose()
        await sessions.create_one(context, new)
        await anext(remaining)
        assert not stopped
        await remaining.aclose()
        assert stopped

    async def run_with_timeout() -> None:
        await asyncio.wait_for(subscribe_and_leave(), TIMEOUT_SECONDS)

    monkeypatch.setattr(context.store, "watch_journal", observed)
    run(run_with_timeout())


def test_closed_feed_ends_current_and_later_subscriptions(context: Context) -> None:
    """Without an error."""

    async def receive() -> list[Any]:
        next_change = await begin_subscription(anext(context.feed.subscribe(None, None), None))
        await context.feed.close()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return [await next_change, await anext(context.feed.subscribe(None, None), None)]

    assert run(receive()) == [None, None]


def test_subscriber_survives_an_unavailable_store(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """No change gets lost meanwhile."""

    fetch, failures = context.store.fetch, [1, 1, 1]

    async def failing(*arguments: Any, **options: Any) -> Any:
        if failures and options.get("primary"):
            failures.pop()
            raise StoreUnavailableError("unavailable")
        return await fetch(*arguments, **options)

    monkeypatch.setattr("resolvers.change_feed.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(context.store, "fetch", failing)
    assert [change.mac for change in changes_during(context, 1, lambda: create_session(context))] == [MAC]
    assert not failures
