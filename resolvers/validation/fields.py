"""What the fields of inputs are: how each is read from what a client writes, and how the description of REST tells of it.

Times are read by the clock that is handed over as validation context.
"""

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from resolvers.errors import shown
from resolvers.validation.addresses import EVENT_TYPE_LENGTH, MAC, NAME_LENGTH, parse_ip, parse_mac, parse_text
from resolvers.validation.clock import Clock, Period, parse_period
from storage.tables import MISSING, SECOND

MAX_INT = 2**31 - 1  # of GraphQL
AHEAD = 5 * 60 * SECOND  # of the server's clock, as far as another may be
TOKEN_NAME_LENGTH = 100


def _clock(info: ValidationInfo) -> Clock:
    assert isinstance(info.context, Clock)  # noqa: S101, a program error, not an input
    return info.context


def _schema(example: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example], **more})


def text(longest: int, default: str | None = None) -> BeforeValidator:
    """Free text; where there is a default, null stands for it."""
    return BeforeValidator(lambda v: default if v is None and default is not None else parse_text(v, longest))


def _parse_event_type(value: object, default: str) -> str:
    text = default if value is None else parse_text(value, EVENT_TYPE_LENGTH)
    if not text.strip():
        raise ValueError("is empty; leave it out or name an event type")
    return text


def event_type(default: str) -> BeforeValidator:
    """How a session began or ended."""
    return BeforeValidator(lambda value: _parse_event_type(value, default))


def whole(least: int, most: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """A whole number within bounds, also written as text."""

    def parse(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.removeprefix("-").isdecimal()):
            raise ValueError(f"{shown(value)} is not a whole number")
        if len(text) > 20 or not least <= int(text) <= most:
            raise ValueError(f"{shown(value)} is out of range; at least {least}, at most {most}")
        return int(text)

    return BeforeValidator(parse), WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


class _OneOf:
    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or value.lower() not in self.names:
            raise ValueError(f"{shown(value)} is not known here; known are: {', '.join(self.names)}")
        return value.lower()


def one_of(*names: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """One of some names, in any case."""
    return BeforeValidator(_OneOf(*names)), WithJsonSchema({"type": "string", "enum": list(names)})


def reported(default: str) -> BeforeValidator:
    """The event type of an end that was seen."""

    def parse(value: object) -> str:
        text = _parse_event_type(value, default)
        if text == MISSING:
            raise ValueError(f"cannot be {MISSING} in a report of it; leave it out or name an event type")
        return text

    return BeforeValidator(parse)


def _happened(value: object, info: ValidationInfo) -> int:
    """An instant that has come; a little may lie between two clocks."""
    clock = _clock(info)
    at = clock.parse(value)
    if at > clock.now() + AHEAD:
        raise ValueError(
            f"{shown(value)} has not come yet; without an offset it is wall-clock time of {clock.zone.key}"
        )
    return at


def _token_name(value: object) -> str:
    text = parse_text(value, TOKEN_NAME_LENGTH)
    # Without blanks: in the journal and in the list it stands among other words.
    if not text.isprintable() or not text or " " in text:
        raise ValueError(f"{shown(text)} is not a name of a token; write it in visible characters without blanks")
    return text


def _expiry(value: object, info: ValidationInfo) -> int | None:
    """The end of a token: after a period, with a day, or at an instant."""
    if value is None:
        return None
    clock = _clock(info)
    if isinstance(value, str) and value[4:5] == "-":
        end = clock.parse_day_or_time(value)
        at = end if isinstance(end, int) else clock.day(end).until
    else:
        at = clock.after(clock.now(), parse_period(value))
    if at <= clock.now():
        raise ValueError(f"{shown(value)} is over already")
    return at


Mac = Annotated[str, BeforeValidator(parse_mac), _schema("AA:BB:CC:DD:EE:FF", pattern=f"^({MAC})$")]
Ip = Annotated[str, BeforeValidator(parse_ip), _schema("192.168.1.10", anyOf=[{"format": "ipv4"}, {"format": "ipv6"}])]
Instant = Annotated[
    int, BeforeValidator(lambda v, info: _clock(info).parse(v)), _schema("2025-08-01T10:00:00", format="date-time")
]
Happened = Annotated[int, BeforeValidator(_happened), _schema("2025-08-01T10:00:00", format="date-time")]
Day = Annotated[date, BeforeValidator(lambda v, info: _clock(info).parse_day(v)), _schema("2025-08-01", format="date")]
DayOrInstant = Annotated[
    date | int,
    BeforeValidator(lambda v, info: _clock(info).parse_day_or_time(v)),
    _schema("2025-08-01", anyOf=[{"format": "date"}, {"format": "date-time"}]),
]
Span = Annotated[Period, BeforeValidator(parse_period), _schema("7 days", format="period")]
WholeNumber = Annotated[int, *whole(0, 2**63 - 1)]
Needle = Annotated[str, text(NAME_LENGTH), WithJsonSchema({"type": "string"})]
PageSize = Annotated[int, *whole(0, MAX_INT)]
TokenName = Annotated[str, BeforeValidator(_token_name)]
Expiry = Annotated[int | None, BeforeValidator(_expiry)]
