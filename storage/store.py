"""The interface of a database for the resolvers, and the parsing of database URLs."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, TypeVar

from sqlalchemy.sql.elements import CompilerElement

CREATED = "CREATED"
Parameters = Mapping[str, Any]
LockPurpose = Literal["add", "change", "remove"]
T = TypeVar("T")

SQLITE_SCHEME, POSTGRESQL_SCHEMES = "sqlite:///", ("postgresql://", "postgres://")


class AuditStamp(TypedDict):
    """The time (microseconds) and the actor of a change, as the journal records them."""

    at: int
    who: str


class Transaction(Protocol):
    """A transaction that runs a unit of work, which must not await anything else.

    SQLite runs the unit of work in the writer thread without an event loop.
    """

    async def execute(self, statement: CompilerElement, parameters: Parameters) -> int:
        """Execute a statement and return the number of affected rows."""

    async def fetch(self, query: CompilerElement, parameters: Parameters) -> list[Any]:
        """Return all rows of a query, including changes of this transaction."""

    def iterate(self, query: CompilerElement, parameters: Parameters) -> AsyncIterator[Any]:
        """Yield the rows of a query one at a time."""

    async def insert_sessions(self, rows: Sequence[Parameters], *, skip_existing: bool = False) -> None:
        """Insert sessions (with `tables.INSERT_COLUMNS`) and missing device rows. Optionally skip existing ids."""

    async def lock_devices(self, macs: Iterable[str], purpose: LockPurpose = "add") -> None:
        """Lock devices until the end of the transaction.

        `add` inserts missing device rows. A transaction that may delete a device row must pass `remove`.
        """

    async def write_journal(self, entries: Sequence[Parameters]) -> None:
        """Append entries (with `tables.JOURNAL_COLUMNS`) to the journal. Must be the last call of a unit of work."""

    async def insert_devices(self, devices: Iterable[Parameters]) -> None:
        """Insert devices with name and owner. Skip existing devices."""


UnitOfWork = Callable[[Transaction], Awaitable[T]]


class Store(Protocol):
    """An open database. Every method raises `StoreUnavailableError` while the database cannot be used."""

    # Whether the database itself merges the ordered branches of a union. Otherwise each branch needs an ORDER BY.
    merges_ordered_unions: bool

    async def close(self) -> None:
        """Finish submitted writes, then close the database."""

    async def fetch(
        self, query: CompilerElement, parameters: Parameters, *, inline: bool = False, primary: bool = False
    ) -> list[Any]:
        """Return all rows of a query.

        Set `inline` for queries that return few rows after few index lookups. Set `primary` if a replica, which may lag
        behind, must not be used.
        """

    def stream(self, query: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Any], None]:
        """Yield the rows of a query in chunks, all from one snapshot."""

    async def write(self, unit_of_work: UnitOfWork[T], *, exclusive: bool = False) -> T:
        """Run a unit of work in a transaction, and return its result when it is durable. Roll back if it raises.

        May be retried after a rollback. At most one `exclusive` transaction runs at a time.
        """

    async def insert_sessions(self, rows: Sequence[Parameters], stamp: AuditStamp) -> None:
        """Insert sessions, missing device rows and journal entries, all or none. Return when they are durable."""

    async def insert_session(self, row: Parameters, stamp: AuditStamp) -> Any:
        """Do the same for one session, and return it as stored."""

    def watch_journal(self) -> AsyncGenerator[None, None]:
        """Yield once at the start, and whenever any process may have written to the journal."""


def created_entries(rows: Sequence[Parameters], stamp: AuditStamp) -> list[Parameters]:
    """Return the journal entries of new sessions."""
    common = {"at": stamp["at"], "who": stamp["who"], "kind": CREATED, "before": None, "after": None}
    return [{**common, "mac": row["mac"], "id": row["id"]} for row in rows]


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite URL, or None for another database."""
    return Path(url.removeprefix(SQLITE_SCHEME)) if url.startswith(SQLITE_SCHEME) else None
