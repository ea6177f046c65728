"""Values are parsed once, at the resolvers' door."""

import re
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import time_ns
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.errors import InvalidInputError, shown
from resolvers.paging import cursor, cut, parse_cursor
from resolvers.sessions import _Ids
from resolvers.validation.addresses import parse_ip, parse_mac, parse_text
from resolvers.validation.clock import FIRST, LAST, Clock, instant, parse_period, system_time, utc
from resolvers.validation.models import Input, NewSession, NewToken, Page, StartReport, read
from rest_compat.requests import TableQuery
from tests.conftest import MAC, NOW, at

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]


def test_a_value_of_another_type_is_refused_with_its_field() -> None:
    """Neither door lets one through today."""
    with pytest.raises(InvalidInputError, match=r"^after: 5: input should be a valid string$"):
        read(Page, {"after": 5}, Clock(ZoneInfo("UTC")))


DEVICE = {"mac": MAC, "ip": "10.0.0.1"}
TOKEN = {"name": "phone", "scope": "read"}
RANGE = "is out of range; at least 1, at most 1000"
AT_NOON = Clock(ZoneInfo("UTC"), time=lambda: at(NOW))


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        (TableQuery, {"limit": "ten"}, "limit: 'ten' is not a whole number"),
        (TableQuery, {"limit": "5-"}, "limit: '5-' is not a whole number"),
        (TableQuery, {"limit": True}, "limit: True is not a whole number"),
        (TableQuery, {"limit": "-1"}, f"limit: '-1' {RANGE}"),
        (TableQuery, {"limit": "9" * 5000}, f"limit: '{'9' * 98}… {RANGE}"),
        (TableQuery, {"sortDir": "up"}, "sortDir: 'up' is not known here; known are: asc, desc"),
        (
            NewSession,
            DEVICE | {"event_type_conn": " "},
            "event_type_conn: is empty; leave it out or name an event type",
        ),
        (
            StartReport,
            DEVICE | {"event_type": "<missing event>"},
            "event_type: cannot be <missing event> in a report of it; leave it out or name an event type",
        ),
        (
            StartReport,
            DEVICE | {"at": "2025-08-20T12:05:01"},
            "at: '2025-08-20T12:05:01' has not come yet; without an offset it is wall-clock time of UTC",
        ),
        (
            NewToken,
            TOKEN | {"name": "a b"},
            "name: 'a b' is not a name of a token; write it in visible characters without blanks",
        ),
        (NewToken, TOKEN | {"expires": NOW}, f"expires: '{NOW}' is over already"),
        (StartReport, {"ip": "10.0.0.1"}, "mac: is required"),
        (StartReport, DEVICE | {"when": 1}, "when: is not known here; known are: mac, ip, at, event_type, info"),
    ],
)
def test_a_mistaken_value_is_told_with_what_to_write_instead(
    model: type[Input], given: dict[str, object], told: str
) -> None:
    """The field, what was written, and what may be."""
    with pytest.raises(InvalidInputError) as refused:
        read(model, given, AT_NOON)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("model", "given", "field", "value"),
    [
        (TableQuery, {"limit": "1"}, "limit", 1),
        (TableQuery, {"limit": "1000"}, "limit", 1000),
        (StartReport, DEVICE | {"at": "2025-08-20T12:05:00"}, "at", at("2025-08-20T12:05:00")),
        (NewToken, TOKEN | {"expires": "2025-08-20T12:00:01"}, "expires", at("2025-08-20T12:00:01")),
    ],
)
def test_a_value_at_its_bound_is_taken(model: type[Input], given: dict[str, object], field: str, value: int) -> None:
    """The least and the most, and times by the clock."""
    assert getattr(read(model, given, AT_NOON), field) == value


def test_null_stands_for_what_is_taken_where_nothing_is_said() -> None:
    """Programs that fill in a form of every field send it."""
    nothing = {"event_type_conn": None, "event_type_disc": None, "info": None}
    session = read(NewSession, DEVICE | nothing | {"start_time": NOW}, AT_NOON)
    assert (session.event_type_conn, session.event_type_disc, session.info) == ("Connected", "Disconnected", "")
    assert read(StartReport, DEVICE | {"event_type": None, "info": "x"}, AT_NOON).event_type == "Connected"


@given(st.integers(1 - 2**63, 2**63 - 1), st.integers(0, 2**63 - 1))
@example(1 - 2**63, 2**63 - 1)
def test_a_cursor_is_the_place_that_it_was_made_of(key: int, number: int) -> None:
    """As far as both databases count."""
    assert parse_cursor("after", cursor("NEWEST", key, number), "NEWEST", 2) == [key, number]


@pytest.mark.parametrize(
    "text",
    ["", "NEWEST", "NEWEST.1", "NEWEST.1.2.3", "OLDEST.1.2", "NEWEST.1.x", "NEWEST.01.2", "NEWEST. 1.2", "NEWEST.1.2.",
     f"NEWEST.1.{2**63}", f"NEWEST.{-(2**63)}.1"],
)  # fmt: skip
def test_what_is_not_written_as_a_cursor_is_none(text: str) -> None:
    """Of another list, of other places, or of numbers that no database has."""
    with pytest.raises(InvalidInputError) as refused:
        parse_cursor("after", text, "NEWEST", 2)
    assert str(refused.value) == f"after: '{text}' is not a cursor of this list"


@pytest.mark.parametrize(
    ("asked", "found", "rows", "more"),
    [
        (None, [1, 2, 3], ["1", "2", "3"], (False, False)),
        ({"first": 2}, [1, 2], ["1", "2"], (False, False)),
        ({"first": 2}, [1, 2, 3], ["1", "2"], (True, False)),
        ({"first": 2, "after": "1"}, [2, 3], ["2", "3"], (False, True)),
        ({"last": 2}, [3, 2], ["2", "3"], (False, False)),
        ({"last": 2}, [3, 2, 1], ["2", "3"], (False, True)),
        ({"last": 2, "before": "3"}, [2, 1], ["1", "2"], (True, False)),
    ],
)
def test_a_page_tells_whether_there_is_more_on_either_side(
    asked: dict[str, object] | None, found: list[int], rows: list[str], more: tuple[bool, bool]
) -> None:
    """By the row too many where it was read to, by its cursor where it began; its rows are in the list's order."""
    page = cut(None if asked is None else read(Page, asked, AT_NOON), found, str, "at {}".format)
    assert (page.rows, page.cursors) == (rows, [f"at {row}" for row in rows])
    assert (page.has_next, page.has_previous) == more


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-", ".", ""]), st.booleans())
def test_every_notation_of_a_mac_is_the_same_mac(raw: bytes, separator: str, upper: bool) -> None:
    """Colons, dashes, dots or nothing, in either case: one canonical address."""
    canonical = raw.hex(":").upper()
    written = raw.hex() if not separator else raw.hex(separator, 2 if separator == "." else 1)
    assert parse_mac(written.upper() if upper else written) == canonical


@given(st.text(max_size=20))
@example("AA:BB:CC:DD:EE:F")
@example("AA:BB:CC:DD:EE-FF")
@example("AABBCCDDEEFF\n")
@example("\uff21A:BB:CC:DD:EE:FF")
def test_nothing_else_is_a_mac(text: str) -> None:
    """What is not twelve hexadecimal digits in a known notation is refused."""
    if re.sub("[:.-]", "", text).isalnum() and len(re.sub("[^0-9a-fA-F]", "", text)) == 12 and text.isascii():
        return
    with pytest.raises(ValueError, match="is not a MAC address; write it as"):
        parse_mac(text)


@given(st.ip_addresses())
def test_an_ip_is_kept_in_canonical_form(address: IPv4Address | IPv6Address) -> None:
    """Whichever way it is written, and that way is one."""
    kept = parse_ip(str(address))
    assert ip_address(kept) == address
    assert "." not in kept or address.version == 4
    assert parse_ip(kept) == parse_ip(address.exploded) == parse_ip(str(address).upper()) == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.168.100.100", "::ffff:c0a8:6464"),
        ("::FFFF:c0a8:6464", "::ffff:c0a8:6464"),
        ("0000:0000:0000:0000:0000:FFFF:192.168.100.100", "::ffff:c0a8:6464"),
        ("::ffff:0.0.0.1", "::ffff:0:1"),
        ("::1.2.3.4", "::102:304"),
    ],
)
def test_an_ipv6_is_kept_short_and_without_dots(written: str, kept: str) -> None:
    """Also the longest that there is; the same on every Python."""
    assert parse_ip(written) == kept


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/24", "fe80::1%eth0", " ::1"]
)
def test_nothing_else_is_an_ip(text: str) -> None:
    """Networks, zones, and octal-looking parts are refused."""
    with pytest.raises(ValueError, match="is not an IP address"):
        parse_ip(text)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.sampled_from(ZONES))
@example(datetime(2025, 3, 30, 2, 30), "Europe/Berlin")
@example(datetime(2025, 10, 26, 2, 30), "Europe/Berlin")
def test_wall_clock_times_read_back_as_written_or_are_refused(wall: datetime, name: str) -> None:
    """A time that the zone's clocks skip is refused; every other reads back, as the first where it occurs twice."""
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
        assert utc(clock.parse(wall.isoformat())) == min(candidates)
    else:
        with pytest.raises(ValueError, match="skip it; add an offset"):
            clock.parse(wall.isoformat())


@given(st.dates(date(1995, 1, 1), date(2037, 1, 1)), st.sampled_from([*ZONES, "Asia/Beirut"]))
@example(date(2018, 11, 4), "America/Sao_Paulo")
def test_days_tile_time(day: date, name: str) -> None:
    """Where a day ends the next begins, and just its own instants fall on it, with 23, 24 or 25 hours."""
    clock = Clock(ZoneInfo(name))
    window = clock.day(day)
    assert window.until == clock.day(day + timedelta(days=1)).since
    assert clock.local(window.since).date() == day
    assert clock.local(window.since - 1).date() == day - timedelta(days=1)
    assert clock.local(window.until - 1).date() == day


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
def test_a_period_reaches_back_by_what_it_says(text: str, since: str) -> None:
    """Months and years are steps on the calendar; the rest is time that passes."""
    now = datetime(2025, 3, 31, 12, tzinfo=UTC)
    clock = Clock(ZoneInfo("UTC"), time=lambda: int(now.timestamp()) * 1_000_000)
    assert utc(clock.last(parse_period(text)).since) == datetime.fromisoformat(since).replace(tzinfo=UTC)


def test_a_period_ends_with_now_or_with_the_instant_that_counts_as_now() -> None:
    """Which belongs to it; both ends are whole microseconds."""
    now = instant(datetime(2025, 3, 31, 12, tzinfo=UTC))
    clock, hour = Clock(ZoneInfo("UTC"), time=lambda: now), 3_600_000_000
    assert clock.last(parse_period("1 hour")) == (now - hour, now + 1)
    assert clock.last(parse_period("1 hour"), now - hour) == (now - 2 * hour, now - hour + 1)
    assert isinstance(clock.last(parse_period("1 hour")).since, int)


@pytest.mark.parametrize(
    ("text", "until"), [("1 month", "2025-02-28"), ("1 year", "2026-01-31"), ("P1M1D", "2025-03-01")]
)
def test_a_period_reaches_ahead_by_what_it_says(text: str, until: str) -> None:
    """By the same steps: first those on the calendar, then the time."""
    clock = Clock(ZoneInfo("UTC"))
    assert clock.after(clock.parse("2025-01-31T12:00:00"), parse_period(text)) == clock.parse(f"{until}T12:00:00")


def test_a_period_reaches_as_far_as_times_do() -> None:
    """To the first and the last instant that can be told, and not beyond."""
    clock, week = Clock(ZoneInfo("UTC")), parse_period("7 days")
    first, last, step = instant(FIRST), instant(LAST), 7 * 86_400_000_000
    assert clock.back(first + step, week) == first
    assert clock.after(last - step, week) == last
    with pytest.raises(ValueError, match=r"^reaches back too far; at most to the year 1900$"):
        clock.back(first + step - 1, week)
    with pytest.raises(ValueError, match=r"^reaches too far ahead; at most to the year 9998$"):
        clock.after(last - step + 1, week)


@pytest.mark.parametrize("period", [None, 7, ["7 days"]])
def test_what_is_no_text_is_no_period(period: object) -> None:
    """It is shown as it came, with what may be written."""
    with pytest.raises(ValueError, match="period") as refused:
        parse_period(period)
    assert str(refused.value) == (
        f"{shown(period)} is not a period; write a number and minute, hour, day, week, month or year, as in '7 days', "
        "or ISO 8601, as in P7D"
    )


def test_a_period_that_is_longer_than_time_is_refused() -> None:
    """As one that reaches back too far."""
    with pytest.raises(ValueError, match=r"^'999999999 weeks' reaches back too far; at most to the year 1900$"):
        parse_period("999999999 weeks")


def test_a_refused_value_is_shown_by_its_first_hundred_characters() -> None:
    """Or not at all, where it is nested more deeply than Python can write."""
    assert shown("x" * 98) == f"'{'x' * 98}'"
    assert shown("x" * 99) == f"'{'x' * 98}…"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "what is nested so deeply"


def test_what_is_no_text_is_no_text() -> None:
    """It is shown as it came."""
    with pytest.raises(ValueError, match=r"^5 is not text$"):
        parse_text(5, 10)


@pytest.mark.parametrize("text", ["1899-12-31", "9999-01-01"])
def test_a_day_or_time_of_other_years_is_refused(text: str) -> None:
    """Also one that falls out of the calendar in the zone, or in UTC."""
    clock = Clock(ZoneInfo("Europe/Berlin"))
    with pytest.raises(ValueError, match=f"^'{text}' is not between the years 1900 and 9998$"):
        clock.parse_day(text)
    for time in (f"{text}T00:00:00", f"{text}T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(ValueError, match=f"^'{time}' is not between the years 1900 and 9998$"):
            clock.parse(time)


def test_the_first_and_the_last_day_and_time_are_read() -> None:
    """Those at which the years end that can be told."""
    clock = Clock(ZoneInfo("UTC"))
    for edge in (FIRST, LAST):
        assert utc(clock.parse(edge.isoformat())) == edge
        assert clock.parse_day(edge.date().isoformat()) == edge.date()


def test_a_time_is_read_in_either_case_and_with_a_comma_or_told_how_to_write_it() -> None:
    """What is refused is shown as it came."""
    clock = Clock(ZoneInfo("UTC"))
    assert clock.parse("2025-08-01t10:00:00,25z") == clock.parse("2025-08-01T10:00:00Z") + 250_000
    advice = "is not a time; write it as 2025-08-01T10:00:00, with Z or an offset if it has one"
    for text, why in (("10:00", f"{advice}$"), ("2025-02-30T10:00", "is not a time that exists: ")):
        with pytest.raises(ValueError, match=f"^'{text}' {why}"):
            clock.parse(text)


def test_the_system_tells_the_time_in_whole_microseconds() -> None:
    """Of UTC."""
    before, now, after = time_ns(), system_time(), time_ns()
    assert isinstance(now, int)
    assert before // 1000 <= now <= after // 1000


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
def test_what_is_not_a_period_is_refused(text: str) -> None:
    """Nothing is quietly taken for another period."""
    if re.fullmatch(r"\s*[1-9]\d*\s+(minute|hour|day|week|month|year)s?\s*", text, re.ASCII | re.IGNORECASE):
        return
    if re.fullmatch(r"P(\d+[YMWD])*(T(\d+[HMS])+)?", text, re.ASCII) and re.search("[1-9]", text):
        return
    with pytest.raises(ValueError, match=r"period|reaches back"):
        parse_period(text)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff", "ü\0"])
def test_text_that_no_database_can_hold_is_refused(text: str) -> None:
    """NUL, and half of a surrogate pair, also among other letters."""
    with pytest.raises(ValueError, match=r"^contains a character that cannot be stored \(NUL"):
        parse_text(text, 10)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
def test_every_other_text_is_kept_as_it_is(text: str) -> None:
    """Emoji, control characters, right-to-left marks and all."""
    assert parse_text(text, 50) == text


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Africa/Monrovia",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]


@given(st.sampled_from(ZONES), st.integers(instant(FIRST), instant(LAST)))
@example("Africa/Monrovia", instant(datetime(1972, 1, 6, 23, 59, 59, tzinfo=UTC)))
@example("Europe/Amsterdam", instant(datetime(1937, 6, 30, 12, 0, 31, tzinfo=UTC)))
@example("Europe/Berlin", instant(datetime(2025, 10, 26, 1, 0, 0, tzinfo=UTC)) - 1)
def test_wall_clock_times_are_written_as_the_zone_shows_them(zone: str, moment: int) -> None:
    """Also where zones differed by odd seconds, and around every change of clocks."""
    clock = Clock(ZoneInfo(zone))
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).astimezone(ZoneInfo(zone))
    for _ in range(2):
        assert clock.minutes(moment) == local.strftime("%Y-%m-%d %H:%M")
        assert clock.seconds(moment) == local.strftime("%Y-%m-%dT%H:%M:%S")


def test_no_zone_differs_from_utc_by_odd_seconds_since_1973() -> None:
    """On this the memory of written minutes relies."""
    for name in available_timezones():
        zone, day = ZoneInfo(name), datetime(1973, 1, 1, tzinfo=UTC)
        for n in range(0, 70 * 365, 30):
            offset = (day + timedelta(days=n)).astimezone(zone).utcoffset()
            assert offset is not None
            assert offset.total_seconds() % 60 == 0, name


def test_ids_rise_whatever_the_clock_does() -> None:
    """The millisecond since 1970, and where in it is left to chance; then one by one, also where the clock steps back."""
    later = Clock(ZoneInfo("UTC"), time=lambda: at(NOW))
    earlier = Clock(ZoneInfo("UTC"), time=lambda: at(NOW) - 1)
    begun = set()
    for _ in range(50):
        ids = _Ids()
        first, *_, last = ids(later, 3)
        assert first >> 21 == at(NOW) // 1000
        assert last == first + 2
        assert ids(earlier, 2) == range(last + 1, last + 3)
        assert ids(earlier, 1)[0] == last + 3
        begun.add(first)
    assert len(begun) > 45
