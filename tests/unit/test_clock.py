"""Parsing and formatting of times and days."""

from datetime import UTC, date, datetime, timedelta
from time import time_ns
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.validation.clock import MAX_TIME, MIN_TIME, Clock, system_time, to_datetime, to_instant

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
FORMATTED_ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Africa/Monrovia",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.sampled_from(ZONES))
@example(datetime(2025, 3, 30, 2, 30), "Europe/Berlin")
@example(datetime(2025, 10, 26, 2, 30), "Europe/Berlin")
def test_wall_clock_times_are_parsed_or_rejected_if_skipped(wall: datetime, name: str) -> None:
    """A time that occurs twice is parsed as the first."""
    zone = ZoneInfo(name)
    clock = Clock(zone)
    candidates = {
        moment
        for hours in range(-16, 17)
        for quarter in (0, 15, 30, 45)
        if (moment := wall.replace(tzinfo=UTC) + timedelta(hours=hours, minutes=quarter))
        .astimezone(zone)
        .replace(tzinfo=None)
        == wall
    }
    if candidates:
        assert to_datetime(clock.parse_time(wall.isoformat())) == min(candidates)
    else:
        with pytest.raises(ValueError, match="skip it; add an offset"):
            clock.parse_time(wall.isoformat())


@given(st.dates(date(1995, 1, 1), date(2037, 1, 1)), st.sampled_from([*ZONES, "Asia/Beirut"]))
@example(date(2018, 11, 4), "America/Sao_Paulo")
def test_each_day_ends_where_the_next_begins(day: date, name: str) -> None:
    """Its window has exactly the instants with its date, in 23, 24 or 25 hours."""
    clock = Clock(ZoneInfo(name))
    window = clock.day_window(day)
    assert window.until == clock.day_window(day + timedelta(days=1)).since
    assert clock.to_wall_clock(window.since).date() == day
    assert clock.to_wall_clock(window.since - 1).date() == day - timedelta(days=1)
    assert clock.to_wall_clock(window.until - 1).date() == day


@pytest.mark.parametrize("text", ["1899-12-31", "9999-01-01"])
def test_a_day_or_time_out_of_range_is_rejected(text: str) -> None:
    """Also if it is out of range only in the zone or in UTC."""
    clock = Clock(ZoneInfo("Europe/Berlin"))
    with pytest.raises(ValueError, match=f"^'{text}' is not between the years 1900 and 9998$"):
        clock.parse_day(text)
    for time in (f"{text}T00:00:00", f"{text}T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(ValueError, match=f"^'{time}' is not between the years 1900 and 9998$"):
            clock.parse_time(time)


def test_the_first_and_last_valid_day_and_time_are_accepted() -> None:
    """The valid range includes its bounds."""
    clock = Clock(ZoneInfo("UTC"))
    for edge in (MIN_TIME, MAX_TIME):
        assert to_datetime(clock.parse_time(edge.isoformat())) == edge
        assert clock.parse_day(edge.date().isoformat()) == edge.date()


def test_a_time_may_have_lower_case_letters_and_a_comma() -> None:
    """The message for other text shows it and a valid time."""
    clock = Clock(ZoneInfo("UTC"))
    assert clock.parse_time("2025-08-01t10:00:00,25z") == clock.parse_time("2025-08-01T10:00:00Z") + 250_000
    advice = "is not a time; write it as 2025-08-01T10:00:00, with Z or an offset if it has one"
    for text, reason in (("10:00", f"{advice}$"), ("2025-02-30T10:00", "is not a valid time: ")):
        with pytest.raises(ValueError, match=f"^'{text}' {reason}"):
            clock.parse_time(text)


def test_the_system_time_is_in_whole_microseconds() -> None:
    """It is counted from 1970 in UTC."""
    before, now, after = time_ns(), system_time(), time_ns()
    assert isinstance(now, int)
    assert before // 1000 <= now <= after // 1000


@given(st.sampled_from(FORMATTED_ZONES), st.integers(to_instant(MIN_TIME), to_instant(MAX_TIME)))
@example("Africa/Monrovia", to_instant(datetime(1972, 1, 6, 23, 59, 59, tzinfo=UTC)))
@example("Europe/Amsterdam", to_instant(datetime(1937, 6, 30, 12, 0, 31, tzinfo=UTC)))
@example("Europe/Berlin", to_instant(datetime(2025, 10, 26, 1, 0, 0, tzinfo=UTC)) - 1)
def test_times_are_formatted_in_the_zone(zone: str, moment: int) -> None:
    """Also for offsets with seconds, and around clock changes."""
    clock = Clock(ZoneInfo(zone))
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).astimezone(ZoneInfo(zone))
    for _ in range(2):
        assert clock.format_minutes(moment) == local.strftime("%Y-%m-%d %H:%M")
        assert clock.format_seconds(moment) == local.strftime("%Y-%m-%dT%H:%M:%S")


def test_all_offsets_since_1973_are_whole_minutes() -> None:
    """The cache of formatted minutes depends on it."""
    for name in available_timezones():
        zone, day = ZoneInfo(name), datetime(1973, 1, 1, tzinfo=UTC)
        for n in range(0, 70 * 365, 30):
            offset = (day + timedelta(days=n)).astimezone(zone).utcoffset()
            assert offset is not None
            assert offset.total_seconds() % 60 == 0, name
