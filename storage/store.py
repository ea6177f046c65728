"""What a database offers to the resolvers, whichever it is; and the addresses of databases."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy.sql.elements import CompilerElement

Parameters = Mapping[str, Any]
Row = Sequence[Any]
T = TypeVar("T")

SQLITE, POSTGRESQL = "sqlite:///", ("postgresql://", "postgres://")


class Transaction(Protocol):
    """What a change is handed. It may wait for this alone: on SQLite it is carried out in one go, in the writer's thread."""

    async def execute(self, change: CompilerElement, parameters: Parameters) -> int:
        """Carries out a named change; answers how many rows it touched."""

    async def fetch(self, question: CompilerElement, parameters: Parameters) -> list[Any]:
        """Answers a named question as this transaction sees it."""

    def each(self, question: CompilerElement, parameters: Parameters) -> AsyncIterator[Any]:
        """The same, a row at a time."""

    async def record(self, rows: Sequence[Parameters], *, known: bool = False) -> None:
        """Stores sessions (of the columns `changes.WRITTEN`) and their devices; where told, leaves out ids that are there."""

    async def name(self, devices: Iterable[Parameters]) -> None:
        """Stores devices with their names and owners, unless they are there."""


Change = Callable[[Transaction], Awaitable[T]]


class Store(Protocol):
    """An open database. Whatever it cannot do for now, it says by `StoreUnavailableError`."""

    merges: bool  # whether the ordered branches of a union are merged unasked; otherwise each is told its order

    async def close(self) -> None:
        """Carries out what was submitted, then lets go of the database."""

    async def fetch(self, question: CompilerElement, parameters: Parameters, *, short: bool = False) -> list[Any]:
        """All rows that answer a named question; `short` says that they take few seeks and are few."""

    def stream(self, question: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Any], None]:
        """The rows in chunks, all of one moment."""

    async def write(self, change: Change[T], *, alone: bool = False) -> T:
        """Carries out a change and answers its result when it is durable; a change that raises leaves nothing behind.

        It may be begun anew after a failure that undid it. While one runs `alone`, no other such does.
        """

    async def record(self, rows: Sequence[Parameters]) -> None:
        """Stores sessions and their devices, all or none; returns when they are durable."""

    async def record_one(self, row: Parameters) -> Any:
        """The same for one; answers it as the store has it."""


def sqlite_path(url: str) -> Path | None:
    """The file of an address; None for a database that is not a file."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
