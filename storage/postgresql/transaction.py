"""What a change is handed on PostgreSQL, and how statements reach the driver."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.sql.elements import CompilerElement

from storage.postgresql.pools import STATEMENTS
from storage.queries.clauses import COLUMNS
from storage.queries.journal import NOTED
from storage.queries.writes import NUMBERS, WRITTEN
from storage.store import Parameters, Purpose
from storage.tables import DEVICES

Row = Any  # asyncpg's record: a sequence

BULK = 256  # sessions from which on they are copied in and not inserted
CHUNK = 1000  # rows that a stream or a cursor holds at a time

# Taken by whoever stores sessions, shared, and by whoever may delete a device's row, alone.
DEVICES_LOCK, ALONE_LOCK = 0x6E65_7401, 0x6E65_7402
# Taken from the first line of the journal to the commit, so that its numbers are in the order of commits.
JOURNAL_LOCK = 0x6E65_7403
CHANNEL = "netsessions"

_NAMES = ", ".join(WRITTEN)


def _places(names: Iterable[str]) -> str:
    """Arrays as parameters, a column each."""
    types = ("bigint" if name in (*NUMBERS, "at") else "text" for name in names)
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))


_ARRAYS = _places(WRITTEN)
_COLUMNS = ", ".join(f"session.{column.name}" for column in COLUMNS)
_values = itemgetter(*WRITTEN)

INSERT = f"INSERT INTO session ({_NAMES}) SELECT * FROM unnest({_ARRAYS})"  # noqa: S608, from above
INSERT_RETURNING = f"{INSERT} RETURNING {_COLUMNS}"
INSERT_UNKNOWN = f"{INSERT} ON CONFLICT DO NOTHING RETURNING mac, id"
NOTE = f"""WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({JOURNAL_LOCK})), noted AS
    (INSERT INTO change ({", ".join(NOTED)}) SELECT n.* FROM alone, unnest({_places(NOTED)}) AS n)
    SELECT pg_notify('{CHANNEL}', '') FROM alone"""  # noqa: S608, from above
STORED = f"SELECT {_COLUMNS} FROM session JOIN unnest($1::text[], $2::bigint[]) AS of (mac, id) USING (mac, id)"  # noqa: S608
INSERT_DEVICES = """INSERT INTO device (mac, name, owner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"""
LOCK_SHARED = f"SELECT pg_advisory_xact_lock_shared({DEVICES_LOCK})"
LOCK = "SELECT pg_advisory_xact_lock($1)"
HOLD = "SELECT FROM device WHERE mac = ANY ($1::text[]) ORDER BY mac FOR NO KEY UPDATE"
_DIALECT: Any = dialect.dialect  # of which SQLAlchemy tells no type


class _Compiled(NamedTuple):
    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, parameters: Parameters) -> list[Any]:
        constants = self.constants
        return [constants[name] if name in constants else parameters[name] for name in self.names]


@lru_cache(STATEMENTS)
def compiled(statement: CompilerElement) -> _Compiled:
    """The SQL of a named question or change, made once for each shape; what its places stand for; its own constants."""
    made: Any = statement.compile(dialect=_DIALECT())
    constants = {name: value for name, value in made.params.items() if value is not None}
    return _Compiled(str(made), tuple(made.positiontup or ()), constants)


class Transaction:
    """What a change is handed: a connection inside a transaction that is not its own to end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._shared = False

    async def execute(self, change: CompilerElement, parameters: Parameters) -> int:
        """Carries out a named change; answers how many rows it touched."""
        statement = compiled(change)
        if change.is_delete and change.table is DEVICES:  # type: ignore[attr-defined]
            await self._connection.execute(LOCK, DEVICES_LOCK)
        done = await self._connection.execute(statement.sql, *statement.arguments(parameters))
        return int(done.rpartition(" ")[2])

    async def fetch(self, question: CompilerElement, parameters: Parameters) -> list[Row]:
        """Answers a named question as this transaction sees it."""
        statement = compiled(question)
        rows: list[Row] = await self._connection.fetch(statement.sql, *statement.arguments(parameters))
        return rows

    async def each(self, question: CompilerElement, parameters: Parameters) -> AsyncIterator[Row]:
        """The same, a row at a time."""
        statement = compiled(question)
        async for row in self._connection.cursor(statement.sql, *statement.arguments(parameters), prefetch=CHUNK):
            yield row

    async def record(self, rows: Sequence[Parameters], *, known: bool = False) -> None:
        """Stores sessions and their devices; where told, leaves out ids that are there."""
        if known:
            await self.record_new(rows)
            return
        await self._devices({row["mac"] for row in rows})
        if len(rows) < BULK:
            await self._connection.execute(INSERT, *_arrays(WRITTEN, rows))
        else:
            await self._connection.copy_records_to_table("session", records=map(_values, rows), columns=WRITTEN)

    async def record_new(self, rows: Sequence[Parameters]) -> list[Parameters]:
        """The same for sessions that may be there since an earlier try; answers those that were not."""
        await self._devices({row["mac"] for row in rows})
        found = await self._connection.fetch(INSERT_UNKNOWN, *_arrays(WRITTEN, rows))
        new = {(row[0], row[1]) for row in found}
        return [row for row in rows if (row["mac"], row["id"]) in new]

    async def record_each(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Stores sessions and their devices; answers each session as the store has it, by its MAC and id."""
        await self._devices({row["mac"] for row in rows})
        found = await self._connection.fetch(INSERT_RETURNING, *_arrays(WRITTEN, rows))
        return {(row[0], row[1]): row for row in found}

    async def stored(self, rows: Sequence[Parameters]) -> dict[tuple[str, int], Row]:
        """Sessions as the store has them, by MAC and id."""
        found = await self._connection.fetch(STORED, *_arrays(("mac", "id"), rows))
        return {(row[0], row[1]): row for row in found}

    async def hold(self, macs: Iterable[str], purpose: Purpose = "add") -> None:
        """Keeps whoever else holds one of the devices waiting until this is over; to add sessions, makes them known."""
        wanted = sorted(set(macs))
        if purpose == "add":
            await self._devices(wanted)
        elif purpose == "remove":
            # Before any row: who adds sessions takes its share of this lock first, too.
            await self._connection.execute(LOCK, DEVICES_LOCK)
        await self._connection.execute(HOLD, wanted)

    async def note(self, noted: Sequence[Parameters]) -> None:
        """Puts changes into the journal; nobody else does from then until the commit."""
        if noted:
            await self._connection.execute(NOTE, *_arrays(NOTED, noted))

    async def name(self, devices: Iterable[Parameters]) -> None:
        """Stores devices with their names and owners, unless they are there."""
        given = sorted((row["mac"], row["name"], row["owner"]) for row in devices)
        await self._connection.execute(INSERT_DEVICES, *map(list, zip(*given, strict=True)))

    async def _devices(self, macs: Iterable[str]) -> None:
        if not self._shared:
            await self._connection.execute(LOCK_SHARED)
            self._shared = True
        # In order, so that of two who store the same devices one waits for the other, and not each for each.
        wanted = sorted(macs)
        nothing = [None] * len(wanted)
        await self._connection.execute(INSERT_DEVICES, wanted, nothing, nothing)


def _arrays(names: Iterable[str], rows: Sequence[Parameters]) -> list[Sequence[Any]]:
    return [[row[name] for row in rows] for name in names]
