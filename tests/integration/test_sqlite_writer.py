"""The SQLite writer survives exceptions of any kind, and every caller gets a result or an error."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.errors import StoreUnavailableError
from storage.queries import writes
from storage.sqlite import SQLiteStore
from storage.store import Transaction
from tests.conftest import new_database, run, sql

ERRORS = [
    KeyboardInterrupt,
    SystemExit,
    MemoryError,
    GeneratorExit,
    StopIteration,
    asyncio.CancelledError,
    BaseExceptionGroup("several", [KeyboardInterrupt()]),
]
SECONDS = 10  # that a caller waits at most


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database."""
    return new_database("sqlite", tmp_path)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[SQLiteStore]:
    """A store with a writer thread."""

    async def opened() -> SQLiteStore:
        return SQLiteStore(tmp_path / "netsessions.db")

    store = run(opened())
    yield store
    run(asyncio.wait_for(store.close(), SECONDS))


def insert_device(mac: str, error: Any = None) -> Callable[[Transaction], Any]:
    """Return a unit of work that inserts a device, and then raises the error."""

    async def unit_of_work(transaction: Transaction) -> str:
        await transaction.execute(writes.insert_device(), {"mac": mac})
        if error is not None:
            raise error
        return mac

    return unit_of_work


def raise_when_called(error: Any) -> Callable[[Transaction], Any]:
    """Return a unit of work that raises the error before it returns a coroutine."""

    def unit_of_work(_: Transaction) -> Any:
        raise error

    return unit_of_work


def write_all(store: SQLiteStore, *units_of_work: Callable[[Transaction], Any]) -> list[Any]:
    """Submit the units of work together. Return their results and errors."""

    async def submit() -> list[Any]:
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*(store.write(unit) for unit in units_of_work), return_exceptions=True)

    return run(submit())


def macs(url: str) -> list[str]:
    return [mac for (mac,) in sql(url, "SELECT mac FROM device ORDER BY mac")]


class FailingConnection:
    """A connection on which the statements of `errors` raise an error, once each."""

    def __init__(self, connection: Any, errors: dict[str, Any]) -> None:
        self._connection = connection
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement in self._errors:
            raise self._errors.pop(statement)
        return self._connection.execute(statement, *arguments)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_in_a_transaction_fails_only_its_caller(store: SQLiteStore, url: str, error: Any) -> None:
    """Its changes are rolled back. Other writes of the group are committed, and the writer continues."""
    first, failed, rejected, last = write_all(
        store, insert_device("A"), insert_device("B", error), raise_when_called(error), insert_device("C")
    )
    assert (first, last) == ("A", "C")
    assert isinstance(failed, Exception)
    assert isinstance(rejected, Exception)
    assert write_all(store, insert_device("D")) == ["D"]
    assert macs(url) == ["A", "C", "D"]


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SAVEPOINT one", "RELEASE one", "COMMIT"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit], ids=repr)
@pytest.mark.parametrize("rollback_error", [None, MemoryError])
def test_an_exception_of_the_commit_fails_its_group(
    store: SQLiteStore, url: str, statement: str, error: Any, rollback_error: Any
) -> None:
    """All callers get an error and nothing is stored, also if the rollback fails. The next write is committed."""
    errors = {statement: error} | ({"ROLLBACK": rollback_error} if rollback_error else {})
    store._writer._connection = FailingConnection(store._writer._connection, errors)  # type: ignore[assignment]
    results = write_all(store, insert_device("A"))
    assert [isinstance(result, Exception) for result in results] == [True]
    assert write_all(store, insert_device("B"), insert_device("C")) == ["B", "C"]
    assert macs(url) == ["B", "C"]


def test_a_write_to_a_closed_store_fails(url: str, tmp_path: Path) -> None:
    """The caller gets an error and does not wait for a thread that has ended."""

    async def write() -> None:
        store = SQLiteStore(tmp_path / "netsessions.db")
        await store.close()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(StoreUnavailableError, match="closed"):
                await store.write(insert_device("A"))

    run(write())
    assert macs(url) == []
