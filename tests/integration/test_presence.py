"""How present devices were: every bucket holds what counting by hand finds in it."""

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

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers import presence
from resolvers.context import Context
from resolvers.presence import Bucket, swept
from resolvers.validation import models as inputs
from resolvers.validation.clock import Clock
from storage.opening import open_store
from storage.queries.presence import FLOOR, Stays, unpacked
from storage.queries.sessions import count
from storage.tables import MISSING, SECOND
from tests.conftest import DATABASES, MAC, TOLD, Ask, at, new_database, run, sql

MINUTE = 60 * SECOND
OTHER, THIRD = "02:00:5E:10:00:01", "02:00:5E:10:0A:01"
CREATE = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
PRESENCE = """query($start: Date!, $end: Date!, $bucket: PresenceBucketSize, $macs: [MAC!]) {
    presence(start: $start, end: $end, bucket: $bucket, macs: $macs) {
        start end onlineSeconds sessions devices peak } }"""


def record(ask: Ask, *stays: tuple[str, str | None, str | None], **more: Any) -> None:
    """Sessions of a MAC from a time to another; without the first only the end was seen, without the second it is open."""
    new = []
    for mac, start, end in stays:
        seen: dict[str, Any] = {"startTime": start} if start else {"startTime": None, "eventTypeConn": MISSING}
        new.append({"mac": mac, "ip": "10.0.0.1", "endTime": end} | seen | more)
    assert ask(CREATE, input=new)["data"]


def days(ask: Ask, start: str, end: str, **more: Any) -> list[tuple[float, int, int, int]]:
    """Of each bucket: hours online, sessions, devices, peak."""
    found = ask(PRESENCE, start=start, end=end, **more)["data"]["presence"]
    return [(b["onlineSeconds"] / 3600, b["sessions"], b["devices"], b["peak"]) for b in found]


def test_each_day_tells_who_was_there_and_for_how_long(ask: Ask) -> None:
    """Days are both included, empty ones too, and a session over midnight is of both its days."""
    record(ask, (MAC, "2025-08-01T22:00", "2025-08-02T03:00"), (OTHER, "2025-08-02T01:00", "2025-08-02T02:00"))
    assert days(ask, "2025-07-31", "2025-08-03") == [
        (0, 0, 0, 0),
        (2, 1, 1, 1),
        (4, 2, 2, 2),
        (0, 0, 0, 0),
    ]
    [bucket] = ask(PRESENCE, start="2025-08-01", end="2025-08-01")["data"]["presence"]
    assert (bucket["start"], bucket["end"]) == ("2025-08-01T00:00:00Z", "2025-08-02T00:00:00Z")


def test_an_hour_is_a_bucket_where_it_is_asked_for(ask: Ask) -> None:
    """24 to a day, and a session is split where one ends."""
    record(ask, (MAC, "2025-08-01T10:45", "2025-08-01T12:15"))
    found = days(ask, "2025-08-01", "2025-08-01", bucket="HOUR")
    assert len(found) == 24
    assert found[9:14] == [(0, 0, 0, 0), (0.25, 1, 1, 1), (1, 1, 1, 1), (0.25, 1, 1, 1), (0, 0, 0, 0)]


def test_a_device_in_two_sessions_at_once_is_one_device(ask: Ask) -> None:
    """Its sessions each count, and each adds its time."""
    record(ask, (MAC, "2025-08-01T10:00", "2025-08-01T12:00"), (MAC, "2025-08-01T11:00", "2025-08-01T13:00"))
    assert days(ask, "2025-08-01", "2025-08-01") == [(4, 2, 1, 1)]


def test_whoever_leaves_as_another_comes_does_not_meet_it(ask: Ask) -> None:
    """A peak of two takes two at one moment."""
    record(ask, (MAC, "2025-08-01T10:00", "2025-08-01T11:00"), (OTHER, "2025-08-01T11:00", "2025-08-01T12:00"))
    assert days(ask, "2025-08-01", "2025-08-01") == [(2, 2, 2, 1)]


def test_what_is_open_counts_until_now(ask: Ask) -> None:
    """Now is noon of 20 August; one that is to start later is there at its start alone, for no time."""
    record(ask, (MAC, "2025-08-19T18:00", None), (OTHER, "2025-08-21T09:00", None))
    assert days(ask, "2025-08-19", "2025-08-22") == [(6, 1, 1, 1), (12, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 0)]


def test_a_session_half_seen_is_there_at_the_end_that_was_seen(ask: Ask) -> None:
    """It counts, for no time: at midnight, for the day that begins; together with others, for the peak."""
    record(ask, (MAC, None, "2025-08-02T00:00"))
    record(ask, (OTHER, "2025-08-03T12:00", None), eventTypeDisc=MISSING)
    record(ask, (MAC, "2025-08-03T11:00", "2025-08-03T12:30"), (THIRD, "2025-08-03T12:00", "2025-08-03T12:00"))
    assert days(ask, "2025-08-01", "2025-08-03") == [(0, 0, 0, 0), (0, 1, 1, 1), (1.5, 3, 3, 3)]


def test_a_session_is_split_at_the_microsecond(ask: Ask) -> None:
    """What lasts for three has one of them before midnight."""
    record(ask, (MAC, "2025-08-01T23:59:59.999999", "2025-08-02T00:00:00.000002"))
    found = ask(PRESENCE, start="2025-08-01", end="2025-08-02")["data"]["presence"]
    assert [bucket["onlineSeconds"] for bucket in found] == [0.000001, 0.000002]


def test_only_the_devices_that_are_asked_for_count(ask: Ask) -> None:
    """One, several, in any notation and twice, or none at all."""
    record(ask, *((mac, "2025-08-01T10:00", "2025-08-01T11:00") for mac in (MAC, OTHER, THIRD)))
    asked = {
        (MAC,): (1, 1, 1, 1),
        ("aa-bb-cc-dd-ee-ff", MAC, OTHER): (2, 2, 2, 2),
        ("00:00:00:00:00:00",): (0, 0, 0, 0),
        (): (0, 0, 0, 0),
    }
    for macs, expected in asked.items():
        assert days(ask, "2025-08-01", "2025-08-01", macs=macs) == [expected]
    assert days(ask, "2025-08-01", "2025-08-01", macs=None) == [(3, 3, 3, 3)]


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
def test_a_day_has_the_hours_that_pass_in_it(ask: Ask, zone: str, day: str, hours: list[float]) -> None:
    """Where clocks change by half an hour, the day's last is half an hour; who is there all day is there for all of it."""
    record(ask, (MAC, "2024-12-31T00:00", "2025-12-31T00:00"))
    assert [found[0] for found in days(ask, day, day, bucket="HOUR")] == hours
    assert days(ask, day, day) == [(sum(hours), 1, 1, 1)]


@pytest.mark.parametrize("zone", ["Pacific/Apia"])
def test_a_day_that_a_zone_left_out_has_no_bucket(ask: Ask, zone: str) -> None:
    """Samoa went from the 29th to the 31st."""
    for bucket, expected in (("DAY", 2), ("HOUR", 48)):
        found = ask(PRESENCE, start="2011-12-29", end="2011-12-31", bucket=bucket)["data"]["presence"]
        assert len(found) == expected
        assert all(one["end"] == next_["start"] for one, next_ in pairwise(found))


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"end": "2025-07-31"}, "end", "end: is before start"),
        ({"end": "2052-12-17"}, "end", "end: is more than 10000 buckets away from start; name an earlier day"),
        ({"end": "2026-09-21", "bucket": "HOUR"}, "end", "an earlier day, or ask for days"),
        ({"end": "2025-08-01T10:00"}, "end", "is not a day; write it as 2025-08-01"),
        ({"start": "2025-02-30"}, "start", "is not a day that exists: day is out of range for month"),
        ({"macs": [MAC, "AA:BB"]}, "macs.1", "'AA:BB' is not a MAC address; write it as AA:BB:CC:DD:EE:FF"),
    ],
)
def test_bad_input_names_the_field_and_the_way_out(ask: Ask, changed: dict[str, Any], field: str, words: str) -> None:
    """A mistake is answered with its field and what to write instead."""
    [error] = ask(PRESENCE, **{"start": "2025-08-01", "end": "2025-08-01"} | changed)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"].endswith(words)


@pytest.mark.parametrize("macs", [None, [], [OTHER]])
def test_what_nobody_was_there_for_is_zeros(context: Context, ask: Ask, macs: list[str] | None) -> None:
    """Whole ones, as all other numbers are: in an empty store, for no device, and for one without sessions."""
    if macs is not None:
        record(ask, (MAC, "2025-08-01T10:00", "2025-08-01T12:00"))
    given = {"start": "2025-08-01", "end": "2025-08-01", "bucket": "day", "macs": macs}
    [found] = run(presence.presence(context, inputs.read(inputs.PresenceQuery, given, context.clock)))
    assert [*map(repr, found[2:])] == ["0"] * 4


def test_ten_thousand_buckets_are_answered(ask: Ask) -> None:
    """The most that may be asked for, as days and as hours."""
    assert len(days(ask, "2025-08-01", "2052-12-16")) == 10_000
    assert len(days(ask, "2025-08-01", "2026-09-20", bucket="HOUR")) == 9_984


def test_the_sweep_keeps_no_other_request_waiting(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in a thread beside the event loop."""
    threads = []

    def noted(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return swept(*arguments)

    async def loop() -> int:
        return threading.get_ident()

    record(ask, (MAC, "2025-08-01T10:00", "2025-08-01T11:00"))
    monkeypatch.setattr(presence, "swept", noted)
    assert days(ask, "2025-08-01", "2025-08-01") == [(1, 1, 1, 1)]
    assert len(threads) == 1
    assert threads != [run(loop())]


@given(st.lists(st.tuples(st.integers(0, 9 * FLOOR - FLOOR - 1), st.binary(min_size=6, max_size=6))))
def test_columns_are_read_as_they_were_written(rows: list[tuple[int, bytes]]) -> None:
    """Numbers as digits and as bytes; two addresses are the same number only where they are the same."""
    digits = "".join(str(number + FLOOR) for number, _ in rows).encode()
    packed = b"".join((number + FLOOR).to_bytes(8, "big") for number, _ in rows)
    read = unpacked((digits, packed, "".join(mac.hex(":").upper() for _, mac in rows).encode()))
    assert read.starts.tolist() == read.ends.tolist() == [number for number, _ in rows]
    assert [int(number).to_bytes(8, "little")[:6] for number in read.devices] == [mac for _, mac in rows]


@settings(max_examples=300)
@given(
    stays=st.lists(st.tuples(st.sampled_from([1, 2, 2**16, 2**33, 2**48 - 1]), st.integers(0, 29), st.integers(0, 9))),
    cuts=st.sets(st.integers(1, 29)),
    largest=st.sampled_from([presence.LARGEST, 64]),
)
@example(stays=[(1, 0, 9), (1, 2, 2), (1, 9, 0), (2, 9, 3)], cuts={9}, largest=64)
@example(stays=[(1, 0, 0)], cuts=set(), largest=64)
def test_the_sweep_finds_what_a_look_at_every_moment_finds(
    stays: list[tuple[int, int, int]], cuts: set[int], largest: int
) -> None:
    """In buckets of any length, with sessions that are instants, overlap, meet, or share their ends."""
    edges = [0, *sorted(cuts), 30]
    sessions = [(device, start, min(start + length, 30)) for device, start, length in stays]

    def there(moment: int) -> list[int]:
        return [n for n, (_, s, e) in enumerate(sessions) if s <= moment < e or s == e == moment]

    expected = []
    for since, until in pairwise(edges):
        moments = [there(moment) for moment in range(since, until)]
        seen = {n for found in moments for n in found}
        online = sum(sessions[n][1] < sessions[n][2] for found in moments for n in found)
        peak = max(len({sessions[n][0] for n in found}) for found in moments)
        expected.append([online, len(seen), len({sessions[n][0] for n in seen}), peak])
    devices, starts, ends = np.array(sessions, np.int64).reshape(-1, 3).T
    columns = Stays(starts.copy(), ends.copy(), devices.astype(np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "LARGEST", largest)
        assert swept(columns, np.array(edges)).T.tolist() == expected


@pytest.fixture(scope="module", params=DATABASES)
def emptied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that each example empties."""
    return new_database(request.param, tmp_path_factory.mktemp("emptied"))


@cache
def minutes(zone: str, start: date, count: int, bucket: str) -> list[list[int]]:
    """The instants of the whole minutes of each bucket: as many as a clock in the zone shows one date; hours, 60 each."""
    tz, first = ZoneInfo(zone), datetime(start.year, start.month, start.day, tzinfo=UTC) - timedelta(days=1)
    every = [first + timedelta(minutes=n) for n in range((count + 2) * 1440)]
    found = []
    for day, of_day in groupby(every, lambda moment: moment.astimezone(tz).date()):
        if start <= day < start + timedelta(days=count):
            moments = [int(moment.timestamp()) * SECOND for moment in of_day]
            length = 60 if bucket == "hour" else len(moments)
            found += [moments[n : n + length] for n in range(0, len(moments), length)]
    return found


Stay = tuple[str, int, int | str]  # MAC, minute of an end, and how many minutes on the other one lies, or what it is


def counted(stays: list[tuple[str, int, int]], buckets: list[list[int]]) -> list[Bucket]:
    """What a look at every minute finds. All sessions begin and end on one."""
    there: defaultdict[int, set[int]] = defaultdict(set)
    for n, (_, start, end) in enumerate(stays):
        for moment in range(start, max(end, start + 1), MINUTE):
            there[moment].add(n)
    found = []
    for moments in buckets:
        seen = {n for moment in moments for n in there[moment]}
        online = sum(MINUTE for moment in moments for n in there[moment] if stays[n][2] > moment)
        peak = max(len({stays[n][0] for n in there[moment]}) for moment in moments)
        devices = len({stays[n][0] for n in seen})
        found.append(Bucket(moments[0], moments[-1] + MINUTE, online, len(seen), devices, peak))
    return found


@contextmanager
def read_so(scanned: float, most: int) -> Iterator[None]:
    """From which part on the table is scanned, and how many sessions are read at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "SCANNED", scanned)
        patch.setattr(presence, "MOST_AT_ONCE", most)
        yield


CHANGES = [
    ("Europe/Berlin", date(2025, 3, 30)),
    ("Europe/Berlin", date(2025, 10, 26)),
    ("Australia/Lord_Howe", date(2025, 4, 6)),
    ("Australia/Lord_Howe", date(2025, 10, 5)),
    ("Asia/Kathmandu", date(2025, 10, 5)),
    ("UTC", date(2025, 10, 5)),
]
ALWAYS, NEVER = -1e9, 1e9
quarters = st.integers(-100, 400).map(lambda n: 15 * n)  # often the same instants, and the edges of buckets

lengths = st.integers(0, 8).map(lambda n: 15 * n)


@settings(max_examples=60, deadline=None)
@given(
    stays=st.lists(
        st.tuples(
            st.sampled_from([MAC, OTHER, THIRD]),
            st.one_of(quarters, st.integers(-1500, 6000)),
            st.one_of(lengths, st.integers(0, 4000), st.sampled_from(["open", "no end", "no start"])),
        ),
        max_size=12,
    ),
    where=st.sampled_from(CHANGES),
    before=st.integers(0, 1),
    length=st.integers(1, 3),
    bucket=st.sampled_from(["hour", "day"]),
    now=st.integers(-1500, 6000),
    macs=st.one_of(st.none(), st.lists(st.sampled_from([MAC, OTHER, THIRD]), max_size=3)),
)  # fmt: skip
def test_every_bucket_holds_what_counting_by_the_minute_finds(
    emptied: str,
    stays: list[Stay],
    where: tuple[str, date],
    before: int,
    length: int,
    bucket: str,
    now: int,
    macs: list[str] | None,
) -> None:
    """Around changes of clocks, for sessions of every kind, however they are read; and as the filter by overlap counts."""
    zone, day = where
    start = day - timedelta(days=before)
    origin = at(f"{start}T00:00:00")
    rows, seen = [], []
    for n, (mac, minute, other) in enumerate(stays):
        began = origin + minute * MINUTE
        ended = began + other * MINUTE if isinstance(other, int) else None
        row = {"mac": mac, "id": n, "ip": "::1", "connected_at": began, "disconnected_at": ended, "info": ""}
        row |= {"connection_event": "Connected", "disconnection_event": "Disconnected", "live": 0, "seen_at": None}
        if other == "open":
            row |= {"disconnection_event": None}
            ended = max(began, origin + now * MINUTE)
        elif other == "no end":
            row |= {"disconnection_event": MISSING}
        elif other == "no start":
            row |= {"connected_at": None, "disconnected_at": began, "connection_event": MISSING}
        rows.append(row)
        if macs is None or mac in macs:
            seen.append((mac, began, began if ended is None else ended))
    expected = counted(seen, minutes(zone, start, length, bucket))
    sql(emptied, "DELETE FROM session")
    sql(emptied, "DELETE FROM device")

    async def main() -> None:
        store = await open_store(emptied)
        await store.record(rows, TOLD)
        context = Context(store, Clock(ZoneInfo(zone), time=lambda: origin + now * MINUTE))
        given = {"start": str(start), "end": str(start + timedelta(days=length - 1)), "bucket": bucket, "macs": macs}
        query = inputs.read(inputs.PresenceQuery, given, context.clock)
        for scanned, most in ((presence.SCANNED, presence.MOST_AT_ONCE), (ALWAYS, 1000), (ALWAYS, 1), (NEVER, 2)):
            with read_so(scanned, most):
                assert await presence.presence(context, query) == expected
        for found in expected[:2] if macs is None else []:
            window = {"since": found.start, "until": found.end, "now": context.clock.now()}
            assert [tuple(row) for row in await store.fetch(count(frozenset({"overlapping"})), window)] == [
                (found.sessions,)
            ]
        await store.close()

    asyncio.run(main())


NOBODY: Any = None  # an estimate asks no store


@pytest.mark.parametrize(
    ("macs", "window", "part"),
    [
        (None, (1000, 1100), 1.0),
        (None, (-5000, 5000), 1.0),
        (None, (1050, 1100), 0.5),
        (None, (0, 1025), 0.25),
        (None, (1100, 1200), 0.0),
        (None, (0, 1000), 0.0),
        ([MAC], (1000, 1100), 0.25),
        ([MAC, OTHER], (1000, 1050), 0.25),
        ([MAC] * 9, (1000, 1100), 1.0),
    ],
)
def test_what_a_window_asks_for_is_estimated(macs: list[str] | None, window: tuple[int, int], part: float) -> None:
    """By its length, where the store has sessions, and by how many of its devices are asked for."""
    asked = presence._Asked(NOBODY, {}, macs, first=1000, last=1099, devices=4)
    assert asked.share(*window) == pytest.approx(part)


def test_what_is_estimated_of_a_store_without_devices_is_no_division_by_nothing() -> None:
    """Of one device neither: that is all there is."""
    for devices in (0, 1):
        assert presence._Asked(NOBODY, {}, [MAC], first=7, last=7, devices=devices).share(0, 100) == 1


def test_what_is_of_one_device_stays_in_its_order() -> None:
    """Of many sessions, too, which are sorted in another way than a few."""
    devices = np.array([2**33, 1, 2**16, 2**16 + 1, 1] * 500, np.uint64)
    assert presence._by_device(devices).tolist() == sorted(range(len(devices)), key=devices.tolist().__getitem__)


def test_a_sum_of_long_stays_is_exact() -> None:
    """More microseconds than a float holds one by one."""
    n, length = 300_000, 86_400 * SECOND
    columns = Stays(np.arange(n) % 7, np.full(n, length - 3), np.arange(n).astype(np.uint64))
    online, sessions, devices, peak = swept(columns, np.array([0, length // 3, length])).tolist()
    early = sum(length // 3 - k % 7 for k in range(n))
    assert online == [early, n * (length - 3 - length // 3)]
    assert sessions == devices == peak == [n, n]
    assert sum(online) > 2**53
