"""Presence over GraphQL, and against a count by the minute."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers import presence
from resolvers.context import Context
from resolvers.presence import Bucket, count_buckets
from resolvers.validation.clock import Clock
from resolvers.validation.models import PresenceQuery, validate
from storage.opening import open_store
from storage.queries.sessions import count_sessions
from storage.tables import MISSING_EVENT, SECOND, SESSION_DEFAULTS
from tests.conftest import AUDIT_STAMP, DATABASES, MAC, Execute, at, new_database, run, sql

MINUTE = 60 * SECOND
OTHER, THIRD = "02:00:5E:10:00:01", "02:00:5E:10:0A:01"
CREATE = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
PRESENCE = """query($start: Date!, $end: Date!, $bucket: PresenceBucketSize, $macs: [MAC!]) {
    presence(start: $start, end: $end, bucket: $bucket, macs: $macs) {
        start end onlineSeconds sessions devices peak } }"""


def record(execute: Execute, *sessions: tuple[str, str | None, str | None], **fields: Any) -> None:
    """Create sessions of a MAC from a start to an end. Without a start it is missing; without an end they are open."""
    inputs = []
    for mac, start, end in sessions:
        ends: dict[str, Any] = {"startTime": start} if start else {"startTime": None, "eventTypeConn": MISSING_EVENT}
        inputs.append({"mac": mac, "ip": "10.0.0.1", "endTime": end} | ends | fields)
    assert execute(CREATE, input=inputs)["data"]


def presence_figures(execute: Execute, start: str, end: str, **variables: Any) -> list[tuple[float, int, int, int]]:
    """Return hours online, sessions, devices and peak of each bucket."""
    buckets = execute(PRESENCE, start=start, end=end, **variables)["data"]["presence"]
    return [(b["onlineSeconds"] / 3600, b["sessions"], b["devices"], b["peak"]) for b in buckets]


def test_each_day_of_the_range_has_a_bucket(execute: Execute) -> None:
    """Both days are inclusive, empty days are included, and a session over midnight counts on both days."""
    record(execute, (MAC, "2025-08-01T22:00", "2025-08-02T03:00"), (OTHER, "2025-08-02T01:00", "2025-08-02T02:00"))
    assert presence_figures(execute, "2025-07-31", "2025-08-03") == [
        (0, 0, 0, 0),
        (2, 1, 1, 1),
        (4, 2, 2, 2),
        (0, 0, 0, 0),
    ]
    [bucket] = execute(PRESENCE, start="2025-08-01", end="2025-08-01")["data"]["presence"]
    assert (bucket["start"], bucket["end"]) == ("2025-08-01T00:00:00Z", "2025-08-02T00:00:00Z")


def test_hour_buckets_split_sessions(execute: Execute) -> None:
    """A day has 24 buckets."""
    record(execute, (MAC, "2025-08-01T10:45", "2025-08-01T12:15"))
    hours = presence_figures(execute, "2025-08-01", "2025-08-01", bucket="HOUR")
    assert len(hours) == 24
    assert hours[9:14] == [(0, 0, 0, 0), (0.25, 1, 1, 1), (1, 1, 1, 1), (0.25, 1, 1, 1), (0, 0, 0, 0)]


def test_a_device_with_overlapping_sessions_counts_once(execute: Execute) -> None:
    """Each of its sessions counts, and each adds its time."""
    record(execute, (MAC, "2025-08-01T10:00", "2025-08-01T12:00"), (MAC, "2025-08-01T11:00", "2025-08-01T13:00"))
    assert presence_figures(execute, "2025-08-01", "2025-08-01") == [(4, 2, 1, 1)]


def test_devices_whose_sessions_only_touch_make_no_peak_of_two(execute: Execute) -> None:
    """A session does not include its end."""
    record(execute, (MAC, "2025-08-01T10:00", "2025-08-01T11:00"), (OTHER, "2025-08-01T11:00", "2025-08-01T12:00"))
    assert presence_figures(execute, "2025-08-01", "2025-08-01") == [(2, 2, 2, 1)]


def test_an_open_session_counts_until_now(execute: Execute) -> None:
    """Now is noon of 20 August. An open session that starts later has no duration."""
    record(execute, (MAC, "2025-08-19T18:00", None), (OTHER, "2025-08-21T09:00", None))
    assert presence_figures(execute, "2025-08-19", "2025-08-22") == [
        (6, 1, 1, 1),
        (12, 1, 1, 1),
        (0, 1, 1, 1),
        (0, 0, 0, 0),
    ]


def test_a_session_with_a_missing_end_counts_at_its_observed_end(execute: Execute) -> None:
    """It has no duration. At midnight it counts for the day that begins, and it counts for the peak."""
    record(execute, (MAC, None, "2025-08-02T00:00"))
    record(execute, (OTHER, "2025-08-03T12:00", None), eventTypeDisc=MISSING_EVENT)
    record(execute, (MAC, "2025-08-03T11:00", "2025-08-03T12:30"), (THIRD, "2025-08-03T12:00", "2025-08-03T12:00"))
    assert presence_figures(execute, "2025-08-01", "2025-08-03") == [(0, 0, 0, 0), (0, 1, 1, 1), (1.5, 3, 3, 3)]


def test_a_session_is_split_at_the_microsecond(execute: Execute) -> None:
    """Of three microseconds, one is before midnight."""
    record(execute, (MAC, "2025-08-01T23:59:59.999999", "2025-08-02T00:00:00.000002"))
    buckets = execute(PRESENCE, start="2025-08-01", end="2025-08-02")["data"]["presence"]
    assert [bucket["onlineSeconds"] for bucket in buckets] == [0.000001, 0.000002]


def test_the_macs_argument_restricts_the_devices(execute: Execute) -> None:
    """It takes one MAC, several in any notation with duplicates, or none."""
    record(execute, *((mac, "2025-08-01T10:00", "2025-08-01T11:00") for mac in (MAC, OTHER, THIRD)))
    expected = {
        (MAC,): (1, 1, 1, 1),
        ("aa-bb-cc-dd-ee-ff", MAC, OTHER): (2, 2, 2, 2),
        ("00:00:00:00:00:00",): (0, 0, 0, 0),
        (): (0, 0, 0, 0),
    }
    for macs, figures in expected.items():
        assert presence_figures(execute, "2025-08-01", "2025-08-01", macs=macs) == [figures]
    assert presence_figures(execute, "2025-08-01", "2025-08-01", macs=None) == [(3, 3, 3, 3)]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2025-03-30", [1] * 23),
        ("Europe/Berlin", "2025-10-26", [1] * 25),
        ("Australia/Lord_Howe", "2025-04-06", [1] * 24 + [0.5]),
        ("Australia/Lord_Howe", "2025-10-05", [1] * 23 + [0.5]),
        ("Asia/Kathmandu", "2025-03-30", [1] * 24),
    ],
)
def test_a_day_has_as_many_hours_as_elapse_in_its_zone(
    execute: Execute, zone: str, day: str, hours: list[float]
) -> None:
    """If clocks change by half an hour, the day's last bucket is half an hour."""
    record(execute, (MAC, "2024-12-31T00:00", "2025-12-31T00:00"))
    assert [bucket[0] for bucket in presence_figures(execute, day, day, bucket="HOUR")] == hours
    assert presence_figures(execute, day, day) == [(sum(hours), 1, 1, 1)]


@pytest.mark.parametrize("zone", ["Pacific/Apia"])
def test_a_day_that_a_zone_skipped_has_no_bucket(execute: Execute, zone: str) -> None:
    """Samoa skipped 30 December 2011."""
    for bucket, expected in (("DAY", 2), ("HOUR", 48)):
        buckets = execute(PRESENCE, start="2011-12-29", end="2011-12-31", bucket=bucket)["data"]["presence"]
        assert len(buckets) == expected
        assert all(earlier["end"] == later["start"] for earlier, later in pairwise(buckets))


@pytest.mark.parametrize(
    ("variables", "field", "message"),
    [
        ({"end": "2025-07-31"}, "end", "end: is before start"),
        ({"end": "2052-12-17"}, "end", "end: is more than 10000 buckets away from start; choose an earlier day"),
        ({"end": "2026-09-21", "bucket": "HOUR"}, "end", "an earlier day, or the bucket DAY"),
        ({"end": "2025-08-01T10:00"}, "end", "is not a day; write it as 2025-08-01"),
        ({"start": "2025-02-30"}, "start", "is not a valid day: day is out of range for month"),
        ({"macs": [MAC, "AA:BB"]}, "macs.1", "'AA:BB' is not a MAC address; write it as AA:BB:CC:DD:EE:FF"),
    ],
)
def test_an_invalid_argument_is_reported_with_its_field_and_the_fix(
    execute: Execute, variables: dict[str, Any], field: str, message: str
) -> None:
    """The code is BAD_USER_INPUT."""
    [error] = execute(PRESENCE, **{"start": "2025-08-01", "end": "2025-08-01"} | variables)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"].endswith(message)


@pytest.mark.parametrize("macs", [None, [], [OTHER]])
def test_an_empty_bucket_has_integer_zeros(context: Context, execute: Execute, macs: list[str] | None) -> None:
    """For an empty store, for no device, and for a device without sessions."""
    if macs is not None:
        record(execute, (MAC, "2025-08-01T10:00", "2025-08-01T12:00"))
    fields = {"start": "2025-08-01", "end": "2025-08-01", "bucket": "day", "macs": macs}
    [bucket] = run(presence.count_presence(context, validate(PresenceQuery, fields, context.clock)))
    assert [*map(repr, bucket[2:])] == ["0"] * 4


def test_the_largest_ranges_are_accepted(execute: Execute) -> None:
    """10,000 buckets of days; the hours of 416 days."""
    assert len(presence_figures(execute, "2025-08-01", "2052-12-16")) == 10_000
    assert len(presence_figures(execute, "2025-08-01", "2026-09-20", bucket="HOUR")) == 9_984


def test_buckets_are_computed_outside_the_event_loop(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed in another thread."""
    threads = []

    def record_thread(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return count_buckets(*arguments)

    async def loop_thread() -> int:
        return threading.get_ident()

    record(execute, (MAC, "2025-08-01T10:00", "2025-08-01T11:00"))
    monkeypatch.setattr(presence, "count_buckets", record_thread)
    assert presence_figures(execute, "2025-08-01", "2025-08-01") == [(1, 1, 1, 1)]
    assert len(threads) == 1
    assert threads != [run(loop_thread())]


@pytest.fixture(scope="module", params=DATABASES)
def shared_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that each example empties."""
    return new_database(request.param, tmp_path_factory.mktemp("shared"))


@cache
def bucket_minutes(zone: str, start: date, count: int, bucket: str) -> list[list[int]]:
    """Return the instants of the whole minutes of each bucket: the minutes with the same local date, or 60 for an hour."""
    tz, first = ZoneInfo(zone), datetime(start.year, start.month, start.day, tzinfo=UTC) - timedelta(days=1)
    all_minutes = [first + timedelta(minutes=n) for n in range((count + 2) * 1440)]
    buckets = []
    for day, minutes_of_day in groupby(all_minutes, lambda moment: moment.astimezone(tz).date()):
        if start <= day < start + timedelta(days=count):
            moments = [int(moment.timestamp()) * SECOND for moment in minutes_of_day]
            length = 60 if bucket == "hour" else len(moments)
            buckets += [moments[n : n + length] for n in range(0, len(moments), length)]
    return buckets


SessionSpec = tuple[str, int, int | str]  # MAC, minute of the first end, and the duration in minutes or the kind


def count_by_minute(sessions: list[tuple[str, int, int]], buckets: list[list[int]]) -> list[Bucket]:
    """Return the figures of each bucket by checking every minute. Sessions start and end on whole minutes."""
    online: defaultdict[int, set[int]] = defaultdict(set)
    for n, (_, start, end) in enumerate(sessions):
        for moment in range(start, max(end, start + 1), MINUTE):
            online[moment].add(n)
    figures = []
    for moments in buckets:
        overlapping = {n for moment in moments for n in online[moment]}
        duration = sum(MINUTE for moment in moments for n in online[moment] if sessions[n][2] > moment)
        peak = max(len({sessions[n][0] for n in online[moment]}) for moment in moments)
        devices = len({sessions[n][0] for n in overlapping})
        figures.append(Bucket(moments[0], moments[-1] + MINUTE, duration, len(overlapping), devices, peak))
    return figures


@contextmanager
def read_limits(full_scan_share: float, max_sessions: int) -> Iterator[None]:
    """Replace the share of sessions from which the table is scanned, and the number of sessions read at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "FULL_SCAN_SHARE", full_scan_share)
        patch.setattr(presence, "MAX_SESSIONS_PER_SCAN", max_sessions)
        yield


CLOCK_CHANGES = [
    ("Europe/Berlin", date(2025, 3, 30)),
    ("Europe/Berlin", date(2025, 10, 26)),
    ("Australia/Lord_Howe", date(2025, 4, 6)),
    ("Australia/Lord_Howe", date(2025, 10, 5)),
    ("Asia/Kathmandu", date(2025, 10, 5)),
    ("UTC", date(2025, 10, 5)),
]
ALWAYS, NEVER = -1e9, 1e9
# Multiples of 15 minutes often coincide with each other and with the edges of buckets.
quarters = st.integers(-100, 400).map(lambda n: 15 * n)
lengths = st.integers(0, 8).map(lambda n: 15 * n)


@settings(max_examples=60)
@given(
    sessions=st.lists(
        st.tuples(
            st.sampled_from([MAC, OTHER, THIRD]),
            st.one_of(quarters, st.integers(-1500, 6000)),
            st.one_of(lengths, st.integers(0, 4000), st.sampled_from(["open", "no end", "no start"])),
        ),
        max_size=12,
    ),
    place=st.sampled_from(CLOCK_CHANGES),
    before=st.integers(0, 1),
    length=st.integers(1, 3),
    bucket=st.sampled_from(["hour", "day"]),
    now=st.integers(-1500, 6000),
    macs=st.one_of(st.none(), st.lists(st.sampled_from([MAC, OTHER, THIRD]), max_size=3)),
)  # fmt: skip
def test_buckets_equal_a_count_by_the_minute(
    shared_database: str,
    sessions: list[SessionSpec],
    place: tuple[str, date],
    before: int,
    length: int,
    bucket: str,
    now: int,
    macs: list[str] | None,
) -> None:
    """Around clock changes, for all kinds of sessions and ways to read them. The overlap filter counts the same sessions."""
    zone, day = place
    start = day - timedelta(days=before)
    origin = at(f"{start}T00:00:00")
    rows, selected = [], []
    for n, (mac, minute, duration) in enumerate(sessions):
        began = origin + minute * MINUTE
        ended = began + duration * MINUTE if isinstance(duration, int) else None
        row = {
            **SESSION_DEFAULTS,
            "mac": mac,
            "id": n,
            "ip": "::1",
            "connected_at": began,
            "disconnected_at": ended,
            "info": "",
        }
        row |= {"connection_event": "Connected", "disconnection_event": "Disconnected"}
        if duration == "open":
            row |= {"disconnection_event": None}
            ended = max(began, origin + now * MINUTE)
        elif duration == "no end":
            row |= {"disconnection_event": MISSING_EVENT}
        elif duration == "no start":
            row |= {"connected_at": None, "disconnected_at": began, "connection_event": MISSING_EVENT}
        rows.append(row)
        if macs is None or mac in macs:
            selected.append((mac, began, began if ended is None else ended))
    expected = count_by_minute(selected, bucket_minutes(zone, start, length, bucket))
    sql(shared_database, "DELETE FROM session")
    sql(shared_database, "DELETE FROM device")

    async def main() -> None:
        store = await open_store(shared_database)
        await store.insert_sessions(rows, AUDIT_STAMP)
        context = Context(store, Clock(ZoneInfo(zone), time=lambda: origin + now * MINUTE))
        fields = {"start": str(start), "end": str(start + timedelta(days=length - 1)), "bucket": bucket, "macs": macs}
        query = validate(PresenceQuery, fields, context.clock)
        defaults = presence.FULL_SCAN_SHARE, presence.MAX_SESSIONS_PER_SCAN
        for full_scan_share, max_sessions in (defaults, (ALWAYS, 1000), (ALWAYS, 1), (NEVER, 2)):
            with read_limits(full_scan_share, max_sessions):
                assert await presence.count_presence(context, query) == expected
        for figures in expected[:2] if macs is None else []:
            window = {"since": figures.start, "until": figures.end, "now": context.clock.now()}
            rows_counted = await store.fetch(count_sessions(frozenset({"overlapping"})), window)
            assert [tuple(row) for row in rows_counted] == [(figures.sessions,)]
        await store.close()

    asyncio.run(main())
