"""Queries in threads that can be interrupted."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from storage.sqlite.connection import Row
from storage.store import Parameters

T = TypeVar("T")

INTERRUPT_INTERVAL = 0.01  # seconds until the next interrupt: the first one may come before the query has started


async def run_interruptible(connection: apsw.Connection, function: Callable[..., T], *arguments: Any) -> T:
    """Run a function of a connection in a thread. On cancellation, interrupt it and wait until it no longer uses it."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            connection.interrupt()
            await asyncio.wait([task], timeout=INTERRUPT_INTERVAL)
        raise


class InterruptibleQuery:
    """A query that runs in one thread and can be interrupted from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # prevents an interrupt of the next query on the same connection
        self._connection: apsw.Connection | None = None

    def execute(self, connection: apsw.Connection, sql: str, bindings: Parameters) -> list[Row]:
        """Execute the query. Return its rows."""
        self._connection = connection
        try:
            return connection.execute(sql, bindings).fetchall()
        finally:
            with self._lock:
                self._connection = None

    def interrupt(self) -> None:
        """Interrupt the query if it is running."""
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()
