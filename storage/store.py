"""What a database offers to the resolvers, whichever it is; and the addresses of databases."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy.sql.elements import CompilerElement

CREATED = "CREATED"
Parameters = Mapping[str, Any]
Row = Sequence[Any]
Purpose = Literal["add", "change", "remove"]
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

    async def hold(self, macs: Iterable[str], purpose: Purpose = "add") -> None:
        """Keeps whoever else holds one of the devices waiting until this is over.

        To `add` sessions, devices that are not known are made known; who may `remove` a device says so.
        """

    async def note(self, noted: Sequence[Parameters]) -> None:
        """Puts changes (of the columns `journal.NOTED`) into the journal; to be the last that a change does."""

    async def name(self, devices: Iterable[Parameters]) -> None:
        """Stores devices with their names and owners, unless they are there."""


Change = Callable[[Transaction], Awaitable[T]]


class Store(Protocol):
    """An open database. Whatever it cannot do for now, it says by `StoreUnavailableError`."""

    merges: bool  # whether the ordered branches of a union are merged unasked; otherwise each is told its order

    async def close(self) -> None:
        """Carries out what was submitted, then lets go of the database."""

    async def fetch(
        self, question: CompilerElement, parameters: Parameters, *, short: bool = False, current: bool = False
    ) -> list[Any]:
        """All rows that answer a named question; `short` says that they take few seeks and are few, `current` that a
        replica, which may be behind, will not do."""

    def stream(self, question: CompilerElement, parameters: Parameters) -> AsyncGenerator[list[Any], None]:
        """The rows in chunks, all of one moment."""

    async def write(self, change: Change[T], *, alone: bool = False) -> T:
        """Carries out a change and answers its result when it is durable; a change that raises leaves nothing behind.

        It may be begun anew after a failure that undid it. While one runs `alone`, no other such does.
        """

    async def record(self, rows: Sequence[Parameters], told: Parameters) -> None:
        """Stores sessions and their devices, all or none; returns when they are durable.

        `told` has `at` and `who` for the journal, which tells of each of them.
        """

    async def record_one(self, row: Parameters, told: Parameters) -> Any:
        """The same for one; answers it as the store has it."""

    def changed(self) -> AsyncGenerator[None, None]:
        """Yields when the journal may have grown, by whichever process; at once to begin with."""


def created(rows: Sequence[Parameters], told: Parameters) -> list[Parameters]:
    """What the journal says of new sessions."""
    same = {"at": told["at"], "who": told["who"], "kind": CREATED, "before": None, "after": None}
    return [{**same, "mac": row["mac"], "id": row["id"]} for row in rows]


def sqlite_path(url: str) -> Path | None:
    """The file of an address; None for a database that is not a file."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
