"""The parameters and row format of GET /session-events that NetAlertX's DataTables page uses."""

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from resolvers.constants import CONNECTED, SECOND
from resolvers.errors import short_repr
from resolvers.events import EventRow, EventSort
from resolvers.sessions import duration
from resolvers.validation.clock import Clock
from resolvers.validation.fields import SearchText, choice_field, integer_field
from resolvers.validation.models import EventsQuery
from rest_compat.serializers import (
    connection_text,
    disconnection_text,
    format_duration,
    info_text,
    json_string,
    json_time,
)

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
MAX_PAGE = 10**15  # multiplied by the largest page size, it is still a 64-bit offset

SORTS_BY_KEY: dict[str, EventSort] = {
    "ses_MAC": "mac",
    "ses_Connection": "connected_at",
    "ses_Disconnection": "disconnected_at",
    "ses_Duration": "duration",
    "ses_IP": "ip",
    "ses_Info": "info",
    "eve_DateTime": "occurred_at",
    "eve_EventType": "event_type",
}
# By position in a table row. The last position is constant, so it sorts as the first.
SORTS_BY_POSITION: tuple[EventSort, ...] = (
    "order", "name", "owner", "occurred_at", "event_type", "connected_at", "disconnected_at", "duration", "duration",
    "ip", "ip", "info", "connected", "mac", "order",
)  # fmt: skip
SORTS: dict[str, EventSort] = SORTS_BY_KEY | {str(position): sort for position, sort in enumerate(SORTS_BY_POSITION)}


def _parse_sort_column(value: object) -> str:
    for name in SORTS:
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise ValueError(f"{short_repr(value)} is not a known value; use one of: {', '.join(SORTS_BY_KEY)}, or 0 to 14")


class TableQuery(EventsQuery):
    """The parameters of GET /session-events."""

    page: Annotated[int, *integer_field(1, MAX_PAGE)] | None = Field(
        default=None, description="Page number, from 1. Without `page` and `limit`, all rows are returned."
    )
    limit: Annotated[int, *integer_field(1, MAX_PAGE_SIZE)] | None = Field(
        default=None, description=f"Rows per page; {DEFAULT_PAGE_SIZE} if only `page` is set."
    )
    search: SearchText = Field(default="", description="Return only rows that contain this text, ignoring case.")
    sortCol: Annotated[  # noqa: N815, named as the parameter is
        str, BeforeValidator(_parse_sort_column), WithJsonSchema({"type": "string", "enum": list(SORTS)})
    ] = Field(
        default="0",
        description="A key of a row, or a position in a DataTables row. By default, time.",
    )
    sortDir: Annotated[Literal["asc", "desc"], *choice_field("asc", "desc")] = Field(  # noqa: N815
        default="desc", description="Ascending or descending."
    )
    format: Annotated[Literal["json", "datatables"], *choice_field("json", "datatables")] = Field(
        default="json", description="Rows as objects, or as arrays of the 15 positions that NetAlertX's table reads."
    )

    @property
    def page_size(self) -> int | None:
        """The maximum number of rows, or None for all."""
        return DEFAULT_PAGE_SIZE if self.limit is None and self.page is not None else self.limit

    @property
    def offset(self) -> int:
        """The number of rows on earlier pages."""
        return ((self.page or 1) - 1) * (self.page_size or 0)


def write_table_row(row: EventRow, clock: Clock, now: int) -> str:
    """Return the 15 positions that NetAlertX's table reads, as a JSON array."""
    session = row.session
    microseconds = duration(session, now)
    positions = (
        json_time(row.key, clock),
        json_string(row.name),
        json_string(row.owner),
        json_time(row.occurred_at, clock),
        json_string(row.event_type),
        json_string(connection_text(session, clock)),
        json_string(disconnection_text(session, clock)),
        json_string(format_duration(microseconds)),
        "null" if microseconds is None else str(microseconds // SECOND),
        json_string(session.ip),
        str(int(ip_address(session.ip))),  # up to 128 bits; JSON numbers have no limit
        json_string(info_text(session)),
        str(int(session.state == CONNECTED)),
        json_string(session.mac),
        "0",
    )
    return f"[{','.join(positions)}]"
