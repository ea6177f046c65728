"""The models that validate what comes in, at both doors, and that the description of the REST door is made from.

A model's fields are named as in the documented REST API, which is how a message names them at both doors.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resolvers.errors import FieldError, InvalidInputError, invalid_input, shown
from resolvers.scopes import SCOPES
from resolvers.validation.addresses import INFO_LENGTH, NAME_LENGTH
from resolvers.validation.clock import Clock, parse_period
from resolvers.validation.fields import (
    Day,
    DayOrInstant,
    Expiry,
    Happened,
    Instant,
    Ip,
    Mac,
    Needle,
    PageSize,
    Span,
    TokenName,
    WholeNumber,
    event_type,
    one_of,
    reported,
    text,
)
from storage.queries.tokens import Scope
from storage.tables import MISSING

MAX_CREATED = 10_000
KEY_LENGTH = 200


class Input(BaseModel):
    """What every input has in common: nothing unknown gets in, nothing is changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Model = TypeVar("Model", bound=Input)


def read(model: type[Model], data: Mapping[str, Any], clock: Clock) -> Model:
    """The validated input; raises InvalidInputError that names the first mistaken field."""
    try:
        return model.model_validate(data, context=clock)
    except ValidationError as error:
        raise invalid_input(error, model.model_fields) from None


def read_page(data: Mapping[str, Any], clock: Clock, most: int) -> "Page":
    """The validated part of a list that is asked for; it may be of so many rows at most."""
    page = read(Page, data, clock)
    for name in ("first", "last"):
        if (getattr(page, name) or 0) > most:
            raise InvalidInputError(name, f"{shown(data[name])} is out of range; at least 0, at most {most}")
    return page


def read_many(model: type[Model], field: str, data: Sequence[Mapping[str, Any]], clock: Clock) -> list[Model]:
    """A list of validated inputs, none if one is mistaken; the message names which."""
    if len(data) > MAX_CREATED:
        raise InvalidInputError(field, f"has {len(data)} members; at most {MAX_CREATED}")
    found = []
    for n, one in enumerate(data):
        try:
            found.append(read(model, one, clock))
        except InvalidInputError as error:
            raise InvalidInputError(f"{field}.{n}.{error.field}", error.problem) from None
    return found


class NewSession(Input):
    """A session as it is reported."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip = Field(description="The device's IPv4 or IPv6 address.")
    start_time: Instant | None = Field(
        default=None,
        description="ISO 8601; without an offset wall-clock time of the server's TIMEZONE. "
        f"Null only where event_type_conn is {MISSING}.",
    )
    end_time: Instant | None = Field(default=None, description="The same; without it the device is still connected.")
    event_type_conn: Annotated[str, event_type("Connected")] = Field(default="Connected")
    event_type_disc: Annotated[str, event_type("Disconnected")] = Field(
        default="Disconnected",
        description=f"{MISSING} without end_time: the end was never seen. Any other is left aside while there is no end.",
    )
    info: Annotated[str, text(INFO_LENGTH, "")] = Field(default="", description="Free text.")

    @model_validator(mode="after")
    def _ends_agree(self) -> Self:
        missing_start, missing_end = self.event_type_conn == MISSING, self.event_type_disc == MISSING
        if missing_start and self.start_time is not None:
            raise FieldError("start_time", f"is given although event_type_conn is {MISSING}; leave one of them out")
        if missing_end and self.end_time is not None:
            raise FieldError("end_time", f"is given although event_type_disc is {MISSING}; leave one of them out")
        if self.start_time is None and not missing_start:
            raise FieldError("start_time", f"is required, unless event_type_conn is {MISSING}")
        if self.start_time is None and self.end_time is None:
            raise FieldError("end_time", f"is required where event_type_conn is {MISSING}")
        if self.start_time is not None and self.end_time is not None and self.end_time < self.start_time:
            raise FieldError("end_time", "is before start_time")
        return self


class StartReport(Input):
    """A device that connects, as it is reported when it happens."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip = Field(description="The device's IPv4 or IPv6 address.")
    at: Happened | None = Field(default=None, description="When; now unless told.")
    event_type: Annotated[str, reported("Connected")] = Field(default="Connected")
    info: Annotated[str, text(INFO_LENGTH, "")] = Field(default="", description="Free text.")


class StopReport(Input):
    """A device that disconnects, as it is reported when it happens."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")
    ip: Ip | None = Field(default=None, description="Its address; needed where no session of it is known.")
    at: Happened | None = Field(default=None, description="When; now unless told.")
    event_type: Annotated[str, reported("Disconnected")] = Field(default="Disconnected")


class Seen(Input):
    """A device that is there."""

    mac: Mac
    ip: Ip


class SeenAt(Input):
    """When devices were there."""

    at: Happened | None = None


class EndAt(Input):
    """When a session ended, and how."""

    at: Happened | None = None
    event_type: Annotated[str, reported("Disconnected")] = "Disconnected"


class OneDevice(Input):
    """A device, by its address."""

    mac: Mac = Field(description="The device's MAC address, in any common notation.")


class ListQuery(Input):
    """Which sessions to list."""

    mac: Mac | None = Field(default=None, description="Only this device's.")
    start_date: Day | None = Field(default=None, description="Started on that day or later.")
    end_date: Day | None = Field(default=None, description="Ended on that day or earlier.")
    limit: WholeNumber | None = Field(default=None, description="At most so many; without it all.")
    offset: WholeNumber = Field(default=0, description="Leave out so many first.")


class ExportQuery(ListQuery):
    """Which sessions to export, and how they are written."""

    format: Annotated[Literal["csv", "ndjson"], *one_of("csv", "ndjson")] = Field(
        default="csv", description="CSV with a header line, or a JSON object on a line of its own for each session."
    )


class CalendarQuery(Input):
    """Which part of the calendar to draw."""

    start: DayOrInstant = Field(description="First day (or instant).")
    end: DayOrInstant = Field(description="Last day, which is included (or instant, which is not).")
    mac: Mac | None = Field(default=None, description="Only this device.")


class FeedQuery(Input):
    """Which part of the calendar others subscribe to."""

    mac: Mac | None = Field(default=None, description="Only this device.")
    period: Span = Field(default_factory=lambda: parse_period("30 days"), description="How far to reach back from now.")
    token: str | None = Field(
        default=None, description="A token made for calendars, from those who cannot send it as a header."
    )


class CalendarDays(CalendarQuery):
    """The same, in whole days."""

    start: Day
    end: Day


class DeviceQuery(Input):
    """One device's latest sessions."""

    mac: Mac
    period: Span = Field(default_factory=lambda: parse_period("1 day"), description="How far to reach back from now.")


EventKind = Literal["all", "sessions", "missing", "voided", "new", "down"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


class EventsQuery(Input):
    """Which events, or which sessions, of the latest period."""

    type: Annotated[EventKind, *one_of(*KINDS)] = Field(default="all", description="Which events, or sessions.")
    period: Span = Field(default_factory=lambda: parse_period("7 days"), description="How far to reach back from now.")


class EventList(EventsQuery):
    """Which of them to list."""

    search: Needle = ""


class TotalsQuery(Input):
    """Of which period to count events."""

    period: Span = Field(default_factory=lambda: parse_period("7 days"))


class PresenceQuery(Input):
    """Of which days, in which buckets and of which devices to tell the presence."""

    start: Day
    end: Day
    bucket: Annotated[Literal["hour", "day"], *one_of("hour", "day")] = "day"
    macs: list[Mac] | None = None


class DevicesQuery(Input):
    """Which devices to list."""

    search: Needle | None = None
    connected: bool | None = None


class DeviceNames(Input):
    """A device's name and owner; a null takes one away, one left out stays."""

    mac: Mac
    name: Annotated[str, text(NAME_LENGTH)] | None = None
    owner: Annotated[str, text(NAME_LENGTH)] | None = None


class TimeRange(Input):
    """Half-open; either side may be left open."""

    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise FieldError("to", "is before from")
        return self


class SessionFilter(Input):
    """Which sessions to list: those under every condition that is given."""

    macs: list[Mac] | None = None
    ips: list[Ip] | None = None
    states: list[str] | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    overlaps: TimeRange | None = None
    search: Needle | None = None


class NewToken(Input):
    """A token to be made."""

    name: TokenName
    scope: Annotated[Scope, *one_of(*SCOPES)]
    expires: Expiry = None


class Watch(Input):
    """Of which devices to tell, and after which change."""

    macs: list[Mac] | None = None
    after: str | None = None

    @property
    def devices(self) -> frozenset[str] | None:
        """The devices; None for all."""
        return None if self.macs is None else frozenset(self.macs)


class Page(Input):
    """Which part of a list: `first` after a cursor, or `last` before one. 50 unless told."""

    DEFAULT: ClassVar[int] = 50

    first: PageSize | None = None
    after: str | None = None
    last: PageSize | None = None
    before: str | None = None

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if self.first is not None and self.last is not None:
            raise FieldError("last", "cannot be asked together with first")
        return self

    @property
    def backward(self) -> bool:
        """Whether the page is read from its end."""
        return self.last is not None or (self.first is None and self.after is None and self.before is not None)

    @property
    def size(self) -> int:
        """How many it asks for."""
        size = self.last if self.backward else self.first
        return self.DEFAULT if size is None else size

    def cursors(self) -> list[tuple[str, str]]:
        """The cursors that are given, by name."""
        return [(name, c) for name, c in (("after", self.after), ("before", self.before)) if c is not None]
