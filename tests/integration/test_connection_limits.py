"""Limits of connections and subscriptions, and connections whose token ends."""

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from starlette.websockets import WebSocketDisconnect

from benchmarks import subscriptions
from netsessions.http.connection_limits import ConnectionLimiter
from netsessions.settings import DEFAULT_ACCESS, AccessPolicy, Settings
from resolvers.errors import UnauthenticatedError
from storage.errors import StoreUnavailableError
from tests.conftest import run
from tests.support.clients import ClientFor, MakeToken, closing_code, error_code, open_socket
from tests.support.server import TOKEN
from tests.support.websocket import WATCH


def test_open_connections_per_token_are_limited(client_for: ClientFor, make_token: MakeToken) -> None:
    """WebSockets and event streams count together. Other tokens have their own count."""
    access = AccessPolicy(connections_per_token=2)
    token, other_token = make_token("read", "mine"), make_token("read", "other")
    events = {"json": {"query": WATCH}, "headers": {"Accept": "text/event-stream"}}
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        for in_header, until in ((True, stack), (False, first)):
            socket = until.enter_context(open_socket(client_for(None, access), token, in_header=in_header))
            assert socket.receive_json() == {"type": "connection_ack"}
        for in_header in (True, False):
            with open_socket(client_for(None, access), token, in_header=in_header) as socket:
                assert closing_code(socket) == 4429
        answer = client_for(token, access).post("/graphql", **events)  # type: ignore[arg-type]
        assert (answer.status_code, error_code(answer)) == (429, "TOO_MANY")
        assert "This token already has 2 open connections. Close one of them first." in answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert client_for(token, access).get("/sessions/list").status_code == 200
        with open_socket(client_for(None, access), other_token) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
        first.close()
        with open_socket(client_for(None, access), token) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}


@pytest.mark.parametrize("limit", [1, 3])
def test_subscriptions_per_connection_are_limited(client_for: ClientFor, limit: int) -> None:
    """One more closes the connection. Completed subscriptions do not count."""
    with open_socket(client_for(None, AccessPolicy(subscriptions_per_connection=limit)), TOKEN) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        for n in range(limit):
            socket.send_json({"id": str(n), "type": "subscribe", "payload": {"query": WATCH}})
        socket.send_json({"id": "0", "type": "complete"})
        socket.send_json({"id": "again", "type": "subscribe", "payload": {"query": WATCH}})
        socket.send_json({"type": "ping"})
        assert socket.receive_json() == {"type": "pong"}
        socket.send_json({"id": "more", "type": "subscribe", "payload": {"query": WATCH}})
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4429
    assert f"At most {limit} operations" in closed.value.reason


def test_the_access_policy_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The defaults allow the connections of the subscription benchmark."""
    monkeypatch.chdir(tmp_path)
    assert Settings().access == DEFAULT_ACCESS == AccessPolicy(30, 2000, 100, ())
    assert DEFAULT_ACCESS.connections_per_token >= 2 * subscriptions.SUBSCRIBERS
    settings = Settings(
        wrong_tokens_per_minute=1,
        connections_per_token=2,
        subscriptions_per_connection=3,
        allowed_origins="https://a.example http://[::1]:8080",
    )
    assert settings.access == AccessPolicy(1, 2, 3, ("https://a.example", "http://[::1]:8080"))


def test_connections_close_when_their_token_expires() -> None:
    """They close at that instant, without a query. Tokens without expiry stay connected."""

    async def main() -> int:
        async def is_valid(_: str) -> bool:
            raise AssertionError("the store was queried")

        limiter, ended = ConnectionLimiter(1, is_valid), 0
        for digest, seconds in (("short", 0.01), ("past", -5.0)):
            try:
                async with asyncio.timeout(5), limiter.track() as join:
                    join(digest, seconds)
                    await asyncio.Event().wait()
            except UnauthenticatedError:
                ended += 1
        async with limiter.track() as join:
            join("for ever", None)
            await asyncio.sleep(0.02)
        assert limiter._open == {}
        return ended

    assert run(main()) == 2


def test_connections_stay_open_while_the_store_is_unavailable() -> None:
    """Their tokens may still be valid."""

    async def main() -> list[str]:
        answers: list[bool | Exception] = [StoreUnavailableError("gone"), True, False]
        steps: list[str] = []

        async def is_valid(digest: str) -> bool:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        limiter = ConnectionLimiter(1, is_valid)
        with suppress(UnauthenticatedError):
            async with limiter.track() as join:
                join("digest", None)
                with suppress(StoreUnavailableError):
                    await limiter.close_revoked()
                steps.append("unavailable")
                await limiter.close_revoked()
                await asyncio.sleep(0)
                steps.append("valid")
                await limiter.close_revoked()
                await asyncio.sleep(60)
                steps.append("too late")
        return steps

    assert run(main()) == ["unavailable", "valid"]
