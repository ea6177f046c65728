"""Time as the server sees it: what now is, and the zone in which times without an offset are meant."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from resolvers.errors import shown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Years that every zone and both databases can write; beyond them a time is a typing error.
FIRST, LAST = datetime(1900, 1, 2, tzinfo=UTC), datetime(9998, 12, 30, tzinfo=UTC)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(?P<offset>[Zz]|[+-]\d\d(:?\d\d)?)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PERIOD = re.compile(r"\s*(?P<n>\d{1,9})\s+(?P<unit>minute|hour|day|week|month|year)s?\s*", re.ASCII | re.IGNORECASE)
_ISO_PERIOD = re.compile(
    r"P(?=.)((?P<years>\d{1,9})Y)?((?P<months>\d{1,9})M)?((?P<weeks>\d{1,9})W)?((?P<days>\d{1,9})D)?"
    r"(T(?=.)((?P<hours>\d{1,9})H)?((?P<minutes>\d{1,9})M)?((?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)


class Window(NamedTuple):
    """A half-open span of time, [since, until), in microseconds since 1970-01-01T00:00Z."""

    since: int
    until: int


def system_time() -> int:
    """Now, in microseconds since 1970-01-01T00:00Z."""
    return time_ns() // 1000


def instant(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970-01-01T00:00Z."""
    return (moment - EPOCH) // MICROSECOND


def utc(microseconds: int) -> datetime:
    """The inverse of `instant`."""
    return EPOCH + timedelta(microseconds=microseconds)


def iso(microseconds: int) -> str:
    """An instant in UTC with Z; a fraction of a second only where there is one."""
    return utc(microseconds).isoformat().replace("+00:00", "Z")


_FIRST, _LAST = instant(FIRST), instant(LAST)
_MINUTE = 60_000_000
# Since then every zone differs from UTC by whole minutes, so that a minute of UTC is one on every wall.
_WHOLE_OFFSETS = instant(datetime(1973, 1, 1, tzinfo=UTC)) // _MINUTE
_SECONDS = [f":{second:02}" for second in range(60)]
MINUTES = 65_536  # written minutes that are kept, about 130 bytes each


def _written(local: datetime) -> str:
    return local.replace(tzinfo=None).isoformat(" ", "minutes")


class Clock:
    """Reads and writes times in one zone. `time` can be replaced by a test."""

    def __init__(self, zone: ZoneInfo, time: Callable[[], int] = system_time) -> None:
        self.zone = zone
        self.now = time
        # Whoever writes lists writes the same minutes again and again.
        self._minute = lru_cache(MINUTES)(lambda minute: _written(self.local(minute * _MINUTE)))

    def local(self, microseconds: int) -> datetime:
        """An instant as wall-clock time."""
        return utc(microseconds).astimezone(self.zone)

    def minutes(self, microseconds: int) -> str:
        """An instant as wall-clock time, YYYY-MM-DD HH:MM."""
        minute = microseconds // _MINUTE
        return self._minute(minute) if minute >= _WHOLE_OFFSETS else _written(self.local(microseconds))

    def seconds(self, microseconds: int) -> str:
        """The same with seconds, YYYY-MM-DDTHH:MM:SS."""
        minute = microseconds // _MINUTE
        if minute < _WHOLE_OFFSETS:
            return self.local(microseconds).replace(tzinfo=None).isoformat(timespec="seconds")
        written = self._minute(minute)
        return f"{written[:10]}T{written[11:]}{_SECONDS[microseconds // 1_000_000 % 60]}"

    def parse(self, text: object) -> int:
        """An instant from ISO 8601; wall-clock time of the zone where it has no offset. Raises ValueError."""
        if not isinstance(text, str) or not (match := _TIME.fullmatch(text)):
            raise ValueError(
                f"{shown(text)} is not a time; write it as 2025-08-01T10:00:00, with Z or an offset if it has one"
            )
        try:
            moment = datetime.fromisoformat(text.upper())
            if match["offset"] is None:
                moment = self._wall_clock(moment)
            if not FIRST <= moment <= LAST:
                raise ValueError(f"{shown(text)} is not between the years 1900 and 9998")
        except OverflowError:
            raise ValueError(f"{shown(text)} is not between the years 1900 and 9998") from None
        except ValueError as problem:
            if shown(text) in str(problem):
                raise
            raise ValueError(f"{shown(text)} is not a time that exists: {problem}") from None
        return instant(moment)

    def _wall_clock(self, naive: datetime) -> datetime:
        """The first instant at which the zone's clocks show this; ValueError where they skip it."""
        moment = naive.replace(tzinfo=self.zone)
        if moment.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) != naive:
            raise ValueError(f"the clocks of {self.zone.key} skip it; add an offset")
        return moment

    def parse_day(self, text: object) -> date:
        """A calendar day, YYYY-MM-DD. Raises ValueError."""
        if not isinstance(text, str) or not _DAY.fullmatch(text):
            raise ValueError(f"{shown(text)} is not a day; write it as 2025-08-01")
        try:
            day = date.fromisoformat(text)
        except ValueError as problem:
            raise ValueError(f"{shown(text)} is not a day that exists: {problem}") from None
        if not FIRST.date() <= day <= LAST.date():
            raise ValueError(f"{shown(text)} is not between the years 1900 and 9998")
        return day

    def parse_day_or_time(self, text: object) -> "date | int":
        """A day, or an instant. Raises ValueError."""
        return self.parse_day(text) if isinstance(text, str) and _DAY.fullmatch(text) else self.parse(text)

    def midnight(self, day: date) -> int:
        """The first instant of a day: midnight, or what follows it where the clocks skip midnight."""
        return instant(datetime(day.year, day.month, day.day, tzinfo=self.zone))

    def day(self, day: date) -> Window:
        """The whole day; 23 or 25 hours long where the clocks change."""
        return Window(self.midnight(day), self.midnight(day + timedelta(days=1)))

    def last(self, period: "Period", now: int | None = None) -> Window:
        """From now, or an instant that counts as now, back by a period; it belongs to it. Raises ValueError."""
        now = self.now() if now is None else now
        return Window(self.back(now, period), now + 1)

    def back(self, microseconds: int, period: "Period") -> int:
        """The instant that lies a period before another. Raises ValueError."""
        try:
            since = microseconds
            # Months and years are steps on the calendar of the zone, what is shorter is time that passes.
            if period.months:
                moment = self.local(microseconds).replace(tzinfo=None) - relativedelta(months=period.months)
                since = instant(moment.replace(tzinfo=self.zone))
            since -= period.time // MICROSECOND
            if since < _FIRST:
                raise OverflowError
        except (OverflowError, ValueError):
            raise ValueError("reaches back too far; at most to the year 1900") from None
        return since

    def after(self, microseconds: int, period: "Period") -> int:
        """The instant that lies a period after another. Raises ValueError."""
        try:
            until = self.back(microseconds, Period(-period.months, -period.time))
        except ValueError:
            until = _LAST + 1
        if until > _LAST:
            raise ValueError("reaches too far ahead; at most to the year 9998")
        return until


class Period(NamedTuple):
    """A span reaching back from now: calendar months, and time."""

    months: int
    time: timedelta


def parse_period(text: object) -> Period:
    """`7 days`, `1 month`, or ISO 8601 (`P7D`). Raises ValueError."""
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
        raise ValueError(f"{shown(text)} reaches back too far; at most to the year 1900") from None
    if not period.months and not period.time:
        raise ValueError(
            f"{shown(text)} is not a period; write a number and minute, hour, day, week, month or year, as in '7 days', "
            "or ISO 8601, as in P7D"
        )
    return period
