"""Figures on PostgreSQL: the server compared with a bare one on asyncpg, and with PostGraphile.

Processor time includes that of all PostgreSQL processes, which do half of the work: delegating more to the database is no
advantage. PostgreSQL has no core of its own; the system schedules its processes, as in production.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import orjson

from benchmarks import bare_pg, data
from benchmarks.figures import Figure
from benchmarks.measure import compare, measure_in_turns, ratio_figure
from benchmarks.postgraphile import install
from benchmarks.reads import PAGE, WEEK, device_query, presence_year
from benchmarks.servers import (
    CLIENT_CORE,
    CORES,
    Request,
    Server,
    bare_pg_server,
    graphql_request,
    netsessions_server,
    postgraphile_server,
    processor_time,
)
from benchmarks.writes import CLIENTS, CREATE_MANY, CREATE_REQUEST, bulk_sessions, send_creates
from storage.migrations import migrate
from tests.support.postgres import Cluster

# Durability stays at its defaults. Autovacuum and checkpoints would count for the server that is measured at that time.
OPTIONS = "-c shared_buffers=1GB -c max_wal_size=4GB -c checkpoint_timeout=1h -c autovacuum=off"

FIELDS = "mac ip state connectedAt disconnectedAt connectionEvent info"
NEWEST = f"query Newest($n: Int) {{ sessions(first: $n) {{ nodes {{ {FIELDS} }} }} }}"
LAST = f"query Last($mac: MAC!) {{ sessions(first: 20, filter: {{macs: [$mac]}}) {{ nodes {{ {FIELDS} }} }} }}"
POSTGRAPHILE_NEWEST = f"""query Newest($n: Int) {{ allSessions(first: $n, orderBy: [STARTS_AT_DESC, ROW_ID_DESC])
    {{ nodes {{ {FIELDS} }} }} }}"""
POSTGRAPHILE_LAST = f"""query Last($mac: String!) {{ allSessions(first: 20, condition: {{mac: $mac}},
    orderBy: [STARTS_AT_DESC, ROW_ID_DESC]) {{ nodes {{ {FIELDS} }} }} }}"""

BARE_READS = ("pg-page-1000", "pg-device-week")
POSTGRAPHILE_READS = ("pg-postgraphile-1000", "pg-postgraphile-20")
OTHER_FIGURES = ("pg-creates", "pg-create-sessions-10000", "pg-presence-year")


class MeasuredCluster:
    """The PostgreSQL server that is measured, with its data in the system's temporary folder."""

    def __init__(self) -> None:
        self._cluster = Cluster(OPTIONS)
        self._cluster.initialize()
        self._cluster.start()
        self._postmaster = int((self._cluster.folder / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def stop(self) -> None:
        """Stop the server."""
        self._cluster.stop("immediate")

    def cpu(self) -> float:
        """Return the processor time of all its processes so far, ended ones included, in seconds."""
        used = processor_time(self._postmaster, with_children=True)
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children")
        for child in children.read_text(encoding="ascii").split():
            try:
                used += processor_time(int(child))
            except (FileNotFoundError, ProcessLookupError):  # it has ended since
                continue
        return used

    def sql(self, database: str, *statements: str) -> list[Any]:
        """Execute statements. Return the rows of the last one."""

        async def execute() -> list[Any]:
            connection = await asyncpg.connect(self._cluster.url(database))
            try:
                rows: list[Any] = []
                for statement in statements:
                    rows = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return asyncio.run(execute())

    def create_empty(self, name: str) -> str:
        """Create a migrated database without rows. Return its URL."""
        self.sql("postgres", f"CREATE DATABASE {name}")
        url = self._cluster.url(name)
        migrate(url)
        return url

    def create_filled(self, name: str) -> str:
        """Create a migrated database with the sessions of a year. Return its URL."""

        async def fill() -> None:
            connection = await asyncpg.connect(url)
            try:
                devices = ((data.mac_address(n),) for n in range(data.DEVICES))
                await connection.copy_records_to_table("device", records=devices, columns=["mac"])
                sessions = data.sessions_of_year()
                await connection.copy_records_to_table("session", records=sessions, columns=bare_pg.INSERT_COLUMNS)
                await connection.execute("VACUUM (FREEZE, ANALYZE)")
                await connection.execute("CHECKPOINT")
            finally:
                await connection.close()

        url = self.create_empty(name)
        asyncio.run(fill())
        return url

    def copy_for_others(self, name: str, source: str) -> str:
        """Copy a database and add the indexes of the other servers. Return its URL."""
        self.sql("postgres", f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        self.sql(name, *bare_pg.INDEXES, "VACUUM (ANALYZE)", "CHECKPOINT")
        return self._cluster.url(name)


@contextmanager
def measured_cluster() -> Iterator[MeasuredCluster]:
    """Run PostgreSQL on all cores, and this process on the client's core."""
    os.sched_setaffinity(0, CORES)
    cluster = MeasuredCluster()
    try:
        os.sched_setaffinity(0, {CLIENT_CORE})
        yield cluster
    finally:
        cluster.stop()


def postgresql_figures(quick: bool, selected: Callable[[str], bool]) -> Iterator[Figure]:
    """Yield the selected figures on PostgreSQL."""
    if not any(map(selected, (*BARE_READS, *POSTGRAPHILE_READS, *OTHER_FIGURES))):
        return
    with measured_cluster() as cluster:
        if any(map(selected, (*BARE_READS, *POSTGRAPHILE_READS))):
            yield from reads(cluster, quick=quick, selected=selected)
        if selected("pg-presence-year"):
            yield presence_year("pg-presence-year", cluster.create_filled("presence"))
        if selected("pg-creates"):
            yield creates_per_second(cluster, quick=quick)
        if selected("pg-create-sessions-10000"):
            bare_url, our_url = cluster.create_empty("many_bare"), cluster.create_empty("many_ours")
            with bare_pg_server(bare_url, cluster.cpu) as bare, netsessions_server(our_url, "UTC", cluster.cpu) as ours:
                request = graphql_request(CREATE_MANY, input=bulk_sessions())
                yield compare("pg-create-sessions-10000", 0.5, 0.7, [bare, ours], [request], quick=quick)


def reads(cluster: MeasuredCluster, *, quick: bool, selected: Callable[[str], bool]) -> Iterator[Figure]:
    """Yield the figures of reads. Our server uses the migrated database, the others a copy with their own indexes."""
    our_url = cluster.create_filled("bench")
    other_url = cluster.copy_for_others("bench_bare", "bench")
    device = device_with_20_sessions(cluster, "bench")
    if any(map(selected, BARE_READS)):
        with bare_pg_server(other_url, cluster.cpu) as bare, netsessions_server(our_url, "UTC", cluster.cpu) as ours:
            page, week = graphql_request(PAGE, n=1000), graphql_request(WEEK, mac=device)
            comparisons = (("pg-page-1000", 0.9, 1.2, page), ("pg-device-week", 0.5, 0.75, week))
            for name, goal, stretch_goal, request in comparisons:
                if selected(name):
                    yield compare(name, goal, stretch_goal, [bare, ours], [request], quick=quick)
    if any(map(selected, POSTGRAPHILE_READS)):
        folder = install()
        if folder is None:
            print("PostGraphile cannot be installed: npm is missing or failed. Its figures are omitted.")  # noqa: T201
        else:
            yield from postgraphile_reads(cluster, folder, our_url, other_url, device, quick=quick, selected=selected)


def postgraphile_reads(
    cluster: MeasuredCluster,
    folder: Path,
    our_url: str,
    other_url: str,
    device: str,
    *,
    quick: bool,
    selected: Callable[[str], bool],
) -> Iterator[Figure]:
    """Yield the comparisons with PostGraphile, and with the bare server in their details."""
    comparisons = (
        (
            "pg-postgraphile-1000",
            graphql_request(POSTGRAPHILE_NEWEST, n=1000),
            graphql_request(NEWEST, n=1000),
            graphql_request(PAGE, n=1000),
        ),
        (
            "pg-postgraphile-20",
            graphql_request(POSTGRAPHILE_LAST, mac=device),
            graphql_request(LAST, mac=device),
            graphql_request(LAST, mac=device),
        ),
    )
    with (
        postgraphile_server(folder, other_url, cluster.cpu) as postgraphile,
        netsessions_server(our_url, "UTC", cluster.cpu) as ours,
        bare_pg_server(other_url, cluster.cpu) as bare,
    ):
        for name, their_request, our_request, bare_request in comparisons:
            if selected(name):
                rows = int(name.rpartition("-")[2])
                assert_equal_rows(postgraphile, ours, their_request, our_request, rows=rows)
                workloads = [(postgraphile, [their_request]), (ours, [our_request]), (bare, [bare_request])]
                *times, bare_times = measure_in_turns(workloads, quick=quick)
                figure = ratio_figure(name, 2.0, 3.0, "PostGraphile", times)
                # The bare server shows the limit: it checks no token and has no GraphQL schema.
                yield replace(figure, detail=f"{figure.detail}; {median(bare_times) * 1000:.3g} ms by hand")


def device_with_20_sessions(cluster: MeasuredCluster, database: str) -> str:
    """Return a device with 20 sessions that overlap the last seven days. Raise RuntimeError if there is none."""
    rows = cluster.sql(database, device_query())
    if not rows:
        raise RuntimeError("no device has exactly 20 sessions in the last 7 days")
    return str(rows[0][0])


def assert_equal_rows(
    postgraphile: Server, ours: Server, their_request: Request, our_request: Request, *, rows: int
) -> None:
    """Raise AssertionError unless both servers return the same fields of the same rows."""

    def iso(microseconds: str | None) -> str | None:
        """PostGraphile returns instants as stored: in microseconds."""
        if microseconds is None:
            return None
        return datetime.fromtimestamp(int(microseconds) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    theirs = orjson.loads(postgraphile.client.request(their_request.encode()))["data"]["allSessions"]["nodes"]
    for row in theirs:
        row |= {name: iso(row[name]) for name in ("connectedAt", "disconnectedAt")}
    own = orjson.loads(ours.client.request(our_request.encode()))["data"]["sessions"]["nodes"]
    if len(own) != rows or theirs != own:
        differing = next((pair for pair in zip(theirs, own, strict=False) if pair[0] != pair[1]), None)
        raise AssertionError(f"PostGraphile returns {len(theirs)} rows, ours {len(own)}; first difference: {differing}")


def creates_per_second(cluster: MeasuredCluster, *, quick: bool) -> Figure:
    """Compare durable creates per second, acknowledged ones only. All of them must be in the database afterwards."""
    request = CREATE_REQUEST.encode()
    names, rates, acknowledged = ("creates_bare", "creates_ours"), ([0.0] * 0, [0.0] * 0), [1, 1]
    cpu_per_create: list[list[float]] = [[], []]
    urls = [cluster.create_empty(name) for name in names]
    with bare_pg_server(urls[0], cluster.cpu) as bare, netsessions_server(urls[1], "UTC", cluster.cpu) as ours:
        servers = (bare, ours)
        answers = [re.sub(rb"S:([^\"]+):\d+", rb"S:\1:ID", server.client.request(request)) for server in servers]
        if answers[0] != answers[1]:
            raise AssertionError(f"the answers to a create differ: {answers}")
        for round_number in range(4 if quick else 6):
            for n, server in enumerate(servers):
                seconds = 3.0 if round_number else 1.0
                cpu_before = server.cpu()
                count = send_creates(server, request, seconds)
                acknowledged[n] += count
                if round_number:  # the first round warms up
                    rates[n].append(count / seconds)
                    cpu_per_create[n].append((server.cpu() - cpu_before) / (count + CLIENTS))
    for name, expected in zip(names, acknowledged, strict=True):
        stored = cluster.sql(name, "SELECT count(*) FROM session")[0][0]
        if stored < expected:
            raise AssertionError(f"{name} contains {stored} of {expected} acknowledged sessions")
    ratio = median(ours_rate / bare_rate for bare_rate, ours_rate in zip(*rates, strict=True))
    bare_cpu, our_cpu = (median(cpu) * 1e6 for cpu in cpu_per_create)
    detail = (
        f"bare {median(rates[0]):,.0f}/s, ours {median(rates[1]):,.0f}/s at {CLIENTS} clients; "
        f"{bare_cpu:.0f} and {our_cpu:.0f} µs of CPU each"
    )
    return Figure("pg-creates", ratio, 0.5, 1.0, detail)
