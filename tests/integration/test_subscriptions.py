"""Subscriptions over WebSocket and server-sent events."""

import gc
import json
import signal
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from graphql.execution.collect_fields import CollectedFields
from strawberry.types import ExecutionResult
from websockets.exceptions import ConnectionClosed, InvalidStatus

from netsessions.http.send_timeout import CLOSE_CODE, TIMEOUT_SECONDS
from resolvers import sessions
from resolvers.change_feed import CURSOR_KIND
from resolvers.context import Context
from resolvers.paging import encode_cursor
from resolvers.validation.models import NewSession, validate
from schema.build import build
from schema.context import RequestContext
from storage.queries.journal import JournalRow
from tests.conftest import MAC, new_database, run, sql
from tests.integration.test_change_feed import OTHER_MAC, SESSION, begin_subscription
from tests.support.server import TOKEN, Server, running
from tests.support.websocket import WATCH, Connect, WebSocketClient, open_websocket

PROBE_MAC = "02:00:5E:10:00:02"
SESSION_INPUT = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z"}


def cursor_before_a_probe(server: Server) -> str:
    """Create two sessions, and return the cursor of the first.

    A subscription after this cursor receives the second session as soon as it is active. The reader of the journal then
    also serves the subscriptions that were requested before on the same connection.
    """
    with server.client() as client:
        for _ in range(2):
            assert client.post("/sessions/create", json=SESSION | {"mac": PROBE_MAC}).status_code == 200
    at, seq = sql(server.database, "SELECT at, seq FROM change ORDER BY seq DESC LIMIT 2")[1]
    return encode_cursor(CURSOR_KIND, at, seq)


def receive_probe(socket: WebSocketClient, cursor: str) -> None:
    """Wait until all subscriptions that the socket has requested are active."""
    socket.subscribe("probe", macs=[PROBE_MAC], after=cursor)
    message = socket.receive()
    assert (message["id"], message["payload"]["data"]["sessionChanges"]["mac"]) == ("probe", PROBE_MAC), message


def changes_of(lines: Iterator[str]) -> Iterator[Any]:
    """Yield the changes of a stream of server-sent events."""
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))["data"]["sessionChanges"]


def test_memory_of_a_subscription_does_not_grow(context: Context) -> None:
    """The objects of an event are released after it is sent."""
    new = validate(NewSession, SESSION, context.clock)

    async def count_objects_after(changes: int, results: AsyncGenerator[Any, None]) -> int:
        for _ in range(changes):
            await sessions.create_one(context, new)
            assert (await anext(results)).data
        gc.collect()
        return sum(isinstance(item, CollectedFields | JournalRow | ExecutionResult) for item in gc.get_objects())

    async def subscribe() -> tuple[int, int]:
        query = "subscription { sessionChanges { kind session { mac device { name } } } }"
        stream: Any = await build().stream(query, context_value=RequestContext(context))
        async with aclosing(stream) as results:
            first = await begin_subscription(anext(results))
            await sessions.create_one(context, new)
            assert (await first).data
            return await count_objects_after(20, results), await count_objects_after(100, results)

    few_objects, many_objects = run(subscribe())
    assert many_objects <= few_objects


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that do not affect each other."""
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


def test_change_in_one_process_reaches_subscribers_of_another(servers: list[Server], connect: Connect) -> None:
    """Over WebSocket and as server-sent events."""
    first, second = servers
    cursor = cursor_before_a_probe(second)
    subscriber = connect(first)
    assert subscriber.receive() == {"type": "connection_ack"}
    subscriber.subscribe("a", macs=[MAC])
    subscriber.subscribe("b")
    receive_probe(subscriber, cursor)
    body = {"query": WATCH, "variables": {"after": cursor}}
    with first.client() as client, second.client() as writer:
        with client.stream("POST", "/graphql", json=body, headers={"Accept": "text/event-stream"}) as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            changes = changes_of(events.iter_lines())
            assert next(changes)["mac"] == PROBE_MAC
            for path, content in (("create", SESSION), ("start", {"mac": OTHER_MAC, "ip": "10.0.0.1"})):
                assert writer.post(f"/sessions/{path}", json=content).status_code == 200
            data = [next(changes) for _ in range(2)]
        assert [(change["kind"], change["mac"]) for change in data] == [("CREATED", MAC), ("CREATED", OTHER_MAC)]
        received = [subscriber.receive() for _ in range(3)]
        assert sorted((m["id"], m["payload"]["data"]["sessionChanges"]["mac"]) for m in received) == [
            ("a", MAC),
            ("b", OTHER_MAC),
            ("b", MAC),
        ]
        reconnected = connect(second)
        reconnected.receive()
        reconnected.subscribe("c", after=data[0]["cursor"])
        assert reconnected.next_change()["mac"] == OTHER_MAC
        assert writer.request("DELETE", "/sessions/delete", json={"mac": MAC}).status_code == 200
        deletion = reconnected.next_change()
    assert all(change["sessionId"] == change["session"]["id"] for change in data)
    assert (deletion["kind"], deletion["sessionId"], deletion["session"]) == ("DELETED", data[0]["sessionId"], None)
    for server in servers:
        assert server.stop() == 0


def test_errors_have_the_same_codes_as_in_single_requests(shared_server: Server, connect: Connect) -> None:
    """Over WebSocket, with code and field. A POST without streaming gets an error that says how to subscribe."""
    socket = connect(shared_server)
    socket.receive()
    socket.subscribe("a", after="nonsense")
    error = socket.receive()["payload"]["errors"][0]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}
    assert socket.receive() == {"id": "a", "type": "complete"}
    socket.send({"id": "b", "type": "subscribe", "payload": {"query": "subscription { nonsense }"}})
    response = socket.receive()
    assert (response["type"], response["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
    for _ in range(2):
        with shared_server.client() as client:
            response = client.post("/graphql", json={"query": WATCH})
        assert response.status_code == 400
        assert "text/event-stream" in response.json()["errors"][0]["message"]


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
def test_invalid_message_closes_the_websocket(shared_server: Server, connect: Connect, message: str) -> None:
    """With a close code of the protocol, and no traceback in the log."""
    socket = connect(shared_server)
    socket.receive()
    socket.socket.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert "Traceback" not in shared_server.output.read_text()


def test_long_connection_init_is_rejected(shared_server: Server, connect: Connect) -> None:
    """The server reads only little before it knows the token."""
    with pytest.raises(ConnectionClosed) as closed:
        connect(shared_server, TOKEN + " " * 10_000).receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_mutation_over_websocket_is_executed_for_each_client(shared_server: Server, connect: Connect) -> None:
    """Only subscriptions are shared between clients."""
    query = f'mutation {{ startSession(mac: "{OTHER_MAC}", ip: "10.0.0.9") {{ message }} }}'
    sockets = [connect(shared_server) for _ in range(2)]
    for socket in sockets:
        socket.receive()
        socket.send({"id": "a", "type": "subscribe", "payload": {"query": query}})
    responses = [socket.receive()["payload"] for socket in sockets]
    assert all("errors" not in response for response in responses), responses
    assert len({response["data"]["startSession"]["message"] for response in responses}) == 2


@pytest.mark.parametrize("token", ["wrong", ""])
def test_websocket_without_a_valid_token_is_closed(shared_server: Server, token: str, connect: Connect) -> None:
    """With a code and a reason, also for an invalid token in a header, or another first message."""
    with pytest.raises(ConnectionClosed) as closed:
        connect(shared_server, token).receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert "connection_init" in closed.value.rcvd.reason
    with open_websocket(shared_server) as socket:
        socket.send(json.dumps({"id": "a", "type": "subscribe", "payload": {"query": WATCH}}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
    with pytest.raises(InvalidStatus) as error:
        open_websocket(shared_server, additional_headers={"Authorization": f"Bearer {token}"})
    assert error.value.response.status_code == 401
    assert b"UNAUTHENTICATED" in error.value.response.body


def test_client_that_stops_reading_is_disconnected_and_blocks_nobody(tmp_path: Path, connect: Connect) -> None:
    """It gets a close code, and can reconnect with its last cursor."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, "--log-level", "warning", DATABASE_URL=url) as server, server.client() as client:
        cursor = cursor_before_a_probe(server)
        slow, quick = connect(server, max_queue=1), connect(server)
        for socket in (slow, quick):
            socket.receive()
            socket.subscribe("a")
            receive_probe(socket, cursor)
        info = "x" * 9000
        query = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
        watch = WATCH.replace("state", "state info")
        for n in range(20):
            slow.send({"id": f"b{n}", "type": "subscribe", "payload": {"query": watch}})
        slow.send({"id": "barrier", "type": "subscribe", "payload": {"query": watch, "variables": {"after": cursor}}})
        assert slow.next_change()["mac"] == PROBE_MAC
        new = [SESSION_INPUT | {"info": info} for _ in range(400)]
        longest = 0.0
        for _ in range(5):
            started_at = time.monotonic()
            assert client.post("/graphql", json={"query": query, "variables": {"input": new}}).status_code == 200
            longest = max(longest, time.monotonic() - started_at)
        for _ in range(2000):
            quick.next_change()
        assert longest < TIMEOUT_SECONDS, "a writer waited for a reader"
        time.sleep(TIMEOUT_SECONDS + 2)  # Nothing that the test could wait for shows that the server gave up.
        with pytest.raises(ConnectionClosed) as closed:
            all(iter(slow.receive, None))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CLOSE_CODE


def test_message_larger_than_max_body_closes_the_websocket(tmp_path: Path, connect: Connect) -> None:
    """With the close code of the WebSocket protocol."""
    with running(tmp_path, MAX_BODY="2048") as server:
        socket = connect(server)
        assert socket.receive()["type"] == "connection_ack"
        socket.send({"type": "ping", "payload": {"filler": "x" * 2048}})
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("workers", ["1", "2"])
def test_open_subscriptions_do_not_delay_the_shutdown(tmp_path: Path, connect: Connect, workers: str) -> None:
    """Streams are completed, and the server exits before the shutdown timeout."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, "--workers", workers, DATABASE_URL=url) as server, server.client() as client:
        cursor = cursor_before_a_probe(server)
        socket = connect(server)
        socket.receive()
        socket.subscribe("a")
        receive_probe(socket, cursor)
        body = {"query": WATCH, "variables": {"after": cursor}}
        request = {"json": body, "headers": {"Accept": "text/event-stream"}}
        with client.stream("POST", "/graphql", **request) as events:  # type: ignore[arg-type]
            lines = events.iter_lines()
            assert next(changes_of(lines))["mac"] == PROBE_MAC
            started_at = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            remaining_lines = list(lines)
            assert server.process.wait(timeout=60) == 0
        assert time.monotonic() - started_at < 10
        assert "event: complete" in remaining_lines
        assert "rror" not in server.output.read_text().replace("uvicorn.error", "")
