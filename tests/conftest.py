"""Fixtures for all tests: a migrated database on SQLite and on PostgreSQL, a context over it, and a browser page."""

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
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from resolvers.context import Context
from resolvers.validation.clock import Clock
from schema.http.app import GraphQLApp
from storage.migrations import migrate
from storage.opening import open_store
from storage.sqlite.connection import connect
from storage.store import AuditStamp, sqlite_path
from tests.support import browser, postgres

NOW = "2025-08-20T12:00:00Z"
MAC = "AA:BB:CC:DD:EE:FF"
DATABASES = ("sqlite", "postgresql")
AUDIT_STAMP: AuditStamp = {"at": 0, "who": "test"}
Result = TypeVar("Result")
Rows = list[tuple[Any, ...]]

# No result depends on the speed of the machine: no deadlines, and no limit on the time to generate data. Tests with a
# database use one fixture for all examples and clear the tables themselves.
settings.register_profile(
    "netsessions",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("netsessions")


@cache
def _event_loop() -> BlockingPortal:
    """Return the event loop of all stores of this process: a PostgreSQL connection belongs to one loop."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(start_blocking_portal())


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine of a store or a resolver on the stores' event loop."""

    async def awaited() -> Result:
        return await coroutine

    return _event_loop().call(awaited)


def make_client(app: Any) -> TestClient:
    """Return a test client that runs the app on the stores' event loop."""
    client = TestClient(app)
    client.portal = _event_loop()
    return client


def at(text: str) -> int:
    """Return an ISO 8601 time, UTC if it has no offset, in microseconds since 1970."""
    return Clock(ZoneInfo("UTC")).parse_time(text)


def sql(url: str, statement: str) -> Rows:
    """Execute a statement over a new connection, and return its rows."""
    path = sqlite_path(url)
    if path is not None:
        # Use the program's own SQLite library: closing a file of another library would drop the locks of an open store.
        with closing(connect(path, read_only=False)) as connection:
            return connection.execute(statement).fetchall()

    async def fetch() -> Rows:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def new_database(kind: str, folder: Path) -> str:
    """Create an empty, migrated database, and return its URL."""
    if kind == "postgresql":
        return postgres.create_database(sql, migrate)
    url = f"sqlite:///{folder / 'netsessions.db'}"
    migrate(url)
    return url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database; each test runs once for each kind."""
    yield (created := new_database(request.param, tmp_path))
    if request.param == "postgresql":
        postgres.drop_database(sql, created)


@pytest.fixture
def zone() -> str:
    """The time zone of `context`; override it with parametrize."""
    return "UTC"


@pytest.fixture
def context(url: str, zone: str) -> Iterator[Context]:
    """A context over the database of `url`. The clock always shows noon of 20 August 2025."""
    store = run(open_store(url))
    yield Context(store, Clock(ZoneInfo(zone), time=lambda: at(NOW)))
    run(store.close())


Execute = Callable[..., dict[str, Any]]


@pytest.fixture
def execute(context: Context) -> Execute:
    """A function that sends a GraphQL operation with its variables, and returns the body of the response."""
    client = make_client(GraphQLApp(context))

    def send(query: str, **variables: Any) -> dict[str, Any]:
        response = client.post("/", json={"query": query, "variables": variables})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return send


@pytest.fixture
def rows(url: str) -> Callable[[], Rows]:
    """A function that reads all rows of the session table over a new connection."""
    return lambda: sql(url, "SELECT * FROM session ORDER BY mac, id")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for all tests of a module."""
    with browser.launch_browser() as launched:
        yield launched


@pytest.fixture
def page_log() -> browser.PageLog:
    """Requests to other hosts and console errors of the test's page."""
    return browser.PageLog()


@pytest.fixture
def page(chromium: Browser, page_log: browser.PageLog) -> Iterator[Page]:
    """A page without history or cookies. Fails the test on requests to other hosts and on unexpected console errors."""
    with browser.new_page(chromium, page_log) as page:
        yield page
