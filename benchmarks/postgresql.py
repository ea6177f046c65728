"""PostgreSQL: the server against the same by hand on asyncpg, and against PostGraphile; on a PostgreSQL of their own.

Processor time is that of the server and of all of PostgreSQL, which does the half of the work: who lets it do more gains
nothing. PostgreSQL is on no core of its own: its processes go where the system puts them, as they do where it is used.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import orjson

from benchmarks import bare_pg, data
from benchmarks.data import today
from benchmarks.figures import Figure
from benchmarks.postgraphile import installed, the_postgraphile
from benchmarks.reads import PAGE, WEEK, compared, figure, in_turns, presence_year
from benchmarks.servers import CLIENT_CORE, CORES, Request, Server, graphql, ours, processor_time, the_bare_pg
from benchmarks.writes import CLIENTS, CREATE, CREATE_MANY, load, many
from storage.migrations import migrate
from storage.tables import DAY
from tests.support.postgres import Cluster

# Durable as by itself. Autovacuum and checkpoints would count to whoever is asked while they run.
OPTIONS = "-c shared_buffers=1GB -c max_wal_size=4GB -c checkpoint_timeout=1h -c autovacuum=off"

FIELDS = "mac ip state connectedAt disconnectedAt connectionEvent info"
NEWEST = f"query Newest($n: Int) {{ sessions(first: $n) {{ nodes {{ {FIELDS} }} }} }}"
LAST = f"query Last($mac: MAC!) {{ sessions(first: 20, filter: {{macs: [$mac]}}) {{ nodes {{ {FIELDS} }} }} }}"
THEIR_NEWEST = f"""query Newest($n: Int) {{ allSessions(first: $n, orderBy: [STARTS_AT_DESC, ROW_ID_DESC])
    {{ nodes {{ {FIELDS} }} }} }}"""
THEIR_LAST = f"""query Last($mac: String!) {{ allSessions(first: 20, condition: {{mac: $mac}},
    orderBy: [STARTS_AT_DESC, ROW_ID_DESC]) {{ nodes {{ {FIELDS} }} }} }}"""


class Running:
    """The PostgreSQL that is measured, on the disk of the system's temporary folder."""

    def __init__(self) -> None:
        self._cluster = Cluster(OPTIONS)
        self._cluster.make()
        self._cluster.start()
        self._first = int((self._cluster.folder / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def stop(self) -> None:
        """Ends it."""
        self._cluster.stop("immediate")

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its processes and of those that ended."""
        used = processor_time(self._first, of_ended=True)
        for child in Path(f"/proc/{self._first}/task/{self._first}/children").read_text(encoding="ascii").split():
            try:
                used += processor_time(int(child))
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
        return used

    def sql(self, database: str, *statements: str) -> list[Any]:
        """Carries out statements; answers the rows of the last."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self._cluster.url(database))
            try:
                found: list[Any] = []
                for statement in statements:
                    found = await connection.fetch(statement)
                return found
            finally:
                await connection.close()

        return asyncio.run(ask())

    def empty(self, name: str) -> str:
        """A migrated database without rows; its address."""
        self.sql("postgres", f"CREATE DATABASE {name}")
        url = self._cluster.url(name)
        migrate(url)
        return url

    def filled(self, name: str) -> str:
        """A migrated database with the sessions of a year."""

        async def fill() -> None:
            connection = await asyncpg.connect(url)
            try:
                devices = ((data.mac(n),) for n in range(data.DEVICES))
                await connection.copy_records_to_table("device", records=devices, columns=["mac"])
                sessions = data.year(0, today())
                await connection.copy_records_to_table("session", records=sessions, columns=bare_pg.WRITTEN)
                await connection.execute("VACUUM (FREEZE, ANALYZE)")
                await connection.execute("CHECKPOINT")
            finally:
                await connection.close()

        url = self.empty(name)
        asyncio.run(fill())
        return url

    def for_others(self, name: str, source: str) -> str:
        """The same rows with the indexes that the references want; its address."""
        self.sql("postgres", f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        self.sql(name, *bare_pg.INDEXES, "VACUUM (ANALYZE)", "CHECKPOINT")
        return self._cluster.url(name)


@contextmanager
def running() -> Iterator[Running]:
    """PostgreSQL on all cores, and this process on the client's."""
    os.sched_setaffinity(0, CORES)
    with ExitStack() as stack:
        made = Running()
        stack.callback(made.stop)
        os.sched_setaffinity(0, {CLIENT_CORE})
        yield made


def postgresql(quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """Each pair of answers is asserted equal before it is timed."""
    hand, graphile = ("pg-page-1000", "pg-device-week"), ("pg-postgraphile-1000", "pg-postgraphile-20")
    others = ("pg-creates", "pg-create-sessions-10000", "pg-presence-year")
    if not any(map(wanted, (*hand, *graphile, *others))):
        return
    with running() as server:
        if any(map(wanted, (*hand, *graphile))):
            yield from questions(server, hand, graphile, quick=quick, wanted=wanted)
        if wanted("pg-presence-year"):
            yield presence_year("pg-presence-year", server.filled("presence"))
        if wanted("pg-creates"):
            yield created(server, quick=quick)
        if wanted("pg-create-sessions-10000"):
            theirs, mine = server.empty("many_bare"), server.empty("many_ours")
            with the_bare_pg(theirs, server.cpu) as bare, ours(mine, also=server.cpu) as started:
                request = graphql(CREATE_MANY, input=many())
                yield compared("pg-create-sessions-10000", 0.5, 0.7, [bare, started], [request], quick=quick)


def questions(
    server: Running, hand: tuple[str, ...], graphile: tuple[str, ...], *, quick: bool, wanted: Callable[[str], bool]
) -> Iterator[Figure]:
    """What is read: our server has the database as it was migrated, the others a copy with indexes of their own."""
    mine = server.filled("bench")
    theirs = server.for_others("bench_bare", "bench")
    device = device_of_20(server, "bench")
    if any(map(wanted, hand)):
        asked = ((0.9, 1.2, graphql(PAGE, n=1000)), (0.5, 0.75, graphql(WEEK, mac=device)))
        with the_bare_pg(theirs, server.cpu) as bare, ours(mine, also=server.cpu) as started:
            for name, (goal, beyond, request) in zip(hand, asked, strict=True):
                if wanted(name):
                    yield compared(name, goal, beyond, [bare, started], [request], quick=quick)
    if not any(map(wanted, graphile)):
        return
    folder = installed()
    if folder is None:
        print("PostGraphile cannot be installed here: npm is missing, or failed; its figures are left out.")  # noqa: T201
        return
    same = (
        (graphql(THEIR_NEWEST, n=1000), graphql(NEWEST, n=1000), graphql(PAGE, n=1000)),
        (graphql(THEIR_LAST, mac=device), graphql(LAST, mac=device), graphql(LAST, mac=device)),
    )
    with ExitStack() as stack:
        other = stack.enter_context(the_postgraphile(folder, theirs, server.cpu))
        started = stack.enter_context(ours(mine, also=server.cpu))
        bare = stack.enter_context(the_bare_pg(theirs, server.cpu))
        for name, (their, own, by_hand) in zip(graphile, same, strict=True):
            if wanted(name):
                same_rows(other, started, their, own, rows=int(name.rpartition("-")[2]))
                *times, least = in_turns([(other, [their]), (started, [own]), (bare, [by_hand])], quick=quick)
                found = figure(name, 2.0, 3.0, "PostGraphile", times)
                # How far it is to the end: what no check, no token and no schema between would take.
                detail = f"{found.detail}; {median(least) * 1000:.3g} ms by hand"
                yield replace(found, detail=detail)


def device_of_20(server: Running, database: str) -> str:
    """A device of which 20 sessions overlap the last seven days, none of them open."""
    now = time.time_ns() // 1000
    found = server.sql(
        database,
        f"""SELECT mac FROM session WHERE coalesce(disconnected_at, connected_at) > {now - 7 * DAY} AND starts_at < {now}
            GROUP BY mac HAVING count(*) = 20 AND mac NOT IN
            (SELECT mac FROM session WHERE disconnected_at IS NULL AND disconnection_event IS NULL)
            ORDER BY mac LIMIT 1""",
    )
    if not found:
        raise RuntimeError("no device has just 20 sessions in the last 7 days")
    return str(found[0][0])


def same_rows(other: Server, started: Server, theirs: Request, mine: Request, *, rows: int) -> None:
    """The two answer the same fields of the same rows. PostGraphile shows instants as the table has them."""

    def instant(microseconds: str | None) -> str | None:
        if microseconds is None:
            return None
        return datetime.fromtimestamp(int(microseconds) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    found = orjson.loads(other.client.ask(theirs.encoded()))["data"]["allSessions"]["nodes"]
    for row in found:
        row |= {name: instant(row[name]) for name in ("connectedAt", "disconnectedAt")}
    own = orjson.loads(started.client.ask(mine.encoded()))["data"]["sessions"]["nodes"]
    if len(own) != rows or found != own:
        differing = next((pair for pair in zip(found, own, strict=False) if pair[0] != pair[1]), None)
        raise AssertionError(f"PostGraphile answers {len(found)} rows, ours {len(own)}; differing: {differing}")


def created(server: Running, *, quick: bool) -> Figure:
    """Creates a second, each acknowledged when it is durable, and each of them there afterwards."""
    request = graphql(
        CREATE,
        input={
            "mac": "02:00:5E:10:00:01",
            "ip": "10.0.0.1",
            "startTime": "2026-08-01T10:00:00Z",
            "endTime": "2026-08-01T12:00:00Z",
        },
    ).encoded()
    names, rates, acknowledged = ("creates_bare", "creates_ours"), ([0.0] * 0, [0.0] * 0), [1, 1]
    used: list[list[float]] = [[], []]
    urls = [server.empty(name) for name in names]
    with the_bare_pg(urls[0], server.cpu) as bare, ours(urls[1], also=server.cpu) as started:
        servers = (bare, started)
        answers = [re.sub(rb"S:([^\"]+):\d+", rb"S:\1:ID", each.client.ask(request)) for each in servers]
        if answers[0] != answers[1]:
            raise AssertionError(f"a create is answered differently: {answers}")
        for turn in range(4 if quick else 6):
            for n, each in enumerate(servers):
                seconds = 3.0 if turn else 1.0
                before = each.cpu()
                answered = load(each, request, seconds)
                acknowledged[n] += answered
                if turn:
                    rates[n].append(answered / seconds)
                    used[n].append((each.cpu() - before) / (answered + CLIENTS))
    for name, expected in zip(names, acknowledged, strict=True):
        kept = server.sql(name, "SELECT count(*) FROM session")[0][0]
        if kept < expected:
            raise AssertionError(f"{name} holds {kept} of {expected} acknowledged sessions")
    ratio = median(b / a for a, b in zip(*rates, strict=True))
    spent = [median(each) * 1e6 for each in used]
    detail = (
        f"bare {median(rates[0]):,.0f}/s, ours {median(rates[1]):,.0f}/s at {CLIENTS} clients; "
        f"{spent[0]:.0f} and {spent[1]:.0f} µs of CPU each"
    )
    return Figure("pg-creates", ratio, 0.5, 1.0, detail)
