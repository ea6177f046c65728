"""The query of session-events: which events, and how its table pages, sorts and searches."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from resolvers.errors import shown
from resolvers.inputs import EventsQuery, one_of, whole
from resolvers.values import NAME_LENGTH, parse_text
from storage.events import Sort

# What each column sorts by: the row's keys, and the 15 positions of NetAlertX's table.
KEYS: dict[str, Sort] = {
    "ses_MAC": "mac",
    "ses_Connection": "connected_at",
    "ses_Disconnection": "disconnected_at",
    "ses_Duration": "duration",
    "ses_IP": "ip",
    "ses_Info": "info",
    "eve_DateTime": "occurred_at",
    "eve_EventType": "event_type",
}
POSITIONS: tuple[Sort, ...] = (
    "order", "name", "owner", "occurred_at", "event_type", "connected_at", "disconnected_at", "duration", "duration",
    "ip", "ip", "info", "connected", "mac", "order",
)  # fmt: skip


def _sort(value: object) -> Sort:
    if isinstance(value, str) and value in KEYS:
        return KEYS[value]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and int(value[:3]) < len(POSITIONS):
        return POSITIONS[int(value)]
    raise ValueError(f"{shown(value)} is not a column; known are: {', '.join(KEYS)}, and positions 0 to 14")


class TableQuery(EventsQuery):
    """Which events or sessions to answer, and as which table."""

    page: Annotated[int | None, whole(1, 2**31)] = Field(default=None, description="Page, from 1.")
    limit: Annotated[int | None, whole(1, 1000)] = Field(default=None, description="Rows a page; 100 unless told.")
    search: Annotated[str, BeforeValidator(lambda v: parse_text(v, NAME_LENGTH))] = Field(
        default="", description="Matches MAC, name, owner, IP, info and event types, in any case."
    )
    sortCol: Annotated[  # noqa: N815, the name that scripts know
        Sort, BeforeValidator(_sort), WithJsonSchema({"type": "string", "examples": ["ses_IP", "3"]})
    ] = Field(default="order", description="A key of the rows, or a position 0 to 14. Newest first unless told.")
    sortDir: Annotated[Literal["asc", "desc"], *one_of("asc", "desc")] = "desc"  # noqa: N815
    format: Annotated[Literal["json", "datatables"], *one_of("json", "datatables")] = Field(
        default="json", description="datatables: each row as the 15 positions that NetAlertX's table reads."
    )

    @property
    def rows(self) -> int | None:
        """How many rows a page has; None for all at once."""
        return self.limit or (None if self.page is None else 100)

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return ((self.page or 1) - 1) * (self.rows or 0)
