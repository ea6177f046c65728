"""Pages of lists, and their cursors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resolvers.errors import InvalidInputError, short_repr
from resolvers.validation.models import Page

Row = TypeVar("Row")


@dataclass(frozen=True)
class Slice(Generic[Row]):
    """A page of rows in list order."""

    rows: Sequence[Row]
    cursor: Callable[[int], str]  # returns the cursor of the row at an index; lazy, because most clients request none
    has_next: bool = False
    has_previous: bool = False

    @property
    def cursors(self) -> list[str]:
        """The cursors of all rows."""
        return list(map(self.cursor, range(len(self.rows))))

    @property
    def start_cursor(self) -> str | None:
        """The cursor of the first row, or None if the page is empty."""
        return self.cursor(0) if self.rows else None

    @property
    def end_cursor(self) -> str | None:
        """The cursor of the last row, or None if the page is empty."""
        return self.cursor(len(self.rows) - 1) if self.rows else None


def paginate(
    page: Page | None, rows: list[Any], to_item: Callable[[Any], Row], to_cursor: Callable[[Any], str]
) -> Slice[Row]:
    """Return the page of rows that were fetched with a limit of `page.size + 1`, or all rows if `page` is None.

    The extra row shows that more rows follow in reading direction. A cursor shows that rows precede.
    """
    if page is None:
        return Slice(list(map(to_item, rows)), lambda n: to_cursor(rows[n]))
    has_more = len(rows) > page.size
    rows = rows[: page.size]
    if page.backward:
        rows.reverse()
    return Slice(
        rows=list(map(to_item, rows)),
        cursor=lambda n: to_cursor(rows[n]),
        has_next=page.before is not None if page.backward else has_more,
        has_previous=has_more if page.backward else page.after is not None,
    )


def encode_cursor(kind: str, *position: object) -> str:
    """Return a cursor: the kind of list and a position in it. Clients treat it as opaque."""
    return ".".join((kind, *map(str, position)))


def decode_cursor(field: str, text: str, kind: str, length: int) -> list[int]:
    """Return the `length` integers of a cursor. Raise InvalidInputError if it is not a cursor of this kind of list."""
    _, *parts = text.split(".")
    try:
        position = [int(part) for part in parts if len(part) <= 20]
    except ValueError:
        position = []
    is_valid = len(position) == length and encode_cursor(kind, *position) == text
    if not is_valid or any(abs(number) >= 2**63 for number in position):
        raise InvalidInputError(field, f"{short_repr(text)} is not a cursor of this list")
    return position
