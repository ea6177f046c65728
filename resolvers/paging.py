"""Pages of lists, and the cursors that lead from one to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resolvers.errors import InvalidInputError, shown
from resolvers.inputs import Page

Row = TypeVar("Row")


@dataclass(frozen=True)
class Slice(Generic[Row]):
    """A page of a list, in the order of the list; a cursor for each row."""

    rows: Sequence[Row]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool


def cut(page: Page, found: list[Any], row: Callable[[Any], Row], cursor: Callable[[Any], str]) -> Slice[Row]:
    """The page out of what was found when one row more than its size was asked for.

    In the direction of reading the row too many tells whether there is more; behind it, a given cursor does.
    """
    more = len(found) > page.size
    found = found[: page.size]
    if page.backward:
        found.reverse()
    return Slice(
        rows=[row(one) for one in found],
        cursors=[cursor(one) for one in found],
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
