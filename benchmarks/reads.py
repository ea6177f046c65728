"""Questions: processor time of a request, the server's against the bare one's; and what the indexes are worth."""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from statistics import median
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from benchmarks import data
from benchmarks.data import cache, today
from benchmarks.figures import Figure
from benchmarks.servers import CLIENT_CORE, CORES, Request, Server, bare_copy, graphql, ours, the_bare
from resolvers.context import Context
from resolvers.presence import presence
from resolvers.validation.clock import Clock
from resolvers.validation.models import PresenceQuery, read
from storage.opening import open_store
from storage.queries.sessions import count
from storage.sqlite.store import bound, connect
from storage.tables import DAY

FIELDS = "id mac ip state connectedAt disconnectedAt connectionEvent durationSeconds"
PAGE = (
    "query Page($n: Int, $after: String) { sessions(first: $n, after: $after) "
    f"{{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)
WEEK = f'query Week($mac: MAC!) {{ deviceSessions(mac: $mac, period: "7 days") {{ {FIELDS} }} }}'
KINDS = ("all", "sessions", "missing", "voided", "new", "down")


def device_of_20(database: Path) -> str:
    """A device of which 20 sessions overlap the last seven days, none of them open."""
    now = time.time_ns() // 1000
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            """SELECT mac FROM session WHERE coalesce(disconnected_at, connected_at) > :since AND starts_at < :until
               GROUP BY mac HAVING count(*) = 20 AND mac NOT IN
               (SELECT mac FROM session WHERE disconnected_at IS NULL AND disconnection_event IS NULL) ORDER BY mac""",
            {"since": now - 7 * DAY, "until": now},
        ).fetchone()
    if found is None:
        raise RuntimeError("no device has just 20 sessions in the last 7 days")
    return str(found[0])


def same(servers: list[Server], requests: list[Request]) -> None:
    """Every request is answered the same, but for the instant of asking: what depends on it is given a second chance."""
    for request in requests:
        answers: list[bytes] = []
        for _ in range(5):
            # A cursor carries the instant at which its list was begun.
            answers = [re.sub(rb"NEWEST\.\d+", b"NEWEST", server.client.ask(request.encoded())) for server in servers]
            if answers[0] == answers[1]:
                break
        else:
            at = next(n for n, pair in enumerate(zip(*answers, strict=False)) if pair[0] != pair[1])
            shown = [answer[max(0, at - 200) : at + 100] for answer in answers]
            raise AssertionError(
                f"{request.path} differs at {at} of {[len(a) for a in answers]}:\n{shown[0]!r}\n{shown[1]!r}"
            )


def per_request(server: Server, requests: list[Request], seconds: float) -> float:
    """Processor time that the server takes for all the requests once, over about so many seconds."""
    encoded = [request.encoded() for request in requests]
    began, used, rounds = time.perf_counter(), server.cpu(), 0
    while rounds == 0 or time.perf_counter() - began < seconds:
        for each in encoded:
            server.client.ask(each)
        rounds += 1
    return (server.cpu() - used) / rounds


def compared(
    name: str, goal: float, beyond: float, servers: list[Server], requests: list[Request], *, quick: bool
) -> Figure:
    """The bare server's time through ours; the servers are handed over in this order."""
    same(servers, requests)
    times = in_turns([(server, requests) for server in servers], quick=quick)
    return figure(name, goal, beyond, "bare", times)


def in_turns(asked: Sequence[tuple[Server, list[Request]]], *, quick: bool) -> list[list[float]]:
    """The processor times of each server, turn by turn."""
    seconds, rounds = (0.8, 3) if quick else (2.0, 5)
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(rounds + 1):
        for (server, requests), taken in zip(asked, times, strict=True):
            measured = per_request(server, requests, seconds if turn else 0.5)
            if turn:  # the first warms up
                taken.append(measured)
    return times


def figure(name: str, goal: float, beyond: float, other: str, times: list[list[float]]) -> Figure:
    """What the times of another server and of ours come to."""
    ratio = median(a / b for a, b in zip(*times, strict=True))
    detail = f"{other} {median(times[0]) * 1000:.3g} ms, ours {median(times[1]) * 1000:.3g} ms of CPU"
    return Figure(name, ratio, goal, beyond, detail)


def reads(quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """Each pair of answers is asserted equal before it is timed."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    database = data.database()
    copy = bare_copy(database)
    device = device_of_20(database)
    start, end = (datetime.fromtimestamp((today() - n * DAY) / 1e6, UTC).date() for n in (30, 0))
    asked: list[tuple[str, float, float, list[Request]]] = [
        ("graphql-1000", 1.2, 2.0, [graphql(PAGE, n=1000)]),
        ("graphql-device-week", 0.45, 0.75, [graphql(WEEK, mac=device)]),
        ("rest-device-week", 0.7, 0.9, [Request("GET", f"/sessions/{quote(device)}?period=7+days")]),
        ("rest-list-1000-utc", 0.9, 1.2, [Request("GET", "/sessions/list?limit=1000")]),
        ("rest-calendar-month", 0.8, 1.0, [Request("GET", f"/sessions/calendar?start={start}&end={end}")]),
        (
            "rest-events-month",
            0.5,
            0.8,
            [Request("GET", f"/sessions/session-events?type={kind}&period=1+month&page=1&limit=100") for kind in KINDS],
        ),
    ]
    if any(wanted(name) for name, *_ in asked):
        with the_bare(copy) as bare, ours(database) as server:
            for name, goal, beyond, requests in asked:
                if wanted(name):
                    yield compared(name, goal, beyond, [bare, server], requests, quick=quick)
    if wanted("rest-list-1000-zone"):
        zone = "Europe/Berlin"
        with the_bare(copy, zone) as bare, ours(database, zone) as server:
            listed = [Request("GET", "/sessions/list?limit=1000")]
            yield compared("rest-list-1000-zone", 0.9, 1.2, [bare, server], listed, quick=quick)
    if wanted("memory-of-a-list"):
        yield memory(database)
    if wanted("overlap-of-a-day"):
        yield overlap(database)
    if wanted("presence-year"):
        yield presence_year("presence-year", f"sqlite:///{database}")
    if wanted("insert"):
        yield insert(database)
    if not quick and any(map(wanted, ("tenfold-page", "tenfold-device-week"))):
        yield from tenfold(database, device)


def memory(database: Path) -> Figure:
    """What the server holds at most while it answers the whole list, above what it held idle."""
    with ours(database) as server:
        server.client.ask(Request("GET", "/sessions/list?limit=10").encoded())
        idle, rows = server.memory(), 0
        tail = b""
        for part in server.client.parts(Request("GET", "/sessions/list").encoded()):
            rows += (tail + part).count(b'"ses_MAC"') - tail.count(b'"ses_MAC"')
            tail = part[-8:]
        if rows != data.DEVICES * data.EACH:
            raise AssertionError(f"the list had {rows} rows")
        above = server.memory(peak=True) - idle
    return Figure("memory-of-a-list", above, 64, 32, f"MB above {idle:.0f} MB, of {rows:,} sessions", at_most=True)


PLAIN = """SELECT count(*) FROM session NOT INDEXED WHERE coalesce(connected_at, disconnected_at) < :until AND (
    coalesce(connected_at, disconnected_at) >= :since OR coalesce(disconnected_at, connected_at) > :since
    OR (disconnected_at IS NULL AND disconnection_event IS NULL AND :now > :since))"""


def overlap(database: Path) -> Figure:
    """How many sessions overlap one day in the middle of the year: our statement against a scan of the same table."""
    since = today() - 183 * DAY
    window = {"since": since, "until": since + DAY, "now": time.time_ns() // 1000}
    with closing(connect(database, read_only=True)) as connection:
        connection.execute("PRAGMA cache_size = -500000")
        sql, parameters = bound(count(frozenset({"overlapping"})), window)
        times: list[list[float]] = [[], []]
        for _ in range(3):
            answers = []
            for statement, given, taken, often in ((PLAIN, window, times[0], 2), (sql, parameters, times[1], 10)):
                for _ in range(often):
                    began = time.perf_counter()
                    answer = connection.execute(statement, given).fetchall()
                    taken.append(time.perf_counter() - began)
                answers.append(answer)
            if answers[0] != answers[1]:
                raise AssertionError(f"a scan finds {answers[0]}, our statement {answers[1]}")
    plain, found = min(times[0]), min(times[1])
    return Figure("overlap-of-a-day", plain / found, 25, 40, f"scan {plain * 1e3:.3g} ms, ours {found * 1e3:.3g} ms")


def presence_year(name: str, url: str) -> Figure:
    """The presence of a year by days: 25 times as long as counting its sessions takes, through the time that it takes.

    Of time that passes, with all processors, as the server has them: its halves are swept beside each other.
    """

    async def timed() -> list[list[float]]:
        store, times = await open_store(url), [[0.0] * 0, [0.0] * 0]
        try:
            context = Context(store, Clock(ZoneInfo("UTC")))
            first, last = (datetime.fromtimestamp((today() - n * DAY) / 1e6, UTC).date() for n in (365, 1))
            query = read(PresenceQuery, {"start": str(first), "end": str(last)}, context.clock)
            for turn in range(10):
                began = time.perf_counter()
                await store.fetch(count(frozenset()), {})
                counted = time.perf_counter()
                found = await presence(context, query)
                if turn:  # the first warms up
                    times[0].append(counted - began)
                    times[1].append(time.perf_counter() - counted)
            for each in found[::73]:
                window = {"since": each.start, "until": each.end, "now": context.clock.now()}
                [(expected,)] = await store.fetch(count(frozenset({"overlapping"})), window)
                if each.sessions != expected:
                    raise AssertionError(f"{each} has not the {expected} sessions that overlap it")
        finally:
            await store.close()
        return times

    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        counting, sweeping = map(min, asyncio.run(timed()))
    finally:
        os.sched_setaffinity(0, own)
    detail = f"count(*) {counting * 1e3:.3g} ms, presence {sweeping * 1e3:.3g} ms: {sweeping / counting:.1f} times"
    return Figure(name, 25 * counting / sweeping, 1, 2, detail)


def insert(database: Path) -> Figure:
    """50,000 sessions more, spread over the year: with our indexes, and with the primary key and (mac, start) alone."""
    rows = [(*row[:1], row[1] + (1 << 20), *row[2:]) for row in data.year(0, today())][::20]
    files = [cache() / f"insert-{name}.db" for name in ("few", "ours")]
    times: list[list[float]] = [[], []]
    try:
        for file in files:
            copyfile(database, file)
        few, all_ = (connect(file, read_only=False) for file in files)
        with closing(few), closing(all_):
            named = few.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'session' AND sql > ''"
            )
            for (name,) in named.fetchall():
                few.execute(f"DROP INDEX {name}")
            few.execute("CREATE INDEX by_device ON session (mac, starts_at)")
            for connection in (few, all_):
                connection.execute("PRAGMA cache_size = -500000")
            for _ in range(5):
                for connection, taken in zip((few, all_), times, strict=True):
                    connection.execute("BEGIN")
                    began = time.process_time()
                    connection.executemany(data.INSERT, rows)
                    taken.append(time.process_time() - began)
                    connection.execute("ROLLBACK")
    finally:
        for file in files:
            file.unlink(missing_ok=True)
    least = [min(taken) for taken in times]
    detail = f"{least[0] / len(rows) * 1e6:.3g} µs with two, {least[1] / len(rows) * 1e6:.3g} µs with ours"
    return Figure("insert", least[0] / least[1], 0.8, 0.95, detail)


def tenfold(database: Path, device: str) -> Iterator[Figure]:
    """Nine more years before the one that is asked of: the same answers, and at most so many times the processor time."""
    with ours(database) as one, ours(data.database(years=10)) as ten:
        first = graphql(PAGE, n=100)
        after: Any = re.search(rb'"endCursor":"([^"]+)"', one.client.ask(first.encoded()))
        pages = [first, graphql(PAGE, n=100, after=after[1].decode())]
        for name, requests in (("tenfold-page", pages), ("tenfold-device-week", [graphql(WEEK, mac=device)])):
            found = compared(name, 0, 0, [ten, one], requests, quick=False)
            detail = found.detail.replace("bare", "10,000,000:").replace("ours", "1,000,000:")
            yield Figure(name, found.value, 1.5, 1.1, detail, at_most=True)
