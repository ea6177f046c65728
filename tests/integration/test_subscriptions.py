"""Watching: subscriptions over WebSocket and as events, from every door and process, lost by nobody."""

import asyncio
import gc
import json
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import websockets.sync.client
from graphql.execution.collect_fields import CollectedFields
from starlette.requests import ClientDisconnect
from strawberry.types import ExecutionResult
from websockets.exceptions import ConnectionClosed, InvalidStatus

from netsessions.http.send_timeout import SECONDS, TOO_SLOW, Patience
from resolvers import live, sessions
from resolvers.broadcast import TURN, Broadcast, TooSlowError
from resolvers.change_feed import cursor_of
from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.maintenance.purge import Forgetting
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewSession, StartReport, read
from schema.build import build
from schema.types import Request
from storage.errors import StoreUnavailableError
from storage.queries.journal import ChangeRow
from storage.tables import DAY, HOUR
from tests.conftest import MAC, new_database, run, sql
from tests.support.server import TOKEN, Server, running

OTHER = "02:00:5E:10:00:01"
STAY = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00Z", "end_time": "2025-08-01T12:00:00Z"}
WATCH = """subscription($macs: [MAC!], $after: String) {
    sessionChanges(macs: $macs, after: $after) { kind mac sessionId cursor session { id state } } }"""
LATER = "2025-08-20T12:00:01Z"  # than `NOW`


def create(context: Context, **changed: str) -> None:
    """A session, as either door creates it."""
    run(sessions.create_one(context, read(NewSession, STAY | changed, context.clock)))


def start(context: Context, mac: str) -> None:
    run(live.start(context, read(StartReport, {"mac": mac, "ip": "10.0.0.1"}, context.clock)))


def told(context: Context, n: int, work: Callable[[], None], **how: Any) -> list[ChangeRow]:
    """The first changes that a watcher is told of, who watched before the work was done."""

    async def watch(begun: asyncio.Event) -> list[ChangeRow]:
        found: list[ChangeRow] = []
        async with aclosing(context.feed.watch(how.get("macs"), how.get("after"))) as changes:
            coming = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.3)
            begun.set()
            async with asyncio.timeout(20):
                while True:
                    found.append(await coming)
                    if len(found) == n:
                        return found
                    coming = asyncio.ensure_future(anext(changes))

    async def begin() -> tuple[asyncio.Event, asyncio.Task[list[ChangeRow]]]:
        begun = asyncio.Event()
        return begun, asyncio.create_task(watch(begun))

    begun, watching = run(begin())

    async def waited() -> None:
        await begun.wait()

    run(waited())
    work()

    async def answer() -> list[ChangeRow]:
        return await watching

    return run(answer())


def test_every_change_is_told_in_the_order_of_commits(context: Context) -> None:
    """Created, updated and deleted, with the session as it is, from whatever made the change."""

    def work() -> None:
        create(context)
        start(context, OTHER)
        run(live.start(context, read(StartReport, {"mac": OTHER, "ip": "10.0.0.2", "at": LATER}, context.clock)))
        run(sessions.delete(context, MAC))

    found = told(context, 4, work)
    assert [(change.kind, change.mac) for change in found] == [
        ("CREATED", MAC),
        ("CREATED", OTHER),
        ("UPDATED", OTHER),
        ("DELETED", MAC),
    ]
    assert found[2].session is not None
    assert found[2].session.ip == "10.0.0.2"
    assert found[3].session is None
    assert found[3].id == found[0].id
    assert found[2].id == found[2].session.id
    assert [change.seq for change in found] == sorted({change.seq for change in found})


def test_many_at_once_are_each_told(context: Context) -> None:
    """10,000 of one mutation, each once."""
    new = [read(NewSession, STAY | {"info": str(n)}, context.clock) for n in range(10_000)]
    found = told(context, 10_000, lambda: run(_create(context, new)))
    assert len({change.session for change in found}) == 10_000


async def _create(context: Context, new: list[NewSession]) -> None:
    await sessions.create(context, new)


def test_a_watcher_of_some_devices_is_told_of_these(context: Context) -> None:
    """And of no other."""

    def work() -> None:
        create(context)
        create(context, mac=OTHER)

    assert [change.mac for change in told(context, 1, work, macs={OTHER})] == [OTHER]


def test_who_comes_back_is_told_what_was_missed(context: Context) -> None:
    """After the last change that was seen, without gap or repetition; then goes on with what comes."""
    (first,) = told(context, 1, lambda: create(context))
    for n in range(3):
        create(context, info=str(n))
    found = told(context, 4, lambda: create(context, info="later"), after=cursor_of(first))
    assert [change.session.info for change in found if change.session] == ["0", "1", "2", "later"]
    found = told(context, 2, lambda: None, after=cursor_of(found[1]))
    assert [change.session.info for change in found if change.session] == ["2", "later"]


def test_who_comes_back_too_late_is_told_so(context: Context) -> None:
    """What is older than an hour may be forgotten: an answer with a gap would look whole."""
    (first,) = told(context, 1, lambda: create(context))
    create(context)
    in_time = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + HOUR))
    assert len(told(in_time, 1, lambda: None, after=cursor_of(first))) == 1
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + HOUR + 1))
    other = cursor_of(first._replace(at=first.at + 1))
    beyond = cursor_of(first._replace(seq=first.seq + 10))
    for where, after, message in (
        (later, cursor_of(first), "is older than an hour; read the sessions anew and subscribe without it"),
        (context, other, "is not of this database; read the sessions anew and subscribe without it"),
        (context, beyond, "is not of this database; read the sessions anew and subscribe without it"),
        (context, "NEWEST.1.2.3", "'NEWEST.1.2.3' is not a cursor of this list"),
        (context, "x", "'x' is not a cursor of this list"),
    ):
        with pytest.raises(InvalidInputError) as refused:
            told(where, 1, lambda: None, after=after)
        assert str(refused.value) == f"after: {message}"


def test_the_last_change_can_be_come_back_to_however_long_ago_it_was(context: Context) -> None:
    """On a quiet network nothing has followed it, also when what is old has been forgotten."""
    (last,) = told(context, 1, lambda: create(context))
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + 2 * DAY))
    run(Forgetting(later)())
    assert [change.mac for change in told(later, 1, lambda: create(later, mac=OTHER), after=cursor_of(last))] == [OTHER]


def test_who_falls_behind_reads_on_in_the_journal(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many changes come at once, none is lost on a watcher that takes its time."""
    monkeypatch.setattr("resolvers.broadcast.HELD", 5)
    monkeypatch.setattr("resolvers.change_feed.CHUNK", 7)
    new = [read(NewSession, STAY | {"info": str(n)}, context.clock) for n in range(200)]

    def work() -> None:
        create(context, info="first")
        time.sleep(0.3)  # for it to be told by itself
        run(_create(context, new))

    found = told(context, 201, work)
    assert [change.session.info for change in found if change.session] == ["first", *map(str, range(200))]


def test_watching_can_be_begun_anew_after_it_failed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the reader is told to those who watch then, and to nobody later; closing never raises it."""

    async def broken() -> AsyncGenerator[None, None]:
        yield
        raise ValueError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(context.store, "changed", broken)
        with pytest.raises(StoreUnavailableError, match=r"^the journal cannot be read any more$"):
            told(context, 1, lambda: None)
    assert [change.mac for change in told(context, 1, lambda: create(context))] == [MAC]
    run(context.feed.close())


def test_creations_are_forgotten_and_changes_are_kept(context: Context, url: str) -> None:
    """What nobody can come back for any more goes; the history of a session stays."""
    start(context, MAC)
    run(live.start(context, read(StartReport, {"mac": MAC, "ip": "10.0.0.2", "at": LATER}, context.clock)))
    later = replace(context, clock=Clock(context.clock.zone, lambda: context.clock.now() + DAY))
    create(later)

    async def forget() -> None:
        forgetting = Forgetting(later)
        await forgetting()
        await forgetting()

    run(forget())
    assert sql(url, "SELECT kind FROM change ORDER BY seq") == [("UPDATED",), ("CREATED",)]


def test_creations_are_forgotten_each_time_but_not_within_the_hour(context: Context, url: str) -> None:
    """By whoever goes on forgetting; the very last stays, as the place to go on from."""
    now = context.clock.now()
    ticking = replace(context, clock=Clock(context.clock.zone, lambda: now))
    forgetting = Forgetting(ticking)
    left = []
    for passed in (0, HOUR, HOUR, DAY):
        create(ticking)
        now += passed
        run(forgetting())
        left += sql(url, "SELECT count(*) FROM change")
    assert left == [(1,), (2,), (1,), (1,)]


def test_who_leaves_leaves_the_others_watching_and_the_last_ends_the_reading(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody watches, nothing is read."""
    changed, ended = context.store.changed, []

    async def reading() -> AsyncGenerator[None, None]:
        try:
            async with aclosing(changed()) as changes:
                async for _ in changes:
                    yield
        finally:
            ended.append(True)

    async def watch() -> None:
        new = read(NewSession, STAY, context.clock)
        stays, goes = context.feed.watch(None, None), context.feed.watch(None, None)
        coming = [asyncio.ensure_future(anext(each)) for each in (stays, goes)]
        await asyncio.sleep(0.3)
        await sessions.create_one(context, new)
        await asyncio.gather(*coming)
        await goes.aclose()
        await sessions.create_one(context, new)
        await anext(stays)
        assert not ended
        await stays.aclose()
        assert ended

    async def soon() -> None:
        await asyncio.wait_for(watch(), 20)

    monkeypatch.setattr(context.store, "changed", reading)
    run(soon())


def test_a_feed_that_is_closed_lets_go_of_whoever_watches_for_good(context: Context) -> None:
    """They come to an end, which is no failure; so does, at once, whoever comes later."""

    async def watch() -> list[Any]:
        coming = asyncio.ensure_future(anext(context.feed.watch(None, None), None))
        await asyncio.sleep(0.3)
        await context.feed.close()
        async with asyncio.timeout(20):
            return [await coming, await anext(context.feed.watch(None, None), None)]

    assert run(watch()) == [None, None]


def test_a_follower_that_is_too_far_behind_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tells waits for nobody."""
    monkeypatch.setattr("resolvers.broadcast.HELD", 3)

    async def follow() -> list[int]:
        broadcast: Broadcast[int] = Broadcast()
        following = broadcast.follow()
        broadcast.tell([1, 2, 3])
        found = [await anext(following)]
        broadcast.tell([4])
        found += [await anext(following) for _ in range(3)]
        broadcast.tell([5, 6, 7, 8])
        with pytest.raises(TooSlowError, match=r"^More than 3 changes wait to be read; subscribe again after the last"):
            await anext(following)
        return found

    assert run(follow()) == [1, 2, 3, 4]


def test_a_follower_that_need_not_wait_lets_others_have_their_turn() -> None:
    """However much there is to be told, the event loop goes round meanwhile."""

    async def follow() -> int:
        broadcast: Broadcast[int] = Broadcast()
        following, turns = broadcast.follow(), 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        broadcast.tell([*range(1000)])
        going_on = asyncio.create_task(others())
        for _ in range(1000):
            await anext(following)
        going_on.cancel()
        return turns

    assert 1000 / TURN - 2 <= run(follow()) <= 1000 / TURN + 2


class Told:
    """Something that can be seen to be held no more."""


def test_what_every_follower_was_told_is_held_no_more() -> None:
    """Or a server that is watched for weeks would hold what it told all that time."""

    async def follow() -> list[int]:
        broadcast: Broadcast[Told] = Broadcast()
        quick, slow = broadcast.follow(), broadcast.follow()
        held: WeakSet[Told] = WeakSet()
        for _ in range(200_000):
            held.add(told := Told())
            broadcast.tell([told])
            await anext(quick)
        del told
        counts = [len(held)]
        with pytest.raises(TooSlowError):
            await anext(slow)
        del slow
        return [*counts, len(held)]

    assert run(follow()) == [200_000, 0]


def test_a_subscription_holds_as_much_after_many_changes_as_after_a_few(context: Context) -> None:
    """What is made of a change to tell it is gone once it was told."""
    new = read(NewSession, STAY, context.clock)

    async def held_after(changes: int, results: AsyncGenerator[Any, None]) -> int:
        for _ in range(changes):
            await sessions.create_one(context, new)
            assert (await anext(results)).data
        gc.collect()
        return sum(isinstance(each, CollectedFields | ChangeRow | ExecutionResult) for each in gc.get_objects())

    async def watched() -> tuple[int, int]:
        query = "subscription { sessionChanges { kind session { mac device { name } } } }"
        stream: Any = await build().stream(query, context_value=Request(context))
        async with aclosing(stream) as results:
            first = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0.3)
            await sessions.create_one(context, new)
            assert (await first).data
            return await held_after(20, results), await held_after(100, results)

    few, many = run(watched())
    assert many <= few


@pytest.fixture(scope="module")
def server_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for tests that leave no trace that another would see."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def servers(url: str, tmp_path: Path) -> Iterator[list[Server]]:
    """Two servers on one database."""
    with ExitStack() as stack:
        started = []
        for n in range(2):
            folder = tmp_path / str(n)
            folder.mkdir()
            started.append(stack.enter_context(running(folder, DATABASE_URL=url)))
        yield started


class Socket:
    """A WebSocket that speaks graphql-transport-ws as a browser does, with the token in its first message."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def send(self, message: Any) -> None:
        self.socket.send(json.dumps(message))

    def receive(self) -> Any:
        text = self.socket.recv(timeout=20)
        assert isinstance(text, str), "browsers read text"
        return json.loads(text)

    def subscribe(self, name: str, **variables: Any) -> None:
        self.send({"id": name, "type": "subscribe", "payload": {"query": WATCH, "variables": variables}})

    def change(self) -> Any:
        """The next change."""
        message = self.receive()
        assert message["type"] == "next", message
        return message["payload"]["data"]["sessionChanges"]


def connection(server: Server, query: str = "", **more: Any) -> Any:
    """One to `/graphql`, to be entered."""
    address = server.url.replace("http", "ws") + f"/graphql{query}"
    return websockets.sync.client.connect(address, subprotocols=["graphql-transport-ws"], **more)  # type: ignore[list-item]


Connect = Callable[..., Socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens WebSockets, which are closed with the test."""
    with ExitStack() as stack:

        def connected(server: Server, token: str = TOKEN, **more: Any) -> Socket:
            socket = Socket(stack.enter_context(connection(server, **more)))
            socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
            return socket

        yield connected


def test_a_change_crosses_processes(servers: list[Server], connect: Connect) -> None:
    """Whoever watches one server is told of what another did, over WebSocket and as events."""
    one, other = servers
    watching = connect(one)
    assert watching.receive() == {"type": "connection_ack"}
    watching.subscribe("a", macs=[MAC])
    watching.subscribe("b")
    body = {"query": WATCH}
    with one.client() as client, other.client() as writer:
        with client.stream("POST", "/graphql", json=body, headers={"Accept": "text/event-stream"}) as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            time.sleep(0.5)
            for path, sent in (("create", STAY), ("start", {"mac": OTHER, "ip": "10.0.0.1"})):
                assert writer.post(f"/sessions/{path}", json=sent).status_code == 200
            lines = (line for line in events.iter_lines() if line.startswith("data: {"))
            data = [json.loads(next(lines).removeprefix("data: "))["data"]["sessionChanges"] for _ in range(2)]
        assert [(change["kind"], change["mac"]) for change in data] == [("CREATED", MAC), ("CREATED", OTHER)]
        received = [watching.receive() for _ in range(3)]
        assert sorted((m["id"], m["payload"]["data"]["sessionChanges"]["mac"]) for m in received) == [
            ("a", MAC),
            ("b", OTHER),
            ("b", MAC),
        ]
        again = connect(other)
        again.receive()
        again.subscribe("c", after=data[0]["cursor"])
        assert again.change()["mac"] == OTHER
        assert writer.request("DELETE", "/sessions/delete", json={"mac": MAC}).status_code == 200
        gone = again.change()
    assert all(change["sessionId"] == change["session"]["id"] for change in data)
    assert (gone["kind"], gone["sessionId"], gone["session"]) == ("DELETED", data[0]["sessionId"], None)
    for each in servers:
        assert each.stop() == 0


def test_mistakes_are_told_in_the_words_of_single_requests(server_once: Server, connect: Connect) -> None:
    """Over WebSocket, with code and field; and a plain POST of a subscription is told how to send it."""
    socket = connect(server_once)
    socket.receive()
    socket.subscribe("a", after="nonsense")
    error = socket.receive()["payload"]["errors"][0]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}
    assert socket.receive() == {"id": "a", "type": "complete"}
    socket.send({"id": "b", "type": "subscribe", "payload": {"query": "subscription { nonsense }"}})
    answer = socket.receive()
    assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
    for _ in range(2):
        with server_once.client() as client:
            plain = client.post("/graphql", json={"query": WATCH})
        assert plain.status_code == 400
        assert "text/event-stream" in plain.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "message",
    [
        "5",
        "[]",
        "no JSON",
        '{"id": {}, "type": "subscribe", "payload": {"query": "{ a }"}}',
        '{"type": "ping", "payload": []}',
    ],
)
def test_what_is_no_message_closes_a_websocket(server_once: Server, connect: Connect, message: str) -> None:
    """With a code of the protocol, and no traceback in the log."""
    socket = connect(server_once)
    socket.receive()
    socket.socket.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert "Traceback" not in server_once.output.read_text()


def test_a_long_introduction_is_not_read(server_once: Server, connect: Connect) -> None:
    """Who has not shown a token yet is not listened to for long."""
    with pytest.raises(ConnectionClosed) as closed:
        connect(server_once, TOKEN + " " * 10_000).receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_query_over_websocket_is_carried_out_for_each_who_sends_it(server_once: Server, connect: Connect) -> None:
    """Only subscriptions are shared: of two who create in the same words, each creates."""
    query = f'mutation {{ startSession(mac: "{OTHER}", ip: "10.0.0.9") {{ message }} }}'
    sockets = [connect(server_once) for _ in range(2)]
    for socket in sockets:
        socket.receive()
        socket.send({"id": "a", "type": "subscribe", "payload": {"query": query}})
    answers = [socket.receive()["payload"] for socket in sockets]
    assert all("errors" not in answer for answer in answers), answers
    assert len({answer["data"]["startSession"]["message"] for answer in answers}) == 2


@pytest.mark.parametrize("token", ["wrong", ""])
def test_without_the_token_a_websocket_is_closed(server_once: Server, token: str, connect: Connect) -> None:
    """With a code and a reason; also when a header carries a wrong one, or something else is said first."""
    with pytest.raises(ConnectionClosed) as closed:
        connect(server_once, token).receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert "connection_init" in closed.value.rcvd.reason
    with connection(server_once) as socket:
        socket.send(json.dumps({"id": "a", "type": "subscribe", "payload": {"query": WATCH}}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
    with pytest.raises(InvalidStatus) as refused:
        connection(server_once, additional_headers={"Authorization": f"Bearer {token}"})
    assert refused.value.response.status_code == 401
    assert b"UNAUTHENTICATED" in refused.value.response.body


def test_a_client_that_does_not_read_is_cut_off_and_keeps_nobody_waiting(tmp_path: Path, connect: Connect) -> None:
    """It finds a code that says so, and comes back with its last cursor; meanwhile writers and others went on."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, "--log-level", "warning", DATABASE_URL=url) as server, server.client() as client:
        slow, quick = connect(server, max_queue=1), connect(server)
        for socket in (slow, quick):
            socket.receive()
            socket.subscribe("a")
        time.sleep(0.5)
        info = "x" * 9000
        query = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
        watch = WATCH.replace("state", "state info")
        for n in range(20):
            slow.send({"id": f"b{n}", "type": "subscribe", "payload": {"query": watch}})
        time.sleep(0.5)
        new = [STAY_IN | {"info": info} for _ in range(400)]
        longest = 0.0
        for _ in range(5):
            began = time.monotonic()
            assert client.post("/graphql", json={"query": query, "variables": {"input": new}}).status_code == 200
            longest = max(longest, time.monotonic() - began)
        for _ in range(2000):
            quick.change()
        assert longest < SECONDS, "a writer waited for a reader"
        time.sleep(SECONDS + 2)
        with pytest.raises(ConnectionClosed) as closed:
            all(iter(slow.receive, None))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == TOO_SLOW


def test_a_message_larger_than_a_body_may_be_closes_the_connection(tmp_path: Path, connect: Connect) -> None:
    """With the code that WebSockets have for it."""
    with running(tmp_path, MAX_BODY="2048") as server:
        socket = connect(server)
        assert socket.receive()["type"] == "connection_ack"
        socket.send({"type": "ping", "payload": {"filler": "x" * 2048}})
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


STAY_IN = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z"}


def test_a_watcher_outlives_a_store_that_is_away_for_a_while(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was written meanwhile is lost on it."""

    fetch, failures = context.store.fetch, [1, 1, 1]

    async def failing(*arguments: Any, **how: Any) -> Any:
        if failures and how.get("current"):
            failures.pop()
            raise StoreUnavailableError("away")
        return await fetch(*arguments, **how)

    monkeypatch.setattr("resolvers.change_feed.PAUSE", 0.01)
    monkeypatch.setattr(context.store, "fetch", failing)
    assert [change.mac for change in told(context, 1, lambda: create(context))] == [MAC]
    assert not failures


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_watches_for_ever_does_not_keep_a_server_from_ending(
    tmp_path: Path, connect: Connect, workers: str
) -> None:
    """Streams come to an end in order, and the server with them, long before its patience is over."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, "--workers", workers, DATABASE_URL=url) as server, server.client() as client:
        socket = connect(server)
        socket.receive()
        socket.subscribe("a")
        sent = {"json": {"query": WATCH}, "headers": {"Accept": "text/event-stream"}}
        with client.stream("POST", "/graphql", **sent) as events:  # type: ignore[arg-type]
            time.sleep(0.5)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            lines = list(events.iter_lines())
            assert server.process.wait(timeout=60) == 0
        assert time.monotonic() - began < 10
        assert "event: complete" in lines
        assert "rror" not in server.output.read_text().replace("uvicorn.error", "")


def test_a_part_of_an_answer_that_is_not_taken_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a reader who stopped reading does not hold what the answer is read from for ever."""
    monkeypatch.setattr("netsessions.http.send_timeout.SECONDS", 0.05)
    ended = []

    async def app(_: Any, __: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        finally:
            ended.append(True)

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        run(Patience(app)({"type": "http"}, never, never))  # type: ignore[arg-type]
    assert ended
