"""The custom scalars.

Input values reach the resolvers unchanged. Resolvers validate them, so that both APIs return the same error messages.
"""

from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from resolvers.validation import clock

DateTime = NewType("DateTime", int)
Date = NewType("Date", str)
MAC = NewType("MAC", str)
IPAddress = NewType("IPAddress", str)
Period = NewType("Period", str)


def _unchanged(value: Any) -> Any:
    return value


def to_iso(value: int | str) -> str:
    """Return an instant as ISO 8601 in UTC. The default of an argument is text already, and is returned unchanged."""
    return value if isinstance(value, str) else clock.format_utc(value)


def _scalar(name: str, description: str, **options: Any) -> ScalarDefinition:
    return strawberry.scalar(name=name, description=description, parse_value=_unchanged, **options)


SCALARS: dict[object, ScalarDefinition] = {
    DateTime: _scalar(
        "DateTime",
        "An instant in ISO 8601. Output is in UTC with a trailing `Z`. Input without an offset is local time in the "
        "server's time zone.",
        serialize=to_iso,
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    ),
    Date: _scalar(
        "Date",
        "A calendar day in the server's time zone, as `YYYY-MM-DD`.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    ),
    MAC: _scalar(
        "MAC",
        "A MAC address. Input is accepted in any common notation. Output is `AA:BB:CC:DD:EE:FF`.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc9542#section-2.1",
    ),
    IPAddress: _scalar(
        "IPAddress",
        "An IPv4 or IPv6 address. Output is in canonical form.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc5952",
    ),
    Period: _scalar(
        "Period",
        'A length of time back from now: `"7 days"`, `"1 month"`, or an ISO 8601 duration such as `"P7D"`.',
    ),
}
