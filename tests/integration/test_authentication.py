"""Tokens in requests: valid, wrong, expired and revoked, over HTTP and WebSocket."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.testclient import WebSocketDenialResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus

from netsessions.settings import AccessPolicy
from resolvers import tokens
from resolvers.context import Context
from storage.errors import StoreUnavailableError
from storage.migrations import migrate
from storage.tables import SECOND
from tests.conftest import DATABASES, NOW, at, new_database, sql
from tests.support import postgres
from tests.support.clients import ClientFor, MakeToken, bearer, closing_code, open_socket
from tests.support.server import TOKEN, running
from tests.support.websocket import WATCH, Connect, WebSocketClient, open_websocket


def test_a_websocket_is_closed_with_the_matching_code(client_for: ClientFor, make_token: MakeToken) -> None:
    """4401 for a wrong token, 4403 for a calendar token. A token in a header is checked before the handshake."""
    calendar = make_token("calendar")
    for token, code, status in (("wrong-token", 4401, 401), (calendar, 4403, 403)):
        with open_socket(client_for(None), token) as socket:
            assert closing_code(socket) == code
        with pytest.raises(WebSocketDenialResponse) as denied, open_socket(client_for(None), token, in_header=True):
            pass
        assert denied.value.status_code == status


def test_an_unavailable_store_does_not_count_as_a_wrong_token(
    client_for: ClientFor, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both APIs return 503, and a WebSocket closes with 1013 (try again later)."""

    async def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(type(context.store), "fetch", unavailable)
    access = AccessPolicy(wrong_tokens_per_minute=1)
    for _ in range(3):
        for path in ("/sessions/list", "/graphql"):
            answer = client_for("some-token", access).get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        with open_socket(client_for(None, access), "some-token") as socket:
            assert closing_code(socket) == 1013


def test_a_token_is_rejected_from_its_expiry_on(
    client_for: ClientFor, make_token: MakeToken, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is then treated as a wrong token by every API."""
    reader = client_for(make_token("read", expires="90 days"))
    calendar = make_token("calendar", "phone", expires="2025-08-21")
    ends = {90 * 24 * 3600 * SECOND + at(NOW): reader, at("2025-08-22T00:00:00Z"): client_for(calendar)}
    for end, client in ends.items():
        path = "/sessions/calendar.ics" if client is not reader else "/sessions/list"
        monkeypatch.setattr(context.clock, "now", lambda end=end: end - 1)
        assert client.get(path).status_code == 200
        monkeypatch.setattr(context.clock, "now", lambda end=end: end)
        answer = client.get(path)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert client.post("/graphql", json={"query": "{ __typename }"}).status_code == 401


def netsessions(url: str, *arguments: str) -> str:
    """The command, as an operator calls it, in a process of its own."""
    command = [sys.executable, "-m", "netsessions", "token", *arguments]
    return subprocess.run(command, env={"DATABASE_URL": url}, capture_output=True, text=True, check=True).stdout


def new_token(url: str, name: str, scope: str) -> str:
    """A token that an operator made."""
    return netsessions(url, "make", name, "--scope", scope).split()[1]


def test_connections_close_when_their_token_is_revoked_or_expires(tmp_path: Path, url: str, connect: Connect) -> None:
    """WebSockets with 4401, event streams with their end; those of other tokens go on."""
    with running(tmp_path, DATABASE_URL=url) as server, ExitStack() as stack:
        revoked, valid, expiring_token = (new_token(url, name, "read") for name in ("revoked", "valid", "expiring"))
        sockets = [connect(server, token) for token in (revoked, valid)]
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        for socket in sockets:
            assert socket.receive() == {"type": "connection_ack"}
            socket.subscribe("a")
        request: dict[str, Any] = {
            "json": {"query": WATCH},
            "headers": bearer(revoked) | {"Accept": "text/event-stream"},
        }
        events = stack.enter_context(client.stream("POST", "/graphql", **request))
        assert events.status_code == 200
        in_a_moment = (current_second() + 2) * SECOND
        sql(url, f"UPDATE token SET expires_at = {in_a_moment} WHERE name = 'expiring'")
        expiring = connect(server, expiring_token)
        assert expiring.receive() == {"type": "connection_ack"}
        assert close_code(expiring) == 4401
        assert current_second() * SECOND >= in_a_moment - SECOND
        netsessions(url, "withdraw", "revoked")
        assert close_code(sockets[0]) == 4401
        assert not [line for line in events.iter_lines() if line.startswith("data: {")]
        sockets[1].send({"type": "ping"})
        assert sockets[1].receive() == {"type": "pong"}
        assert server.stop() == 0
    assert "Traceback" not in server.output.read_text()


def current_second() -> int:
    return int(time.time())


def close_code(socket: WebSocketClient) -> int:
    """Return the code with which the server closes a WebSocket within a minute."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_no_log_contains_a_token(tmp_path: Path, connect: Connect) -> None:
    """Valid or wrong, in the right place or not, also at level debug and for WebSockets."""
    url = new_database("sqlite", tmp_path)
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="debug") as server:
        valid_token, wrong = new_token(url, "script", "write"), "a-wrong-token-of-somebody"
        for token in (valid_token, TOKEN):
            socket = connect(server, token)
            assert socket.receive() == {"type": "connection_ack"}
            socket.subscribe("a")
            with open_websocket(server, additional_headers=bearer(token)) as by_header:
                by_header.send('{"type": "connection_init"}')
                assert "connection_ack" in by_header.recv(timeout=20)
            httpx.get(f"{server.url}/sessions/list", headers=bearer(token))
            httpx.get(f"{server.url}/sessions/list?token={token}")
            httpx.post(f"{server.url}/graphql?token={token}", json={"query": "{ __typename }"})
        assert close_code(connect(server, wrong)) == 4401
        for query in (wrong, valid_token, TOKEN):
            with pytest.raises(InvalidStatus):
                open_websocket(server, additional_headers=bearer(wrong), query=f"?token={query}")
            httpx.get(f"{server.url}/sessions/calendar.ics?token={query}")
        assert server.stop() == 0
    output = server.output.read_text()
    assert [token for token in (valid_token, wrong, TOKEN) if token in output] == []
    assert "connection_init" not in output


@pytest.mark.parametrize("kind", DATABASES)
def test_a_token_of_an_earlier_release_keeps_working(tmp_path: Path, kind: str) -> None:
    """It has the scope calendar and no expiry."""
    url = new_database(kind, tmp_path) if kind == "sqlite" else postgres.create_database(sql, migrate)
    token, digest = "an-old-token", tokens.digest_of(b"an-old-token")
    for statement in (
        "ALTER TABLE session RENAME COLUMN last_seen_at TO seen_at",
        "ALTER TABLE session RENAME COLUMN last_reported_at TO told_at",
        "ALTER TABLE answer RENAME COLUMN request_hash TO asked",
        "ALTER TABLE answer RENAME COLUMN response TO message",
        "ALTER TABLE token DROP COLUMN expires_at",
        "UPDATE alembic_version SET version_num = '0004'",
    ):
        sql(url, statement)
    sql(url, f"INSERT INTO token VALUES ('phone', '{digest}', 'calendar', 1)")
    migrate(url)
    with running(tmp_path, DATABASE_URL=url) as server:
        assert httpx.get(f"{server.url}/sessions/calendar.ics?token={token}").status_code == 200
        assert httpx.get(f"{server.url}/sessions/list", headers=bearer(token)).status_code == 403
