"""The public scalars. Input passes through as it came: resolvers validate it, in the same words for both doors."""

from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from resolvers.validation import clock

DateTime = NewType("DateTime", int)
Date = NewType("Date", str)
MAC = NewType("MAC", str)
IPAddress = NewType("IPAddress", str)
Period = NewType("Period", str)


def _as_it_came(value: Any) -> Any:
    return value


def iso(value: int | str) -> str:
    """An instant, written; a default written in the schema is text already."""
    return value if isinstance(value, str) else clock.iso(value)


def _scalar(name: str, description: str, **how: Any) -> ScalarDefinition:
    return strawberry.scalar(name=name, description=description, parse_value=_as_it_came, **how)


SCALARS: dict[object, ScalarDefinition] = {
    DateTime: _scalar("DateTime", "An instant: ISO 8601, answered in UTC with a trailing Z.", serialize=iso),
    Date: _scalar("Date", "A calendar day, YYYY-MM-DD, in the server's TIMEZONE."),
    MAC: _scalar("MAC", "A MAC address in any common notation; answered as AA:BB:CC:DD:EE:FF."),
    IPAddress: _scalar("IPAddress", "An IPv4 or IPv6 address in canonical form."),
    Period: _scalar("Period", 'A span reaching back from now: "7 days", "1 month" or ISO 8601 "P7D".'),
}
