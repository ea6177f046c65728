"""Figures of reads: processor time of requests compared with the bare server's, and the effect of the indexes."""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from benchmarks import data
from benchmarks.data import cache_folder, data_end, day
from benchmarks.figures import Figure
from benchmarks.measure import compare
from benchmarks.servers import (
    CLIENT_CORE,
    CORES,
    Request,
    bare_server,
    database_for_bare,
    graphql_request,
    netsessions_server,
)
from resolvers.context import Context
from resolvers.presence import count_presence
from resolvers.validation.clock import Clock
from resolvers.validation.models import PresenceQuery, validate
from storage.opening import open_store
from storage.queries.sessions import count_sessions
from storage.sqlite.connection import bind, connect
from storage.tables import DAY, HOUR

FIELDS = "id mac ip state connectedAt disconnectedAt connectionEvent durationSeconds"
PAGE = (
    "query Page($n: Int, $after: String) { sessions(first: $n, after: $after) "
    f"{{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)
WEEK = f'query Week($mac: MAC!) {{ deviceSessions(mac: $mac, period: "7 days") {{ {FIELDS} }} }}'
EVENT_KINDS = ("all", "sessions", "missing", "voided", "new", "down")

# A device with 20 sessions that overlap the last seven days, none of them connected. None of them ends in the first hours
# of the seven days, so that it still has 20 when the requests are sent.
DEVICE_WITH_20_SESSIONS = """SELECT mac FROM session
    WHERE coalesce(disconnected_at, connected_at) > {since} AND starts_at < {until}
    GROUP BY mac HAVING count(*) = 20 AND min(coalesce(disconnected_at, connected_at)) > {since} + {margin}
    AND mac NOT IN (SELECT mac FROM session WHERE disconnected_at IS NULL AND disconnection_event IS NULL)
    ORDER BY mac LIMIT 1"""


def device_query() -> str:
    """Return the SQL statement that finds a device with 20 sessions in the last seven days."""
    now = time.time_ns() // 1000
    return DEVICE_WITH_20_SESSIONS.format(since=now - 7 * DAY, until=now, margin=3 * HOUR)


def device_with_20_sessions(database: Path) -> str:
    """Return the MAC address of such a device. Raise RuntimeError if there is none."""
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(device_query()).fetchone()
    if row is None:
        raise RuntimeError("no device has exactly 20 sessions in the last 7 days")
    return str(row[0])


def read_figures(quick: bool, selected: Callable[[str], bool]) -> Iterator[Figure]:
    """Yield the selected figures of reads on SQLite."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    database = data.sqlite_database()
    copy = database_for_bare(database)
    device = device_with_20_sessions(database)
    comparisons: list[tuple[str, float, float, list[Request]]] = [
        ("graphql-1000", 1.2, 2.0, [graphql_request(PAGE, n=1000)]),
        ("graphql-device-week", 0.45, 0.75, [graphql_request(WEEK, mac=device)]),
        ("rest-device-week", 0.7, 0.9, [Request("GET", f"/sessions/{quote(device)}?period=7+days")]),
        ("rest-list-1000-utc", 0.9, 1.2, [Request("GET", "/sessions/list?limit=1000")]),
        ("rest-calendar-month", 0.8, 1.0, [Request("GET", f"/sessions/calendar?start={day(30)}&end={day(1)}")]),
        (
            "rest-events-month",
            0.5,
            0.8,
            [
                Request("GET", f"/sessions/session-events?type={kind}&period=1+month&page=1&limit=100")
                for kind in EVENT_KINDS
            ],
        ),
    ]
    if any(selected(name) for name, *_ in comparisons):
        with bare_server(copy) as bare, netsessions_server(database) as server:
            for name, goal, stretch_goal, requests in comparisons:
                if selected(name):
                    yield compare(name, goal, stretch_goal, [bare, server], requests, quick=quick)
    if selected("rest-list-1000-zone"):
        zone = "Europe/Berlin"
        with bare_server(copy, zone) as bare, netsessions_server(database, zone) as server:
            requests = [Request("GET", "/sessions/list?limit=1000")]
            yield compare("rest-list-1000-zone", 0.9, 1.2, [bare, server], requests, quick=quick)
    if selected("memory-of-a-list"):
        yield memory_of_a_list(database)
    if selected("overlap-of-a-day"):
        yield overlap_of_a_day(database)
    if selected("presence-year"):
        yield presence_year("presence-year", f"sqlite:///{database}")
    if selected("insert"):
        yield insert(database)
    if not quick and any(map(selected, ("tenfold-page", "tenfold-device-week"))):
        yield from tenfold(database, device)


def memory_of_a_list(database: Path) -> Figure:
    """Measure the peak memory of the server while it streams the whole list, above its idle memory."""
    with netsessions_server(database) as server:
        server.client.request(Request("GET", "/sessions/list?limit=10").encode())
        idle, rows = server.memory(), 0
        tail = b""
        server.client.send(Request("GET", "/sessions/list").encode())
        for chunk in server.client.receive():
            rows += (tail + chunk).count(b'"ses_MAC"') - tail.count(b'"ses_MAC"')
            tail = chunk[-8:]
        if rows != data.DEVICES * data.SESSIONS_PER_DEVICE:
            raise AssertionError(f"the list had {rows} rows")
        above = server.memory(peak=True) - idle
    return Figure("memory-of-a-list", above, 64, 32, f"MB above {idle:.0f} MB, of {rows:,} sessions", at_most=True)


SCAN = """SELECT count(*) FROM session NOT INDEXED WHERE coalesce(connected_at, disconnected_at) < :until AND (
    coalesce(connected_at, disconnected_at) >= :since OR coalesce(disconnected_at, connected_at) > :since
    OR (disconnected_at IS NULL AND disconnection_event IS NULL AND :now > :since))"""


def overlap_of_a_day(database: Path) -> Figure:
    """Count the sessions that overlap one day in the middle of the year: our statement against a table scan."""
    since = data_end() - 183 * DAY
    window = {"since": since, "until": since + DAY, "now": time.time_ns() // 1000}
    with closing(connect(database, read_only=True)) as connection:
        connection.execute("PRAGMA cache_size = -500000")
        sql, parameters = bind(count_sessions(frozenset({"overlapping"})), window)
        times: list[list[float]] = [[], []]
        for _ in range(3):
            counts = []
            workloads = ((SCAN, window, times[0], 2), (sql, parameters, times[1], 10))
            for statement, bindings, measured, repetitions in workloads:
                for _ in range(repetitions):
                    start = time.perf_counter()
                    rows = connection.execute(statement, bindings).fetchall()
                    measured.append(time.perf_counter() - start)
                counts.append(rows)
            if counts[0] != counts[1]:
                raise AssertionError(f"a scan counts {counts[0]}, our statement {counts[1]}")
    scan, ours = min(times[0]), min(times[1])
    return Figure("overlap-of-a-day", scan / ours, 25, 40, f"scan {scan * 1e3:.3g} ms, ours {ours * 1e3:.3g} ms")


def presence_year(name: str, url: str) -> Figure:
    """Compare the presence of a year by days with 25 times the duration of counting all sessions.

    This is wall-clock time on all cores: the two halves of the year are computed in parallel.
    """

    async def measure() -> list[list[float]]:
        store, times = await open_store(url), [[0.0] * 0, [0.0] * 0]
        try:
            context = Context(store, Clock(ZoneInfo("UTC")))
            query = validate(PresenceQuery, {"start": str(day(365)), "end": str(day(1))}, context.clock)
            for repetition in range(10):
                start = time.perf_counter()
                await store.fetch(count_sessions(frozenset()), {})
                counted = time.perf_counter()
                buckets = await count_presence(context, query)
                if repetition:  # the first one warms up
                    times[0].append(counted - start)
                    times[1].append(time.perf_counter() - counted)
            for bucket in buckets[::73]:
                window = {"since": bucket.start, "until": bucket.end, "now": context.clock.now()}
                [(expected,)] = await store.fetch(count_sessions(frozenset({"overlapping"})), window)
                if bucket.sessions != expected:
                    raise AssertionError(f"{bucket} does not have the {expected} sessions that overlap it")
        finally:
            await store.close()
        return times

    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        counting, computing = map(min, asyncio.run(measure()))
    finally:
        os.sched_setaffinity(0, own)
    detail = f"count(*) {counting * 1e3:.3g} ms, presence {computing * 1e3:.3g} ms: {computing / counting:.1f} times"
    return Figure(name, 25 * counting / computing, 1, 2, detail)


def insert(database: Path) -> Figure:
    """Insert 50,000 more sessions, spread over the year: with only the primary key and (mac, start), and with our indexes."""
    rows = [(mac, id + (1 << 20), *others) for mac, id, *others in data.sessions_of_year()][::20]  # noqa: A001
    files = [cache_folder() / f"insert-{name}.db" for name in ("two-indexes", "our-indexes")]
    times: list[list[float]] = [[], []]
    try:
        for file in files:
            copyfile(database, file)
        two_indexes, our_indexes = (connect(file, read_only=False) for file in files)
        with closing(two_indexes), closing(our_indexes):
            names = two_indexes.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'session' AND sql > ''"
            )
            for (name,) in names.fetchall():
                two_indexes.execute(f"DROP INDEX {name}")
            two_indexes.execute("CREATE INDEX by_device ON session (mac, starts_at)")
            for connection in (two_indexes, our_indexes):
                connection.execute("PRAGMA cache_size = -500000")
            for _ in range(5):
                for connection, measured in zip((two_indexes, our_indexes), times, strict=True):
                    connection.execute("BEGIN")
                    start = time.process_time()
                    connection.executemany(data.INSERT, rows)
                    measured.append(time.process_time() - start)
                    connection.execute("ROLLBACK")
    finally:
        for file in files:
            file.unlink(missing_ok=True)
    two, ours = (min(measured) for measured in times)
    detail = f"{two / len(rows) * 1e6:.3g} µs with two, {ours / len(rows) * 1e6:.3g} µs with ours"
    return Figure("insert", two / ours, 0.8, 0.95, detail)


def tenfold(database: Path, device: str) -> Iterator[Figure]:
    """Compare ten years of sessions with one: equal answers, and a bound on the ratio of processor times."""
    with netsessions_server(database) as one, netsessions_server(data.sqlite_database(years=10)) as ten:
        first = graphql_request(PAGE, n=100)
        cursor: Any = re.search(rb'"endCursor":"([^"]+)"', one.client.request(first.encode()))
        pages = [first, graphql_request(PAGE, n=100, after=cursor[1].decode())]
        for name, requests in (("tenfold-page", pages), ("tenfold-device-week", [graphql_request(WEEK, mac=device)])):
            figure = compare(name, 0, 0, [ten, one], requests, quick=False)
            detail = figure.detail.replace("bare", "10,000,000:").replace("ours", "1,000,000:")
            yield Figure(name, figure.value, 1.5, 1.1, detail, at_most=True)
