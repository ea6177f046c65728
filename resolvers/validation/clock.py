"""The server's clock and time zone: parses and formats times."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from resolvers.errors import short_repr
from resolvers.validation.periods import Period

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# The range that every zone and both databases can represent. A time outside is a typing error.
MIN_TIME, MAX_TIME = datetime(1900, 1, 2, tzinfo=UTC), datetime(9998, 12, 30, tzinfo=UTC)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(?P<offset>[Zz]|[+-]\d\d(:?\d\d)?)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Window(NamedTuple):
    """A half-open range of time, [since, until), in microseconds since 1970-01-01T00:00Z."""

    since: int
    until: int


def system_time() -> int:
    """Return the current time in microseconds since 1970-01-01T00:00Z."""
    return time_ns() // 1000


def to_instant(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970-01-01T00:00Z."""
    return (moment - EPOCH) // MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """Convert microseconds since 1970-01-01T00:00Z to a datetime in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


def format_utc(microseconds: int) -> str:
    """Format an instant as ISO 8601 in UTC with Z, with a fraction of a second only if there is one."""
    return to_datetime(microseconds).isoformat().replace("+00:00", "Z")


_FIRST, _LAST = to_instant(MIN_TIME), to_instant(MAX_TIME)
_MINUTE = 60_000_000
# Since 1973 every zone differs from UTC by whole minutes, so minutes in UTC and in local time coincide.
_WHOLE_MINUTE_OFFSETS = to_instant(datetime(1973, 1, 1, tzinfo=UTC)) // _MINUTE
_SECONDS = [f":{second:02}" for second in range(60)]
CACHED_MINUTES = 65_536  # formatted minutes in the cache, about 130 bytes each


def _format_minute(local: datetime) -> str:
    return local.replace(tzinfo=None).isoformat(" ", "minutes")


class Clock:
    """Parses and formats times in one zone. `time` returns the current instant; tests replace it."""

    def __init__(self, zone: ZoneInfo, time: Callable[[], int] = system_time) -> None:
        self.zone = zone
        self.now = time
        # Lists repeat the same minutes.
        self._cached_minute = lru_cache(CACHED_MINUTES)(
            lambda minute: _format_minute(self.to_wall_clock(minute * _MINUTE))
        )

    def to_wall_clock(self, microseconds: int) -> datetime:
        """Return an instant as wall-clock time of the zone."""
        return to_datetime(microseconds).astimezone(self.zone)

    def format_minutes(self, microseconds: int) -> str:
        """Format an instant as wall-clock time, YYYY-MM-DD HH:MM."""
        minute = microseconds // _MINUTE
        if minute < _WHOLE_MINUTE_OFFSETS:
            return _format_minute(self.to_wall_clock(microseconds))
        return self._cached_minute(minute)

    def format_seconds(self, microseconds: int) -> str:
        """Format an instant as wall-clock time, YYYY-MM-DDTHH:MM:SS."""
        minute = microseconds // _MINUTE
        if minute < _WHOLE_MINUTE_OFFSETS:
            return self.to_wall_clock(microseconds).replace(tzinfo=None).isoformat(timespec="seconds")
        text = self._cached_minute(minute)
        return f"{text[:10]}T{text[11:]}{_SECONDS[microseconds // 1_000_000 % 60]}"

    def parse_time(self, text: object) -> int:
        """Parse ISO 8601 into an instant. A time without an offset is wall-clock time of the zone. Raise ValueError."""
        if not isinstance(text, str) or not (match := _TIME.fullmatch(text)):
            raise ValueError(
                f"{short_repr(text)} is not a time; write it as 2025-08-01T10:00:00, with Z or an offset if it has one"
            )
        try:
            moment = datetime.fromisoformat(text.upper())
            if match["offset"] is None:
                moment = self._resolve_wall_clock(moment)
            if not MIN_TIME <= moment <= MAX_TIME:
                raise ValueError(f"{short_repr(text)} is not between the years 1900 and 9998")
        except OverflowError:
            raise ValueError(f"{short_repr(text)} is not between the years 1900 and 9998") from None
        except ValueError as problem:
            if short_repr(text) in str(problem):
                raise
            raise ValueError(f"{short_repr(text)} is not a valid time: {problem}") from None
        return to_instant(moment)

    def _resolve_wall_clock(self, naive: datetime) -> datetime:
        """Return the first instant at which the zone's clocks show a time. Raise ValueError if they skip it."""
        moment = naive.replace(tzinfo=self.zone)
        if moment.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) != naive:
            raise ValueError(f"the clocks in {self.zone.key} skip it; add an offset")
        return moment

    def parse_day(self, text: object) -> date:
        """Parse a calendar day, YYYY-MM-DD. Raise ValueError."""
        if not isinstance(text, str) or not _DAY.fullmatch(text):
            raise ValueError(f"{short_repr(text)} is not a day; write it as 2025-08-01")
        try:
            day = date.fromisoformat(text)
        except ValueError as problem:
            raise ValueError(f"{short_repr(text)} is not a valid day: {problem}") from None
        if not MIN_TIME.date() <= day <= MAX_TIME.date():
            raise ValueError(f"{short_repr(text)} is not between the years 1900 and 9998")
        return day

    def parse_day_or_time(self, text: object) -> date | int:
        """Parse a day or an instant. Raise ValueError."""
        return self.parse_day(text) if isinstance(text, str) and _DAY.fullmatch(text) else self.parse_time(text)

    def day_start(self, day: date) -> int:
        """Return the first instant of a day: midnight, or the first instant after it if the clocks skip midnight."""
        return to_instant(datetime(day.year, day.month, day.day, tzinfo=self.zone))

    def day_window(self, day: date) -> Window:
        """Return the window of a day. It has 23 or 25 hours when the clocks change."""
        return Window(self.day_start(day), self.day_start(day + timedelta(days=1)))

    def period_window(self, period: Period, now: int | None = None) -> Window:
        """Return the window from a period before `now` (default: the present) to `now`, included. Raise ValueError."""
        now = self.now() if now is None else now
        return Window(self.subtract(now, period), now + 1)

    def subtract(self, microseconds: int, period: Period) -> int:
        """Return the instant a period before another. Raise ValueError if it is out of range."""
        try:
            since = microseconds
            # Months and years are steps in the zone's calendar. Shorter units are elapsed time.
            if period.months:
                moment = self.to_wall_clock(microseconds).replace(tzinfo=None) - relativedelta(months=period.months)
                since = to_instant(moment.replace(tzinfo=self.zone))
            since -= period.time // MICROSECOND
            if since < _FIRST:
                raise OverflowError
        except (OverflowError, ValueError):
            raise ValueError("reaches back too far; at most to the year 1900") from None
        return since

    def add(self, microseconds: int, period: Period) -> int:
        """Return the instant a period after another. Raise ValueError if it is out of range."""
        try:
            until = self.subtract(microseconds, Period(-period.months, -period.time))
        except ValueError:
            until = _LAST + 1
        if until > _LAST:
            raise ValueError("reaches too far ahead; at most to the year 9998")
        return until
