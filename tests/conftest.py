"""A store of its own for each test, on each database, and both doors over it."""

import asyncio
import atexit
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from resolvers.context import Context
from resolvers.validation.clock import Clock
from schema.http.app import GraphQLDoor
from storage.migrations import migrate
from storage.opening import open_store
from storage.sqlite.store import connect
from storage.store import sqlite_path
from tests.support import browser, postgres

NOW = "2025-08-20T12:00:00Z"
MAC = "AA:BB:CC:DD:EE:FF"
DATABASES = ("sqlite", "postgresql")
TOLD = {"at": 0, "who": "test"}
T = TypeVar("T")
Rows = list[tuple[Any, ...]]


@cache
def _portal() -> BlockingPortal:
    """The event loop of all stores of this process: a connection to PostgreSQL belongs to one."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(start_blocking_portal())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Carries out what stores and resolvers do, on their event loop."""

    async def carried_out() -> T:
        return await work

    return _portal().call(carried_out)


def client_of(app: Any) -> TestClient:
    """A client of an app over a store."""
    client = TestClient(app)
    client.portal = _portal()
    return client


def at(text: str) -> int:
    """An ISO 8601 time as an instant; UTC where it has no offset."""
    return Clock(ZoneInfo("UTC")).parse(text)


def sql(url: str, statement: str) -> Rows:
    """What a database answers to a statement, over a new connection."""
    path = sqlite_path(url)
    if path is not None:
        # By the program's own SQLite: a second one in the process of an open store would undo the first one's locks.
        with closing(connect(path, read_only=False)) as connection:
            return connection.execute(statement).fetchall()

    async def asked() -> Rows:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(asked())


def new_database(kind: str, folder: Path) -> str:
    """The address of an empty, migrated database."""
    if kind == "postgresql":
        return postgres.database(sql, migrate)
    url = f"sqlite:///{folder / 'netsessions.db'}"
    migrate(url)
    return url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database of each kind, for as long as the test runs."""
    yield (made := new_database(request.param, tmp_path))
    if request.param == "postgresql":
        postgres.drop(sql, made)


@pytest.fixture
def zone() -> str:
    return "UTC"


@pytest.fixture
def context(url: str, zone: str) -> Iterator[Context]:
    """What resolvers are handed; it is always noon of 20 August 2025."""
    store = run(open_store(url))
    yield Context(store, Clock(ZoneInfo(zone), time=lambda: at(NOW)))
    run(store.close())


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(context: Context) -> Ask:
    """Sends a GraphQL query and answers the body."""
    client = client_of(GraphQLDoor(context))

    def send(query: str, **variables: Any) -> dict[str, Any]:
        answer = client.post("/", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return send


@pytest.fixture
def rows(url: str) -> Callable[[], Rows]:
    """What the session table holds, read over a new connection."""
    return lambda: sql(url, "SELECT * FROM session ORDER BY mac, id")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a module."""
    with browser.started() as started:
        yield started


@pytest.fixture
def seen() -> browser.Seen:
    """What the test's page did that it must not do."""
    return browser.Seen()


@pytest.fixture
def page(chromium: Browser, seen: browser.Seen) -> Iterator[Page]:
    """A page of a browser without a history. It fails a test whose page asks another host, or has an error in its console."""
    with browser.opened(chromium, seen) as page:
        yield page
