"""A store of its own for each test, on a real file, and both doors over it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from resolvers.clock import Clock
from resolvers.context import Context
from schema.door import GraphQLDoor
from storage.migrations import migrate
from storage.sqlite import Store, connect

NOW = "2025-08-20T12:00:00Z"
MAC = "AA:BB:CC:DD:EE:FF"


def at(text: str) -> int:
    """An ISO 8601 time as an instant; UTC where it has no offset."""
    return Clock(ZoneInfo("UTC")).parse(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty, migrated database."""
    file = tmp_path / "netsessions.db"
    migrate(file)
    return file


@pytest.fixture
def zone() -> str:
    return "UTC"


@pytest.fixture
def context(path: Path, zone: str) -> Iterator[Context]:
    """What resolvers are handed; it is always noon of 20 August 2025."""
    store = Store(path)
    yield Context(store, Clock(ZoneInfo(zone), time=lambda: at(NOW)))
    asyncio.run(store.close())


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(context: Context) -> Ask:
    """Sends a GraphQL query and answers the body."""
    client = TestClient(GraphQLDoor(context))

    def send(query: str, **variables: Any) -> dict[str, Any]:
        answer = client.post("/", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return send


@pytest.fixture
def rows(path: Path) -> Callable[[], list[tuple[Any, ...]]]:
    """What the session table holds, read over a new connection."""

    def read() -> list[tuple[Any, ...]]:
        # By the program's own SQLite: a second one in the process of an open store would undo the first one's locks.
        connection = connect(path, read_only=True)
        found = connection.execute("SELECT * FROM session ORDER BY mac, id").fetchall()
        connection.close()
        return found

    return read
