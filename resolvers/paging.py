"""Pages of lists, and the cursors that lead from one to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resolvers.errors import InvalidInputError, shown
from resolvers.validation.models import Page

Row = TypeVar("Row")


@dataclass(frozen=True)
class Slice(Generic[Row]):
    """A page of a list, in the order of the list."""

    rows: Sequence[Row]
    cursor: Callable[[int], str]  # of the row at a position; made when asked for, most lists are read without
    has_next: bool = False
    has_previous: bool = False

    @property
    def cursors(self) -> list[str]:
        """A cursor for each row."""
        return list(map(self.cursor, range(len(self.rows))))

    @property
    def start_cursor(self) -> str | None:
        """Of the first row, if there is one."""
        return self.cursor(0) if self.rows else None

    @property
    def end_cursor(self) -> str | None:
        """Of the last row, if there is one."""
        return self.cursor(len(self.rows) - 1) if self.rows else None


def cut(page: Page | None, found: list[Any], row: Callable[[Any], Row], cursor: Callable[[Any], str]) -> Slice[Row]:
    """The page out of what was found when one row more than its size was asked for; without a page, all of it.

    In the direction of reading the row too many tells whether there is more; behind it, a given cursor does.
    """
    if page is None:
        return Slice(list(map(row, found)), lambda n: cursor(found[n]))
    more = len(found) > page.size
    found = found[: page.size]
    if page.backward:
        found.reverse()
    return Slice(
        rows=list(map(row, found)),
        cursor=lambda n: cursor(found[n]),
        has_next=page.before is not None if page.backward else more,
        has_previous=more if page.backward else page.after is not None,
    )


def cursor(kind: str, *place: object) -> str:
    """A place in a list, opaque to clients."""
    return ".".join((kind, *map(str, place)))


def parse_cursor(field: str, text: str, kind: str, length: int) -> list[int]:
    """What `cursor` wrote, for numbers; raises InvalidInputError."""
    _, *parts = text.split(".")
    try:
        place = [int(part) for part in parts if len(part) <= 20]
    except ValueError:
        place = []
    if len(place) != length or cursor(kind, *place) != text or any(abs(number) >= 2**63 for number in place):
        raise InvalidInputError(field, f"{shown(text)} is not a cursor of this list")
    return place
