"""Input models of both APIs. The REST API's description is generated from them.

Fields are named as in the REST API. Error messages of both APIs use these names.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resolvers.errors import FieldError, InvalidInputError, short_repr, to_invalid_input_error
from resolvers.scopes import SCOPES
from resolvers.validation.addresses import INFO_LENGTH, NAME_LENGTH
from resolvers.validation.clock import Clock
from resolvers.validation.fields import (
    Day,
    DayOrInstant,
    Expiry,
    Instant,
    Ip,
    Mac,
    PageSize,
    PastInstant,
    PeriodField,
    SearchText,
    TokenName,
    WholeNumber,
    choice_field,
    event_type_field,
    reported_event_field,
    text_field,
)
from resolvers.validation.periods import parse_period
from storage.queries.event_types import TypedEventKind
from storage.queries.tokens import Scope
from storage.tables import MISSING_EVENT

MAX_BATCH_SIZE = 10_000  # items in a list input
KEY_LENGTH = 200  # maximum characters of an idempotency key


class Input(BaseModel):
    """Base of the input models: rejects unknown fields and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Model = TypeVar("Model", bound=Input)


def validate(model: type[Model], data: Mapping[str, Any], clock: Clock) -> Model:
    """Validate an input. Raise InvalidInputError for the first invalid field."""
    try:
        return model.model_validate(data, context=clock)
    except ValidationError as error:
        raise to_invalid_input_error(error, model.model_fields) from None


def validate_page(data: Mapping[str, Any], clock: Clock, max_size: int) -> "Page":
    """Validate paging arguments. Raise InvalidInputError, also if the page is larger than `max_size` rows."""
    page = validate(Page, data, clock)
    for name in ("first", "last"):
        if (getattr(page, name) or 0) > max_size:
            raise InvalidInputError(name, f"{short_repr(data[name])} is out of range; at least 0, at most {max_size}")
    return page


def validate_many(model: type[Model], field: str, data: Sequence[Mapping[str, Any]], clock: Clock) -> list[Model]:
    """Validate a list of inputs. Raise InvalidInputError for the first invalid item, named by its index."""
    if len(data) > MAX_BATCH_SIZE:
        raise InvalidInputError(field, f"has {len(data)} items; at most {MAX_BATCH_SIZE} are allowed")
    inputs = []
    for index, item in enumerate(data):
        try:
            inputs.append(validate(model, item, clock))
        except InvalidInputError as error:
            raise InvalidInputError(f"{field}.{index}.{error.field}", error.problem) from None
    return inputs


class NewSession(Input):
    """A session to create."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip = Field(description="The device's IPv4 or IPv6 address.")
    start_time: Instant | None = Field(
        default=None,
        description="ISO 8601. A time without an offset is local time in the server's TIMEZONE. "
        f"Null only if event_type_conn is {MISSING_EVENT}.",
    )
    end_time: Instant | None = Field(default=None, description="Same format. Omit it if the device is still connected.")
    event_type_conn: Annotated[str, event_type_field("Connected")] = Field(default="Connected")
    event_type_disc: Annotated[str, event_type_field("Disconnected")] = Field(
        default="Disconnected",
        description=f"{MISSING_EVENT} without end_time: the end was never observed. "
        "Any other value is ignored if there is no end_time.",
    )
    info: Annotated[str, text_field(INFO_LENGTH, "")] = Field(default="", description="Free text.")

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        missing_start, missing_end = self.event_type_conn == MISSING_EVENT, self.event_type_disc == MISSING_EVENT
        if missing_start and self.start_time is not None:
            raise FieldError(
                "start_time", f"cannot be set if event_type_conn is {MISSING_EVENT}; leave one of them out"
            )
        if missing_end and self.end_time is not None:
            raise FieldError("end_time", f"cannot be set if event_type_disc is {MISSING_EVENT}; leave one of them out")
        if self.start_time is None and not missing_start:
            raise FieldError("start_time", f"is required unless event_type_conn is {MISSING_EVENT}")
        if self.start_time is None and self.end_time is None:
            raise FieldError("end_time", f"is required if event_type_conn is {MISSING_EVENT}")
        if self.start_time is not None and self.end_time is not None and self.end_time < self.start_time:
            raise FieldError("end_time", "is before start_time")
        return self


class StartReport(Input):
    """A report that a device connects."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip = Field(description="The device's IPv4 or IPv6 address.")
    at: PastInstant | None = Field(default=None, description="When it happened. Default: now.")
    event_type: Annotated[str, reported_event_field("Connected")] = Field(default="Connected")
    info: Annotated[str, text_field(INFO_LENGTH, "")] = Field(default="", description="Free text.")


class StopReport(Input):
    """A report that a device disconnects."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip | None = Field(default=None, description="The device's IP address. Required if the device has no session.")
    at: PastInstant | None = Field(default=None, description="When it happened. Default: now.")
    event_type: Annotated[str, reported_event_field("Disconnected")] = Field(default="Disconnected")


class HeartbeatDevice(Input):
    """An online device in a heartbeat."""

    mac: Mac
    ip: Ip


class HeartbeatTime(Input):
    """The time of a heartbeat; default: now."""

    at: PastInstant | None = None


class EndInput(Input):
    """The time and event type with which to end a session."""

    at: PastInstant | None = None
    event_type: Annotated[str, reported_event_field("Disconnected")] = "Disconnected"


class MacInput(Input):
    """The device that an operation applies to."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")


class ListQuery(Input):
    """The sessions to list."""

    mac: Mac | None = Field(default=None, description="Only sessions of this device.")
    start_date: Day | None = Field(default=None, description="Only sessions that started on this day or later.")
    end_date: Day | None = Field(default=None, description="Only sessions that ended on this day or earlier.")
    limit: WholeNumber | None = Field(default=None, description="Maximum number of sessions. Default: all.")
    offset: WholeNumber = Field(default=0, description="Number of sessions to skip.")


class ExportQuery(ListQuery):
    """The sessions to export, and the file format."""

    format: Annotated[Literal["csv", "ndjson"], *choice_field("csv", "ndjson")] = Field(
        default="csv", description="CSV with a header line, or one JSON object per line."
    )


class CalendarQuery(Input):
    """The time range of a calendar."""

    start: DayOrInstant = Field(description="First day or instant.")
    end: DayOrInstant = Field(description="Last day, inclusive, or end instant, exclusive.")
    mac: Mac | None = Field(default=None, description="Only this device.")


class FeedQuery(Input):
    """The contents of the calendar feed (iCalendar)."""

    mac: Mac | None = Field(default=None, description="Only this device.")
    period: PeriodField = Field(
        default_factory=lambda: parse_period("30 days"), description="How far to reach back from now."
    )
    token: str | None = Field(
        default=None, description="A token with the scope calendar, for clients that cannot send headers."
    )


class CalendarDayQuery(CalendarQuery):
    """The time range of a calendar in whole days."""

    start: Day
    end: Day


class DeviceQuery(Input):
    """The recent sessions of one device."""

    mac: Mac
    period: PeriodField = Field(
        default_factory=lambda: parse_period("1 day"), description="How far to reach back from now."
    )


EVENT_KINDS = ("all", "sessions", "missing", *(kind.lower() for kind in get_args(TypedEventKind)))


class EventsQuery(Input):
    """The events, or sessions, of a recent period."""

    type: Annotated[str, *choice_field(*EVENT_KINDS)] = Field(
        default="all", description="Which events or sessions to list."
    )
    period: PeriodField = Field(
        default_factory=lambda: parse_period("7 days"), description="How far to reach back from now."
    )


class EventListQuery(EventsQuery):
    """The events of a recent period that match a search."""

    search: SearchText = ""


class TotalsQuery(Input):
    """The period in which to count events."""

    period: PeriodField = Field(default_factory=lambda: parse_period("7 days"))


class PresenceQuery(Input):
    """The days, bucket size and devices of a presence report."""

    start: Day
    end: Day
    bucket: Annotated[Literal["hour", "day"], *choice_field("hour", "day")] = "day"
    macs: list[Mac] | None = None


class DevicesQuery(Input):
    """The devices to list."""

    search: SearchText | None = None
    connected: bool | None = None


class DeviceUpdate(Input):
    """A device's new name and owner. Null removes a value; an omitted field is not changed."""

    mac: Mac
    name: Annotated[str, text_field(NAME_LENGTH)] | None = None
    owner: Annotated[str, text_field(NAME_LENGTH)] | None = None


class TimeRange(Input):
    """A half-open range of time, [from, to). Either bound may be omitted."""

    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise FieldError("to", "is before from")
        return self


class SessionFilter(Input):
    """Conditions that the listed sessions must all meet."""

    macs: list[Mac] | None = None
    ips: list[Ip] | None = None
    states: list[str] | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    overlaps: TimeRange | None = None
    search: SearchText | None = None


class NewToken(Input):
    """A token to create."""

    name: TokenName
    scope: Annotated[Scope, *choice_field(*SCOPES)]
    expires: Expiry = None


class ChangesQuery(Input):
    """The devices whose changes to send, and the cursor to resume after."""

    macs: list[Mac] | None = None
    after: str | None = None

    @property
    def devices(self) -> frozenset[str] | None:
        """The MAC addresses of the devices, or None for all devices."""
        return None if self.macs is None else frozenset(self.macs)


class Page(Input):
    """Paging arguments: `first` rows after a cursor, or `last` rows before one."""

    DEFAULT: ClassVar[int] = 50

    first: PageSize | None = None
    after: str | None = None
    last: PageSize | None = None
    before: str | None = None

    @model_validator(mode="after")
    def _check_direction(self) -> Self:
        if self.first is not None and self.last is not None:
            raise FieldError("last", "cannot be combined with first")
        return self

    @property
    def backward(self) -> bool:
        """Whether rows are read from the end of the list."""
        return self.last is not None or (self.first is None and self.after is None and self.before is not None)

    @property
    def size(self) -> int:
        """The number of rows of the page."""
        size = self.last if self.backward else self.first
        return self.DEFAULT if size is None else size

    def cursors(self) -> list[tuple[str, str]]:
        """Return the names and values of the given cursors."""
        pairs = (("after", self.after), ("before", self.before))
        return [(name, cursor) for name, cursor in pairs if cursor is not None]
