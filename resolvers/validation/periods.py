"""Periods: lengths of time such as `7 days`, `1 month` or `P7D`."""

import re
from datetime import timedelta
from typing import NamedTuple

from resolvers.errors import short_repr

_PERIOD = re.compile(r"\s*(?P<n>\d{1,9})\s+(?P<unit>minute|hour|day|week|month|year)s?\s*", re.ASCII | re.IGNORECASE)
_ISO_PERIOD = re.compile(
    r"P(?=.)((?P<years>\d{1,9})Y)?((?P<months>\d{1,9})M)?((?P<weeks>\d{1,9})W)?((?P<days>\d{1,9})D)?"
    r"(T(?=.)((?P<hours>\d{1,9})H)?((?P<minutes>\d{1,9})M)?((?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)


class Period(NamedTuple):
    """A length of time: calendar months, and a duration."""

    months: int
    time: timedelta


def parse_period(text: object) -> Period:
    """Parse a number with a unit, such as `7 days`, or ISO 8601, such as `P7D`. Raise ValueError."""
    parts: dict[str, int] = {}
    if isinstance(text, str):
        if match := _PERIOD.fullmatch(text):
            parts = {match["unit"].lower() + "s": int(match["n"])}
        elif match := _ISO_PERIOD.fullmatch(text):
            parts = {unit: int(n) for unit, n in match.groupdict().items() if n}
    months = parts.pop("years", 0) * 12 + parts.pop("months", 0)
    try:
        period = Period(months, timedelta(**parts))
    except OverflowError:
        raise ValueError(f"{short_repr(text)} reaches back too far; at most to the year 1900") from None
    if not period.months and not period.time:
        raise ValueError(
            f"{short_repr(text)} is not a period; write a number and a unit (minute, hour, day, week, month or year), "
            "such as '7 days', or ISO 8601, such as P7D"
        )
    return period
