"""Fixtures for the integration tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from netsessions.app import build
from netsessions.http.metrics import Metrics
from netsessions.settings import DEFAULT_ACCESS, AccessPolicy
from resolvers import tokens
from resolvers.context import Context
from resolvers.scopes import Scope
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewToken, validate
from storage.opening import open_store
from tests.conftest import DATABASES, NOW, at, make_client, new_database, run
from tests.support.clients import CLIENT_ADDRESS, ClientFor, MakeToken
from tests.support.server import TOKEN, Server
from tests.support.websocket import Connect, WebSocketClient, open_websocket


@pytest.fixture(scope="module", params=DATABASES)
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Context]]:
    """Contexts over two databases of one kind, by URL."""
    urls = [new_database(request.param, tmp_path_factory.mktemp(name)) for name in ("first", "second")]
    contexts = {url: Context(run(open_store(url)), Clock(ZoneInfo("UTC"), time=lambda: at(NOW))) for url in urls}
    yield contexts
    for context in contexts.values():
        run(context.store.close())


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that connects a `WebSocketClient`, which is closed after the test."""
    with ExitStack() as stack:

        def open_client(server: Server, token: str = TOKEN, **options: Any) -> WebSocketClient:
            socket = WebSocketClient(stack.enter_context(open_websocket(server, **options)))
            socket.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
            return socket

        yield open_client


@pytest.fixture
def make_token(context: Context) -> MakeToken:
    """Return a function that creates a token and returns its secret."""

    def make(scope: Scope, name: str = "script", **more: Any) -> str:
        return run(tokens.create(context, validate(NewToken, {"name": name, "scope": scope} | more, context.clock)))

    return make


@pytest.fixture
def client_for(context: Context) -> ClientFor:
    """Return a function that makes a client of one server with its own token and address."""
    servers: dict[AccessPolicy, Any] = {}

    def make(
        token: str | None = TOKEN, access: AccessPolicy = DEFAULT_ACCESS, address: str = CLIENT_ADDRESS
    ) -> TestClient:
        app = servers.setdefault(access, build(context, TOKEN, Metrics(), access))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = TestClient(app, headers=headers, client=(address, 50000))
        client.portal = make_client(app).portal
        return client

    return make
