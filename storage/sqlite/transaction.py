"""The transaction that units of work receive on SQLite."""

from collections.abc import AsyncIterator, Iterable, Sequence

import apsw
from sqlalchemy.sql.elements import CompilerElement

from storage.queries import journal, writes
from storage.sqlite.connection import Row, bind, compile_query
from storage.store import LockPurpose, Parameters


class SQLiteTransaction:
    """An open transaction on the writer's connection. Implements `storage.store.Transaction`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: CompilerElement, parameters: Parameters) -> int:
        """Execute a statement. Return the number of affected rows."""
        self._connection.execute(*bind(statement, parameters))
        return self._connection.changes()

    async def fetch(self, query: CompilerElement, parameters: Parameters) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(*bind(query, parameters)).fetchall()

    async def iterate(self, query: CompilerElement, parameters: Parameters) -> AsyncIterator[Row]:
        """Yield the rows of a query."""
        for row in self._connection.execute(*bind(query, parameters)):
            yield row

    async def insert_sessions(self, rows: Sequence[Parameters], *, skip_existing: bool = False) -> None:
        """Insert sessions and missing device rows. With `skip_existing`, ignore existing ids."""
        await self.lock_devices({row["mac"] for row in rows})
        self._execute_many(writes.insert_session_if_absent() if skip_existing else writes.insert_session(), rows)

    async def lock_devices(self, macs: Iterable[str], purpose: LockPurpose = "add") -> None:
        """Insert missing device rows if the purpose is to add sessions. No lock is needed, because no other thread writes."""
        if purpose == "add":
            self._execute_many(writes.insert_device(), [{"mac": mac} for mac in macs])

    async def write_journal(self, entries: Sequence[Parameters]) -> None:
        """Insert journal entries."""
        self._execute_many(journal.insert_entry(), entries)

    async def insert_devices(self, devices: Iterable[Parameters]) -> None:
        """Insert devices with their names and owners. Ignore existing ones."""
        self._execute_many(writes.insert_named_device(), devices)

    def _execute_many(self, statement: CompilerElement, rows: Iterable[Parameters]) -> None:
        sql, constants = compile_query(statement)
        self._connection.executemany(sql, ({**constants, **row} for row in rows) if constants else rows)
