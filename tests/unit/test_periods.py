"""Parsing of periods, and adding and subtracting them."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.errors import short_repr
from resolvers.validation.clock import MAX_TIME, MIN_TIME, Clock, to_datetime, to_instant
from resolvers.validation.periods import parse_period


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("7 days", "2025-03-24T12:00:00"),
        ("1 DAY", "2025-03-30T12:00:00"),
        ("P7D", "2025-03-24T12:00:00"),
        ("1 month", "2025-02-28T12:00:00"),
        ("2 weeks", "2025-03-17T12:00:00"),
        ("1 year", "2024-03-31T12:00:00"),
        ("90 Minutes", "2025-03-31T10:30:00"),
        ("PT1H30M", "2025-03-31T10:30:00"),
        ("P1Y2M3DT4H", "2024-01-28T08:00:00"),
    ],
)
def test_subtracting_a_period(text: str, since: str) -> None:
    """Months and years are calendar steps. The other units are elapsed time."""
    now = datetime(2025, 3, 31, 12, tzinfo=UTC)
    clock = Clock(ZoneInfo("UTC"), time=lambda: int(now.timestamp()) * 1_000_000)
    assert to_datetime(clock.period_window(parse_period(text)).since) == datetime.fromisoformat(since).replace(
        tzinfo=UTC
    )


def test_a_period_window_ends_with_the_reference_time() -> None:
    """The reference time is included. Both ends are integers in microseconds."""
    now = to_instant(datetime(2025, 3, 31, 12, tzinfo=UTC))
    clock, hour = Clock(ZoneInfo("UTC"), time=lambda: now), 3_600_000_000
    assert clock.period_window(parse_period("1 hour")) == (now - hour, now + 1)
    assert clock.period_window(parse_period("1 hour"), now - hour) == (now - 2 * hour, now - hour + 1)
    assert isinstance(clock.period_window(parse_period("1 hour")).since, int)


@pytest.mark.parametrize(
    ("text", "until"), [("1 month", "2025-02-28"), ("1 year", "2026-01-31"), ("P1M1D", "2025-03-01")]
)
def test_adding_a_period(text: str, until: str) -> None:
    """Calendar steps first, then elapsed time."""
    clock = Clock(ZoneInfo("UTC"))
    assert clock.add(clock.parse_time("2025-01-31T12:00:00"), parse_period(text)) == clock.parse_time(
        f"{until}T12:00:00"
    )


def test_periods_reach_to_the_first_and_last_valid_time() -> None:
    """Beyond them, adding and subtracting raise ValueError."""
    clock, week = Clock(ZoneInfo("UTC")), parse_period("7 days")
    first, last, step = to_instant(MIN_TIME), to_instant(MAX_TIME), 7 * 86_400_000_000
    assert clock.subtract(first + step, week) == first
    assert clock.add(last - step, week) == last
    with pytest.raises(ValueError, match=r"^reaches back too far; at most to the year 1900$"):
        clock.subtract(first + step - 1, week)
    with pytest.raises(ValueError, match=r"^reaches too far ahead; at most to the year 9998$"):
        clock.add(last - step + 1, week)


@pytest.mark.parametrize("period", [None, 7, ["7 days"]])
def test_a_period_must_be_text(period: object) -> None:
    """The message shows the value and the valid notations."""
    with pytest.raises(ValueError, match="period") as rejected:
        parse_period(period)
    assert str(rejected.value) == (
        f"{short_repr(period)} is not a period; write a number and a unit (minute, hour, day, week, month or year), "
        "such as '7 days', or ISO 8601, such as P7D"
    )


def test_a_period_beyond_the_range_of_time_is_rejected() -> None:
    """The message is that of a period that reaches back too far."""
    with pytest.raises(ValueError, match=r"^'999999999 weeks' reaches back too far; at most to the year 1900$"):
        parse_period("999999999 weeks")


@given(st.text(max_size=12))
@example("7")
@example("days")
@example("0 days")
@example("-1 days")
@example("1.5 days")
@example("P")
@example("PT")
@example("P1H")
@example("7 fortnights")
@example("99999999999 days")
@example("999999999 weeks")
def test_other_text_is_not_a_period(text: str) -> None:
    """It raises ValueError."""
    if re.fullmatch(r"\s*[1-9]\d*\s+(minute|hour|day|week|month|year)s?\s*", text, re.ASCII | re.IGNORECASE):
        return
    if re.fullmatch(r"P(\d+[YMWD])*(T(\d+[HMS])+)?", text, re.ASCII) and re.search("[1-9]", text):
        return
    with pytest.raises(ValueError, match=r"period|reaches back"):
        parse_period(text)
