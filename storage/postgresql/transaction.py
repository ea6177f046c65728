"""The transaction that units of work receive on PostgreSQL, and compiled statements."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.sql.elements import CompilerElement

from storage.postgresql.pools import STATEMENT_CACHE_SIZE
from storage.store import LockPurpose, Parameters
from storage.tables import DEVICES, INSERT_COLUMNS, INTEGER_COLUMNS, JOURNAL_COLUMNS, SESSION_COLUMNS

Row = Any  # asyncpg.Record, a sequence

COPY_THRESHOLD = 256  # sessions from which COPY is used instead of INSERT
CHUNK_ROWS = 1000  # of a stream or cursor

# Advisory locks. Inserting sessions takes DEVICES_LOCK shared, deleting device rows takes it exclusively.
DEVICES_LOCK, EXCLUSIVE_LOCK = 0x6E65_7401, 0x6E65_7402
# Held from the first journal entry to the commit, so that the ids of entries are in commit order.
JOURNAL_LOCK = 0x6E65_7403
CHANNEL = "netsessions"

_NAMES = ", ".join(INSERT_COLUMNS)


def _array_parameters(names: Iterable[str]) -> str:
    """Return array parameters, one for each column."""
    types = ("bigint" if name in (*INTEGER_COLUMNS, "at") else "text" for name in names)
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))


_ARRAYS = _array_parameters(INSERT_COLUMNS)
_COLUMNS = ", ".join(f"session.{column.name}" for column in SESSION_COLUMNS)
_values = itemgetter(*INSERT_COLUMNS)

INSERT_SESSIONS = f"INSERT INTO session ({_NAMES}) SELECT * FROM unnest({_ARRAYS})"  # noqa: S608, names are constants
INSERT_SESSIONS_RETURNING = f"{INSERT_SESSIONS} RETURNING {_COLUMNS}"
INSERT_MISSING_SESSIONS = f"{INSERT_SESSIONS} ON CONFLICT DO NOTHING RETURNING mac, id"
INSERT_JOURNAL = f"""WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock({JOURNAL_LOCK})), inserted AS
    (INSERT INTO change ({", ".join(JOURNAL_COLUMNS)})
    SELECT n.* FROM locked, unnest({_array_parameters(JOURNAL_COLUMNS)}) AS n)
    SELECT pg_notify('{CHANNEL}', '') FROM locked"""  # noqa: S608, names are constants
SELECT_SESSIONS = (
    f"SELECT {_COLUMNS} FROM session JOIN unnest($1::text[], $2::bigint[]) AS keys (mac, id) USING (mac, id)"  # noqa: S608
)
INSERT_DEVICES = """INSERT INTO device (mac, name, owner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"""
SHARED_DEVICES_LOCK = f"SELECT pg_advisory_xact_lock_shared({DEVICES_LOCK})"
ADVISORY_LOCK = "SELECT pg_advisory_xact_lock($1)"
LOCK_DEVICE_ROWS = "SELECT FROM device WHERE mac = ANY ($1::text[]) ORDER BY mac FOR NO KEY UPDATE"
_DIALECT: Any = dialect.dialect  # not typed by SQLAlchemy


class CompiledQuery(NamedTuple):
    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, parameters: Parameters) -> list[Any]:
        constants = self.constants
        return [constants[name] if name in constants else parameters[name] for name in self.names]


@lru_cache(STATEMENT_CACHE_SIZE)
def compile_query(statement: CompilerElement) -> CompiledQuery:
    """Return the SQL of a statement, the names of its positional parameters and the values of its constants. Cached."""
    compiled: Any = statement.compile(dialect=_DIALECT())
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return CompiledQuery(str(compiled), tuple(compiled.positiontup or ()), constants)


class PostgreSQLTransaction:
    """An open transaction on a connection to the primary. Implements `storage.store.Transaction`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._has_shared_lock = False

    async def execute(self, statement: CompilerElement, parameters: Parameters) -> int:
        """Execute a statement. Return the number of affected rows."""
        compiled = compile_query(statement)
        if statement.is_delete and statement.table is DEVICES:  # type: ignore[attr-defined]
            await self._connection.execute(ADVISORY_LOCK, DEVICES_LOCK)
        status = await self._connection.execute(compiled.sql, *compiled.arguments(parameters))
        return int(status.rpartition(" ")[2])

    async def fetch(self, query: CompilerElement, parameters: Parameters) -> list[Row]:
        """Return all rows of a query."""
        compiled = compile_query(query)
        rows: list[Row] = await self._connection.fetch(compiled.sql, *compiled.arguments(parameters))
        return rows

    async def iterate(self, query: CompilerElement, parameters: Parameters) -> AsyncIterator[Row]:
        """Yield the rows of a query."""
        compiled = compile_query(query)
        async for row in self._connection.cursor(compiled.sql, *compiled.arguments(parameters), prefetch=CHUNK_ROWS):
            yield row

    async def insert_sessions(self, rows: Sequence[Parameters], *, skip_existing: bool = False) -> None:
        """Insert sessions and missing device rows. With `skip_existing`, ignore existing ids."""
        if skip_existing:
            await self.insert_missing_sessions(rows)
            return
        await self._insert_device_rows({row["mac"] for row in rows})
        if len(rows) < COPY_THRESHOLD:
            await self._connection.execute(INSERT_SESSIONS, *_arrays(INSERT_COLUMNS, rows))
        else:
            await self._connection.copy_records_to_table("session", records=map(_values, rows), columns=INSERT_COLUMNS)

    async def insert_missing_sessions(self, rows: Sequence[Parameters]) -> list[Parameters]:
        """Insert those sessions that an earlier attempt has not stored. Return them."""
        await self._insert_device_rows({row["mac"] for row in rows})
        fetched = await self._connection.fetch(INSERT_MISSING_SESSIONS, *_arrays(INSERT_COLUMNS, rows))
        new = {(row[0], row[1]) for row in fetched}
        return [row for row in rows if (row["mac"], row["id"]) in new]

    async def insert_sessions_returning(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Insert sessions and missing device rows. Return the stored rows by (MAC, id)."""
        await self._insert_device_rows({row["mac"] for row in rows})
        fetched = await self._connection.fetch(INSERT_SESSIONS_RETURNING, *_arrays(INSERT_COLUMNS, rows))
        return {(row[0], row[1]): row for row in fetched}

    async def select_sessions(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Return stored sessions by (MAC, id)."""
        fetched = await self._connection.fetch(SELECT_SESSIONS, *_arrays(("mac", "id"), rows))
        return {(row[0], row[1]): row for row in fetched}

    async def lock_devices(self, macs: Iterable[str], purpose: LockPurpose = "add") -> None:
        """Lock the rows of devices until the commit. Insert missing rows if the purpose is to add sessions."""
        sorted_macs = sorted(set(macs))
        if purpose == "add":
            await self._insert_device_rows(sorted_macs)
        elif purpose == "remove":
            # Taken before row locks, as when sessions are inserted, to avoid deadlocks.
            await self._connection.execute(ADVISORY_LOCK, DEVICES_LOCK)
        await self._connection.execute(LOCK_DEVICE_ROWS, sorted_macs)

    async def write_journal(self, entries: Sequence[Parameters]) -> None:
        """Insert journal entries. Other transactions cannot insert entries until the commit."""
        if entries:
            await self._connection.execute(INSERT_JOURNAL, *_arrays(JOURNAL_COLUMNS, entries))

    async def insert_devices(self, devices: Iterable[Parameters]) -> None:
        """Insert devices with their names and owners. Ignore existing ones."""
        values = sorted((row["mac"], row["name"], row["owner"]) for row in devices)
        await self._connection.execute(INSERT_DEVICES, *map(list, zip(*values, strict=True)))

    async def _insert_device_rows(self, macs: Iterable[str]) -> None:
        if not self._has_shared_lock:
            await self._connection.execute(SHARED_DEVICES_LOCK)
            self._has_shared_lock = True
        # Sorted, so that concurrent transactions lock the same devices in the same order and do not deadlock.
        sorted_macs = sorted(macs)
        nulls = [None] * len(sorted_macs)
        await self._connection.execute(INSERT_DEVICES, sorted_macs, nulls, nulls)


def _arrays(names: Iterable[str], rows: Sequence[Parameters]) -> list[Sequence[Any]]:
    return [[row[name] for row in rows] for name in names]
