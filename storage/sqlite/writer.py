"""The writer thread: the only writer of a SQLite file in this process. It commits in groups."""

import asyncio
import queue
import threading
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from storage.errors import StoreUnavailableError
from storage.sqlite.connection import connect, translate_error
from storage.sqlite.transaction import SQLiteTransaction
from storage.store import UnitOfWork

T = TypeVar("T")

MAX_GROUP = 512  # writes in one commit; bounds the time that the first one waits for the last one


class _PendingWrite:
    """A unit of work, and the future that its caller awaits."""

    def __init__(self, unit_of_work: UnitOfWork[Any]) -> None:
        self.unit_of_work = unit_of_work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class Writer(threading.Thread):
    """Runs the units of work that are waiting in one transaction, and reports their results after the commit.

    It never waits for a group to fill. Exceptions of any kind fail the callers that they concern, but not the thread.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(name="writer", daemon=True)
        self._connection = connect(path, read_only=False)
        self._queue: queue.SimpleQueue[_PendingWrite | None] = queue.SimpleQueue()  # None stops the thread
        self._stopped = False

    def submit(self, unit_of_work: UnitOfWork[Any]) -> asyncio.Future[Any]:
        """Queue a unit of work. Return a future with its result after the commit."""
        write = _PendingWrite(unit_of_work)
        self._queue.put(write)
        if self._stopped:
            self._reject_pending()
        return write.future

    def stop(self) -> None:
        """Commit everything that was submitted before, and end the thread."""
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        """Commit group after group until the thread is stopped."""
        try:
            with closing(self._connection):
                while self._commit_next_group():
                    pass
        finally:
            self._stopped = True
            self._reject_pending()

    def _commit_next_group(self) -> bool:
        """Commit everything that is waiting. Return False when the thread must stop."""
        waiting: list[_PendingWrite | None] = [self._queue.get()]
        while len(waiting) < MAX_GROUP and not self._queue.empty():
            waiting.append(self._queue.get())
        # Writes whose caller was cancelled are skipped. A write that has begun is always finished.
        group = [write for write in waiting if write and not write.future.cancelled()]
        if group:
            self._commit(group)
        return None not in waiting

    def _commit(self, group: list[_PendingWrite]) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")  # of an earlier group, which failed
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._run_in_savepoint(write)
            self._connection.execute("COMMIT")
        except BaseException as cause:
            error = self._to_error(cause)
            with suppress(BaseException):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            for write in group:
                write.error = error
        _report(group)

    def _run_in_savepoint(self, write: _PendingWrite) -> None:
        """Run a unit of work. If it fails, roll back only its changes, unless the whole transaction is lost."""
        self._connection.execute("SAVEPOINT one")
        try:
            coroutine = cast("Coroutine[Any, Any, Any]", write.unit_of_work(SQLiteTransaction(self._connection)))
            write.result = _run_to_completion(coroutine)
        except BaseException as cause:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO one")
            write.error = self._to_error(cause)
        self._connection.execute("RELEASE one")

    def _to_error(self, cause: BaseException) -> Exception:
        """Return an exception that a future accepts, and that does not stop the event loop of the caller."""
        if isinstance(cause, Exception) and not isinstance(cause, StopIteration):
            return translate_error(cause, self._connection)
        error = RuntimeError(f"the transaction ended with {cause!r}")
        error.__cause__ = cause
        return error

    def _reject_pending(self) -> None:
        """Fail the writes that no thread will commit."""
        while True:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                return
            if write is not None:
                write.error = StoreUnavailableError("the store is closed")
                _report([write])


def _run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends. Return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("a unit of work may await nothing but its transaction")


def _report(group: list[_PendingWrite]) -> None:
    """Resolve the futures of a group, with one call for each event loop: a call for each write costs more than its insert."""
    for loop in {write.loop for write in group}:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_resolve_futures, [write for write in group if write.loop is loop])


def _resolve_futures(writes: list[_PendingWrite]) -> None:
    for write in writes:
        if write.future.cancelled():
            continue
        if write.error is None:
            write.future.set_result(write.result)
        else:
            write.future.set_exception(write.error)
