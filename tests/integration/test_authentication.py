"""Who may do what: scopes, origins, and how often and how much one client may ask, at both doors and over WebSocket."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, get_named_type
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks import watching
from netsessions.app import build
from netsessions.http import access_log as observe
from netsessions.http import login_throttle as failures
from netsessions.http.access_log import Metrics
from netsessions.http.connection_limits import Watchers
from netsessions.http.login_throttle import Failures, network_of
from netsessions.settings import ACCESS, Access, Settings
from resolvers import tokens
from resolvers.context import Context
from resolvers.errors import TooManyError, UnauthenticatedError
from resolvers.validation.models import NewToken, read
from rest_compat.openapi import document
from schema.build import build as build_schema
from storage.errors import StoreUnavailableError
from storage.migrations import migrate
from storage.queries.tokens import Scope
from storage.tables import SECOND
from tests.conftest import DATABASES, MAC, NOW, Ask, at, client_of, new_database, run, sql
from tests.integration.test_subscriptions import WATCH, Connect, Socket, connect, connection
from tests.support import postgres
from tests.support.server import TOKEN, running

__all__ = ["connect"]  # a fixture

STAY = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00Z"}
ADMIN = {"updateSession", "endSession", "deleteSession", "deleteSessions", "updateDevice"}
PROTOCOL = ["graphql-transport-ws"]
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"

Made = Callable[..., str]
Client = Callable[..., TestClient]


@pytest.fixture
def made(context: Context) -> Made:
    """Makes tokens."""

    def make(scope: Scope, name: str = "script", **more: Any) -> str:
        return run(tokens.make(context, read(NewToken, {"name": name, "scope": scope} | more, context.clock)))

    return make


@pytest.fixture
def client(context: Context, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Clients of one server, each with a token and an address of its own."""
    monkeypatch.setattr(observe, "log", logging.getLogger("netsessions"))
    servers: dict[Access, Any] = {}

    def of(token: str | None = TOKEN, access: Access = ACCESS, address: str = HERE) -> TestClient:
        app = servers.setdefault(access, build(context, TOKEN, Metrics(), access))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        made = TestClient(app, headers=headers, client=(address, 50000))
        made.portal = client_of(app).portal
        return made

    return of


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def opened(client: TestClient, token: str | None, *, in_header: bool = False, **headers: Any) -> Iterator[Any]:
    """A WebSocket that carries a token in a header or in its first message, which is sent."""
    sent = bearer(token) if token and in_header else {}
    with client.websocket_connect("/graphql", subprotocols=PROTOCOL, headers=sent | headers) as socket:
        socket.send_json({"type": "connection_init", "payload": {} if in_header or token is None else bearer(token)})
        yield socket


def closing_code(socket: Any) -> int:
    """With which code a WebSocket is closed."""
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    return closed.value.code


def error_of(answer: Any) -> str:
    """The code of a GraphQL answer's only error; empty where there is none."""
    errors = answer.json().get("errors", [])
    assert len(errors) <= 1
    return errors[0]["extensions"]["code"] if errors else ""


def literal(of: Any, identity: str) -> str:
    """Some value of an input type, as GraphQL writes it."""
    if isinstance(of, GraphQLNonNull):
        return literal(of.of_type, identity)
    if isinstance(of, GraphQLList):
        return f"[{literal(of.of_type, identity)}]"
    if isinstance(of, GraphQLInputObjectType):
        return f"{{{arguments(of.fields, identity)}}}"
    some = {"MAC": MAC, "IPAddress": "10.0.0.1", "ID": identity, "DateTime": "2025-08-01T10:00:00Z", "String": "x"}
    return json.dumps(some[of.name])


def arguments(fields: Any, identity: str) -> str:
    """Those that are needed, and instants."""
    return ", ".join(
        f"{name}: {literal(field.type, identity)}"
        for name, field in fields.items()
        if isinstance(field.type, GraphQLNonNull) or get_named_type(field.type).name == "DateTime"
    )


def mutations(identity: str) -> dict[str, str]:
    """Each mutation of the schema, as one would send it: also one that is new."""
    fields = build_schema()._schema.mutation_type.fields  # type: ignore[union-attr]
    return {
        name: f"mutation {{ {name}({arguments(field.args, identity)}) {{ __typename }} }}"
        for name, field in fields.items()
    }


@pytest.fixture
def identity(ask: Ask) -> str:
    """The id of a session that is there."""
    created = "mutation($i: CreateSessionInput!) { createSession(input: $i) { session { id } } }"
    given = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-07-01T10:00:00Z"}
    answer: str = ask(created, i=given)["data"]["createSession"]["session"]["id"]
    return answer


def test_a_mutation_without_a_stated_scope_does_not_pass(client: Client, made: Made, url: str, identity: str) -> None:
    """Every one there is in the schema, tried: a token that reads changes nothing, one that writes records alone."""
    reads, writes, all_of_them = client(made("read", "r")), client(made("write", "w")), client(made("admin", "a"))
    before = sql(url, "SELECT * FROM session")
    for name, query in mutations(identity).items():
        answer = reads.post("/graphql", json={"query": query})
        assert (answer.status_code, error_of(answer)) == (403, "FORBIDDEN"), name
        assert "scope" in answer.json()["errors"][0]["message"]
    assert sql(url, "SELECT * FROM session") == before
    codes = {name: error_of(writes.post("/graphql", json={"query": q})) for name, q in mutations(identity).items()}
    assert {name for name, code in codes.items() if code == "FORBIDDEN"} == ADMIN
    assert {code for name, code in codes.items() if name not in ADMIN} == {""}
    for name, query in mutations(identity).items():
        assert error_of(all_of_them.post("/graphql", json={"query": query})) != "FORBIDDEN", name
    # Also where a query is known, and answered by the shorter way.
    known = mutations(identity)["deleteSession"]
    assert [error_of(writes.post("/graphql", json={"query": known})) for _ in range(3)] == ["FORBIDDEN"] * 3


def test_each_path_asks_for_the_same_scope_as_its_mutation(client: Client, made: Made) -> None:
    """403, as JSON, for a right token without it; the paths that read are open to all three."""
    reads, writes, all_of_them = client(made("read", "r")), client(made("write", "w")), client(made("admin", "a"))
    for path, operations in document()["paths"].items():
        [(method, operation)] = operations.items()
        body = STAY if path.endswith("create") else {k: STAY[k] for k in ("mac", "ip")}
        body = {"mac": MAC} if path.endswith("delete") else body
        sent: dict[str, Any] = (
            {"params": {"start": "2025-08-01", "end": "2025-08-02"}} if path.endswith("calendar") else {}
        )
        if method != "get":
            sent = {"json": body}
        statuses = [
            each.request(method, path.format(mac=MAC), **sent).status_code for each in (reads, writes, all_of_them)
        ]
        needs_admin = operation["operationId"] in ADMIN
        assert statuses == ([200] * 3 if method == "get" else [403, 403 if needs_admin else 200, 200]), path
    answer = reads.request("DELETE", "/sessions/delete", json={"mac": MAC})
    assert answer.json() == {
        "success": False,
        "message": "This needs a token of scope admin; the scope of the one that came is read.",
        "error": "forbidden",
    }
    assert reads.get("/metrics").status_code == 200
    assert error_of(reads.post("/graphql", json={"query": "{ sessionTotals { all } }"})) == ""


def test_the_history_has_the_names_of_tokens(client: Client, made: Made, identity: str) -> None:
    """Of the one that wrote, also over WebSocket."""
    client(made("write", "scanner")).post("/sessions/stop", json={"mac": MAC, "at": "2025-08-02T10:00:00Z"})
    update = f'mutation {{ updateSession(id: "{identity}", ip: "10.0.0.9") {{ ip }} }}'
    with opened(client(None), made("admin", "ada")) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": update}})
        assert socket.receive_json()["payload"]["data"]["updateSession"] == {"ip": "10.0.0.9"}
    asked = {"query": f'{{ sessionHistory(id: "{identity}") {{ by }} }}'}
    assert client().post("/graphql", json=asked).json()["data"]["sessionHistory"] == [{"by": "scanner"}, {"by": "ada"}]


@pytest.mark.parametrize("in_header", [True, False])
def test_over_websocket_the_same_rule_holds(client: Client, made: Made, identity: str, in_header: bool) -> None:
    """Whether the token comes in a header or in the first message; what it may do is done."""
    with opened(client(None), made("write"), in_header=in_header) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        for name, codes in (("deleteSession", ["FORBIDDEN"]), ("createSession", []), ("updateDevice", ["FORBIDDEN"])):
            query = mutations(identity)[name]
            socket.send_json({"id": name, "type": "subscribe", "payload": {"query": query}})
            answer = socket.receive_json()["payload"]
            assert [error["extensions"]["code"] for error in answer.get("errors", [])] == codes
            assert socket.receive_json() == {"id": name, "type": "complete"}


def test_a_websocket_is_refused_with_the_code_that_fits(client: Client, made: Made) -> None:
    """4401 for a wrong token, 4403 for one of the calendar; before the handshake where a header carried it."""
    calendar = made("calendar")
    for token, code, status in (("wrong-token", 4401, 401), (calendar, 4403, 403)):
        with opened(client(None), token) as socket:
            assert closing_code(socket) == code
        with pytest.raises(WebSocketDenialResponse) as denied, opened(client(None), token, in_header=True):
            pass
        assert denied.value.status_code == status


def test_a_store_that_cannot_be_asked_is_no_wrong_token(
    client: Client, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 at both doors, and a WebSocket is to come again; nothing counts as a guess."""

    async def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(type(context.store), "fetch", unavailable)
    access = Access(wrong_tokens=1)
    for _ in range(3):
        for path in ("/sessions/list", "/graphql"):
            answer = client("some-token", access).get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        with opened(client(None, access), "some-token") as socket:
            assert closing_code(socket) == 1013


def test_a_token_is_refused_from_the_instant_at_which_it_expires(
    client: Client, made: Made, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every door, as a wrong one; until then it is as good as any."""
    asks = client(made("read", expires="90 days"))
    calendar = made("calendar", "phone", expires="2025-08-21")
    ends = {90 * 24 * 3600 * SECOND + at(NOW): asks, at("2025-08-22T00:00:00Z"): client(calendar)}
    for end, asking in ends.items():
        path = "/sessions/calendar.ics" if asking is not asks else "/sessions/list"
        monkeypatch.setattr(context.clock, "now", lambda end=end: end - 1)
        assert asking.get(path).status_code == 200
        monkeypatch.setattr(context.clock, "now", lambda end=end: end)
        answer = asking.get(path)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert asking.post("/graphql", json={"query": "{ __typename }"}).status_code == 401


def netsessions(url: str, *arguments: str) -> str:
    """The command, as an operator calls it, in a process of its own."""
    command = [sys.executable, "-m", "netsessions", "token", *arguments]
    return subprocess.run(command, env={"DATABASE_URL": url}, capture_output=True, text=True, check=True).stdout


def new_token(url: str, name: str, scope: str) -> str:
    """A token that an operator made."""
    return netsessions(url, "make", name, "--scope", scope).split()[1]


def test_what_is_open_ends_when_its_token_is_withdrawn_or_expires(tmp_path: Path, url: str, connect: Connect) -> None:
    """WebSockets with 4401, event streams with their end; those of other tokens go on."""
    with running(tmp_path, DATABASE_URL=url) as server, ExitStack() as stack:
        gone, stays, ends = (new_token(url, name, "read") for name in ("gone", "stays", "ends"))
        sockets = [connect(server, token) for token in (gone, stays)]
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        for socket in sockets:
            assert socket.receive() == {"type": "connection_ack"}
            socket.subscribe("a")
        asked = {"json": {"query": WATCH}, "headers": bearer(gone) | {"Accept": "text/event-stream"}}
        events = stack.enter_context(client.stream("POST", "/graphql", **asked))  # type: ignore[arg-type]
        assert events.status_code == 200
        in_a_moment = (at_now() + 2) * SECOND
        sql(url, f"UPDATE token SET expires_at = {in_a_moment} WHERE name = 'ends'")
        expiring = connect(server, ends)
        assert expiring.receive() == {"type": "connection_ack"}
        assert closed_with(expiring) == 4401
        assert at_now() * SECOND >= in_a_moment - SECOND
        netsessions(url, "withdraw", "gone")
        assert closed_with(sockets[0]) == 4401
        assert not [line for line in events.iter_lines() if line.startswith("data: {")]
        sockets[1].send({"type": "ping"})
        assert sockets[1].receive() == {"type": "pong"}
        assert server.stop() == 0
    assert "Traceback" not in server.output.read_text()


def at_now() -> int:
    return int(time.time())


def closed_with(socket: Socket) -> int:
    """With which code a WebSocket is closed within the minute."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_no_log_has_a_token(tmp_path: Path, connect: Connect) -> None:
    """Not the most talkative one, of WebSockets neither, whether it was right or in the wrong place."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="debug") as server:
        right, wrong = new_token(url, "script", "write"), "a-wrong-token-of-somebody"
        for token in (right, TOKEN):
            socket = connect(server, token)
            assert socket.receive() == {"type": "connection_ack"}
            socket.subscribe("a")
            with connection(server, additional_headers=bearer(token)) as by_header:
                by_header.send('{"type": "connection_init"}')
                assert "connection_ack" in by_header.recv(timeout=20)
            httpx.get(f"{server.url}/sessions/list", headers=bearer(token))
            httpx.get(f"{server.url}/sessions/list?token={token}")
            httpx.post(f"{server.url}/graphql?token={token}", json={"query": "{ __typename }"})
        assert closed_with(connect(server, wrong)) == 4401
        for query in (wrong, right, TOKEN):
            with pytest.raises(InvalidStatus):
                connection(server, additional_headers=bearer(wrong), query=f"?token={query}")
            httpx.get(f"{server.url}/sessions/calendar.ics?token={query}")
        assert server.stop() == 0
    output = server.output.read_text()
    assert [token for token in (right, wrong, TOKEN) if token in output] == []
    assert "connection_init" not in output


OWN_ORIGINS = ["http://testserver", "https://testserver"]
FOREIGN = ["http://evil.example", "https://testserver.evil.example", "http://testserver:8080", "null", ""]


@pytest.mark.parametrize("origin", OWN_ORIGINS + FOREIGN)
def test_a_page_of_another_origin_opens_no_websocket(context: Context, client: Client, origin: str) -> None:
    """403 before the handshake, whatever token it has; its own, and who is no page, may."""
    host = "testserver:443" if origin.startswith("https") and origin in OWN_ORIGINS else "testserver"
    sent: dict[str, Any] = {"Origin": origin, "Host": host}
    if origin in OWN_ORIGINS:
        with opened(client(None), TOKEN, **sent) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
        return
    for in_header in (True, False):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            opened(client(None), TOKEN, in_header=in_header, **sent),
        ):
            pass
        assert refused.value.code == 1008  # before it was accepted, which the web server answers with 403


def test_a_foreign_page_is_refused_by_the_running_server_with_403(tmp_path: Path) -> None:
    """And one that is named is not."""
    with running(tmp_path, ALLOWED_ORIGINS="https://ui.example HTTP://Other.Example:80") as server:
        for origin in ("https://ui.example", "http://other.example", server.url):
            with connection(server, origin=origin, additional_headers=bearer(TOKEN)) as socket:
                socket.send('{"type": "connection_init"}')
                assert "connection_ack" in socket.recv(timeout=20)
        with pytest.raises(InvalidStatus) as refused:
            connection(server, origin="https://evil.example", additional_headers=bearer(TOKEN))
        assert refused.value.response.status_code == 403


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


def test_pages_of_other_origins_read_nothing_unless_they_are_named(client: Client) -> None:
    """CORS is off; with ALLOWED_ORIGINS it is on for just those, without cookies."""
    here, there = {"Origin": "https://ui.example"}, {"Origin": "https://evil.example"}
    for answer in (
        client().get("/sessions/list", headers=here),
        client(None).options("/graphql", headers=here | PREFLIGHT),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    access = Access(origins=("https://ui.example",))
    for path in ("/graphql", "/sessions/create", "/metrics"):
        allowed = client(None, access).options(path, headers=here | PREFLIGHT)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, here["Origin"])
        assert client(None, access).options(path, headers=there | PREFLIGHT).status_code == 400
    for asking, status in ((client(access=access), 200), (client("wrong-token", access), 401)):
        answer = asking.get("/sessions/list", headers=here)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, here["Origin"])
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in asking.get("/sessions/list", headers=there).headers


@pytest.mark.parametrize(
    "text", ["*", "ui.example", "https://ui.example/path", "https://ui.example?x", "https://a@ui.example", "file:///x"]
)
def test_what_is_no_origin_is_refused_at_the_start(text: str) -> None:
    """Each is named by its place, as all of them may be long."""
    with pytest.raises(ValueError, match="number 2 is not"):
        Settings(allowed_origins=f"https://good.example {text}")


def knock(client: Client, token: str, access: Access, address: str = HERE) -> list[int]:
    """How a token is answered at each door."""
    asking = client(token, access, address)
    answers = [asking.get("/sessions/list"), asking.post("/graphql", json={"query": "{ sessionTotals { all } }"})]
    answers.append(client(None, access, address).get("/sessions/calendar.ics", params={"token": token}))
    for answer in answers:
        if answer.status_code == 429:
            assert 0 < int(answer.headers["Retry-After"]) <= failures.WINDOW
    statuses = [answer.status_code for answer in answers]
    try:
        with opened(client(None, access, address), token, in_header=True) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
            statuses.append(200)
    except WebSocketDenialResponse as denied:
        statuses.append(denied.status_code)
    with opened(client(None, access, address), token) as socket:
        try:
            assert socket.receive_json() == {"type": "connection_ack"}
            statuses.append(200)
        except WebSocketDisconnect as closed:
            statuses.append(closed.code)
    return statuses


def test_who_sends_too_many_wrong_tokens_is_not_answered_for_a_while(
    client: Client, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every door; a right token neither, unless it was right from there before. Other addresses are."""
    now = 1000.0
    monkeypatch.setattr(failures, "monotonic", lambda: now)
    access, right, unseen = Access(wrong_tokens=5), made("read", "right"), made("read", "unseen")
    assert client(right, access).get("/sessions/list").status_code == 200
    assert knock(client, "a-wrong-token", access) == [401, 401, 401, 401, 4401]
    for token in ("a-wrong-token", unseen, TOKEN):
        assert knock(client, token, access) == [429, 429, 429, 429, 4429], token
    assert client(right, access).get("/sessions/list").status_code == 200
    assert client(TOKEN, access, ELSEWHERE).get("/sessions/list").status_code == 200
    assert client(None, access).get("/health").status_code == 200
    now += failures.WINDOW
    assert client(TOKEN, access).get("/sessions/list").status_code == 200
    # And it counts from the beginning.
    for _ in range(5):
        assert client("a-wrong-token", access).get("/sessions/list").status_code == 401
    assert client("a-wrong-token", access).get("/sessions/list").status_code == 429


def test_a_limited_guess_is_not_compared(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor asked of the store: neither an answer nor its time tells anything of it."""
    access, compared = Access(wrong_tokens=1), []
    client("a-wrong-token", access).get("/sessions/list")
    monkeypatch.setattr("netsessions.http.authentication.hmac.compare_digest", lambda *pair: compared.append(pair))
    monkeypatch.setattr("resolvers.tokens.of_digest", lambda *pair: compared.append(pair))
    assert knock(client, TOKEN, access) == [429, 429, 429, 429, 4429]
    assert compared == []


def test_who_sends_no_token_is_no_guesser(client: Client) -> None:
    """A browser that looks around is told to bring one, as often as it comes."""
    access = Access(wrong_tokens=2)
    for _ in range(5):
        assert client(None, access).get("/sessions/list").status_code == 401
    assert client(TOKEN, access).get("/sessions/list").status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("somewhere", "somewhere", True),
        ("", "192.0.2.2", False),
    ],
)
def test_of_ipv6_a_whole_64_counts_as_one_address(one: str, other: str, same: bool) -> None:
    """Whoever has one address of it has all of them."""
    assert (network_of(one) == network_of(other)) == same


def test_what_is_remembered_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(failures, "HELD", 10)
    failed = Failures(1)
    for n in range(100):
        failed.wrong(f"10.0.0.{n}")
        failed.right(f"10.0.0.{n}", "digest")
    assert (len(failed._wrong), len(failed._right)) == (10, 10)
    failed.check("10.0.0.0", b"x")
    with pytest.raises(TooManyError):
        failed.check("10.0.0.99", b"x")


def test_a_token_has_only_so_many_connections_open(client: Client, made: Made) -> None:
    """WebSockets with either way of signing in and event streams together; other tokens have their own, and one that is
    closed makes room."""
    access = Access(connections=2)
    mine, other = made("read", "mine"), made("read", "other")
    events = {"json": {"query": WATCH}, "headers": {"Accept": "text/event-stream"}}
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        for in_header, until in ((True, stack), (False, first)):
            socket = until.enter_context(opened(client(None, access), mine, in_header=in_header))
            assert socket.receive_json() == {"type": "connection_ack"}
        for in_header in (True, False):
            with opened(client(None, access), mine, in_header=in_header) as socket:
                assert closing_code(socket) == 4429
        answer = client(mine, access).post("/graphql", **events)  # type: ignore[arg-type]
        assert (answer.status_code, error_of(answer)) == (429, "TOO_MANY")
        assert "This token has 2 connections open, as many as it may; close some." in answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert client(mine, access).get("/sessions/list").status_code == 200
        with opened(client(None, access), other) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
        first.close()
        with opened(client(None, access), mine) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}


@pytest.mark.parametrize("most", [1, 3])
def test_a_connection_has_only_so_many_subscriptions(client: Client, most: int) -> None:
    """One more closes it, with a reason; what is completed makes room."""
    with opened(client(None, Access(subscriptions=most)), TOKEN) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        for n in range(most):
            socket.send_json({"id": str(n), "type": "subscribe", "payload": {"query": WATCH}})
        socket.send_json({"id": "0", "type": "complete"})
        socket.send_json({"id": "again", "type": "subscribe", "payload": {"query": WATCH}})
        socket.send_json({"type": "ping"})
        assert socket.receive_json() == {"type": "pong"}
        socket.send_json({"id": "more", "type": "subscribe", "payload": {"query": WATCH}})
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4429
    assert f"At most {most} operations" in closed.value.reason


def test_the_limits_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By themselves they leave room for what the benchmark of watching opens."""
    monkeypatch.chdir(tmp_path)
    assert Settings().access == ACCESS == Access(30, 2000, 100, ())
    assert ACCESS.connections >= 2 * watching.SUBSCRIBERS
    told = Settings(
        wrong_tokens_per_minute=1,
        connections_per_token=2,
        subscriptions_per_connection=3,
        allowed_origins="https://a.example http://[::1]:8080",
    )
    assert told.access == Access(1, 2, 3, ("https://a.example", "http://[::1]:8080"))


def test_those_who_watch_are_let_go_when_their_token_expires() -> None:
    """At that instant, without a look at the store; who has no end is not."""

    async def main() -> int:
        async def is_right(_: str) -> bool:
            raise AssertionError("asked")

        watchers, ended = Watchers(1, is_right), 0
        for digest, seconds in (("short", 0.01), ("past", -5.0)):
            try:
                async with asyncio.timeout(5), watchers.watching() as join:
                    join(digest, seconds)
                    await asyncio.Event().wait()
            except UnauthenticatedError:
                ended += 1
        async with watchers.watching() as join:
            join("for ever", None)
            await asyncio.sleep(0.02)
        assert watchers._open == {}
        return ended

    assert run(main()) == 2


def test_those_who_watch_wait_for_a_store_that_cannot_be_asked() -> None:
    """They go on: their tokens may be right."""

    async def main() -> list[str]:
        answers: list[bool | Exception] = [StoreUnavailableError("gone"), True, False]
        told: list[str] = []

        async def is_right(digest: str) -> bool:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        watchers = Watchers(1, is_right)
        with suppress(UnauthenticatedError):
            async with watchers.watching() as join:
                join("digest", None)
                with suppress(StoreUnavailableError):
                    await watchers.check()
                told.append("unavailable")
                await watchers.check()
                await asyncio.sleep(0)
                told.append("right")
                await watchers.check()
                await asyncio.sleep(60)
                told.append("too late")
        return told

    assert run(main()) == ["unavailable", "right"]


@pytest.mark.parametrize("kind", DATABASES)
def test_a_token_of_an_earlier_release_stays_what_it_was(tmp_path: Path, kind: str) -> None:
    """Without an end, and for the calendar."""
    url = new_database(kind, tmp_path) if kind == "sqlite" else postgres.database(sql, migrate)
    token, digest = "an-old-token", tokens.digest_of(b"an-old-token")
    for statement in ("ALTER TABLE token DROP COLUMN expires_at", "UPDATE alembic_version SET version_num = '0004'"):
        sql(url, statement)
    sql(url, f"INSERT INTO token VALUES ('phone', '{digest}', 'calendar', 1)")
    migrate(url)
    with running(tmp_path, DATABASE_URL=url) as server:
        assert httpx.get(f"{server.url}/sessions/calendar.ics?token={token}").status_code == 200
        assert httpx.get(f"{server.url}/sessions/list", headers=bearer(token)).status_code == 403
