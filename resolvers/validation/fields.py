"""Types of input fields: how a client's value is parsed, and its JSON Schema in the REST API's description.

The validation context must be a `Clock`. It parses times.
"""

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from resolvers.errors import short_repr
from resolvers.validation.addresses import EVENT_TYPE_LENGTH, MAC_PATTERN, NAME_LENGTH, parse_ip, parse_mac, parse_text
from resolvers.validation.clock import Clock
from resolvers.validation.periods import Period, parse_period
from storage.tables import MISSING_EVENT, SECOND

MAX_INT = 2**31 - 1  # largest Int in GraphQL
MAX_CLOCK_SKEW = 5 * 60 * SECOND  # a client's clock may be this much ahead
TOKEN_NAME_LENGTH = 100


def _clock(info: ValidationInfo) -> Clock:
    assert isinstance(info.context, Clock)  # noqa: S101, a programming error, not invalid input
    return info.context


def _schema(example: str, **extra: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example], **extra})


def text_field(max_length: int, default: str | None = None) -> BeforeValidator:
    """Return a validator of free text. If there is a default, it replaces null."""
    return BeforeValidator(lambda v: default if v is None and default is not None else parse_text(v, max_length))


def _parse_event_type(value: object, default: str) -> str:
    text = default if value is None else parse_text(value, EVENT_TYPE_LENGTH)
    if not text.strip():
        raise ValueError("is empty; leave it out or name an event type")
    return text


def event_type_field(default: str) -> BeforeValidator:
    """Return a validator of a session's event type. The default replaces null."""
    return BeforeValidator(lambda value: _parse_event_type(value, default))


def integer_field(minimum: int, maximum: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return a validator of an integer or its decimal text within bounds, and its JSON Schema."""

    def parse(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.removeprefix("-").isdecimal()):
            raise ValueError(f"{short_repr(value)} is not a whole number")
        if len(text) > 20 or not minimum <= int(text) <= maximum:
            raise ValueError(f"{short_repr(value)} is out of range; at least {minimum}, at most {maximum}")
        return int(text)

    return BeforeValidator(parse), WithJsonSchema({"type": "integer", "minimum": minimum, "maximum": maximum})


class _Choice:
    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or value.lower() not in self.names:
            raise ValueError(f"{short_repr(value)} is not a known value; use one of: {', '.join(self.names)}")
        return value.lower()


def choice_field(*names: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return a validator of one of the names, in any case, and its JSON Schema."""
    return BeforeValidator(_Choice(*names)), WithJsonSchema({"type": "string", "enum": list(names)})


def reported_event_field(default: str) -> BeforeValidator:
    """Return a validator of the event type in a report, which cannot be a missing event."""

    def parse(value: object) -> str:
        text = _parse_event_type(value, default)
        if text == MISSING_EVENT:
            raise ValueError(f"cannot be {MISSING_EVENT} in a report; leave it out or name an event type")
        return text

    return BeforeValidator(parse)


def _parse_past_instant(value: object, info: ValidationInfo) -> int:
    clock = _clock(info)
    instant = clock.parse_time(value)
    if instant > clock.now() + MAX_CLOCK_SKEW:
        raise ValueError(
            f"{short_repr(value)} is in the future; a time without an offset is local time in {clock.zone.key}"
        )
    return instant


def _parse_token_name(value: object) -> str:
    text = parse_text(value, TOKEN_NAME_LENGTH)
    # No spaces: the journal and `token list` print the name among other words.
    if not text.isprintable() or not text or " " in text:
        raise ValueError(f"{short_repr(text)} is not a valid token name; use printable characters without spaces")
    return text


def _parse_expiry(value: object, info: ValidationInfo) -> int | None:
    """Return the instant at which a token expires: after a period, at the end of a day, or at a time."""
    if value is None:
        return None
    clock = _clock(info)
    if isinstance(value, str) and value[4:5] == "-":
        end = clock.parse_day_or_time(value)
        expiry = end if isinstance(end, int) else clock.day_window(end).until
    else:
        expiry = clock.add(clock.now(), parse_period(value))
    if expiry <= clock.now():
        raise ValueError(f"{short_repr(value)} is in the past")
    return expiry


Mac = Annotated[str, BeforeValidator(parse_mac), _schema("AA:BB:CC:DD:EE:FF", pattern=f"^({MAC_PATTERN})$")]
Ip = Annotated[str, BeforeValidator(parse_ip), _schema("192.168.1.10", anyOf=[{"format": "ipv4"}, {"format": "ipv6"}])]
Instant = Annotated[
    int, BeforeValidator(lambda v, info: _clock(info).parse_time(v)), _schema("2025-08-01T10:00:00", format="date-time")
]
PastInstant = Annotated[int, BeforeValidator(_parse_past_instant), _schema("2025-08-01T10:00:00", format="date-time")]
Day = Annotated[date, BeforeValidator(lambda v, info: _clock(info).parse_day(v)), _schema("2025-08-01", format="date")]
DayOrInstant = Annotated[
    date | int,
    BeforeValidator(lambda v, info: _clock(info).parse_day_or_time(v)),
    _schema("2025-08-01", anyOf=[{"format": "date"}, {"format": "date-time"}]),
]
PeriodField = Annotated[Period, BeforeValidator(parse_period), _schema("7 days", format="period")]
WholeNumber = Annotated[int, *integer_field(0, 2**63 - 1)]
SearchText = Annotated[str, text_field(NAME_LENGTH), WithJsonSchema({"type": "string"})]
PageSize = Annotated[int, *integer_field(0, MAX_INT)]
TokenName = Annotated[str, BeforeValidator(_parse_token_name)]
Expiry = Annotated[int | None, BeforeValidator(_parse_expiry)]
