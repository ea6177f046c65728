"""Figures of writes: durable creates by many clients, a bulk mutation, and an import."""

import os
import pickle
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from shutil import rmtree
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from statistics import median
from tempfile import mkdtemp
from typing import cast

import orjson

from benchmarks import data
from benchmarks.data import CREATE_END, CREATE_START, cache_folder
from benchmarks.figures import Figure
from benchmarks.measure import compare
from benchmarks.servers import (
    CLIENT_CORE,
    SERVER_CORE,
    Request,
    Server,
    bare_server,
    graphql_request,
    inherited_environment,
    netsessions_server,
)
from storage.migrations import migrate

CLIENTS, BULK_SESSIONS = 64, 10_000
CREATE = (
    "mutation Create($input: CreateSessionInput!) { createSession(input: $input) { session { id mac state } message } }"
)
CREATE_MANY = "mutation CreateMany($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"

DEVICE = {"mac": "02:00:5E:10:00:01", "ip": "10.0.0.1"}
CREATE_REQUEST = graphql_request(CREATE, input=DEVICE | {"startTime": CREATE_START, "endTime": CREATE_END})
REST_BODY = orjson.dumps(DEVICE | {"start_time": CREATE_START, "end_time": CREATE_END})


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder on the disk of the cache, and remove it at the end."""
    path = Path(mkdtemp(dir=cache_folder()))
    try:
        yield path
    finally:
        rmtree(path)


def empty_database(path: Path) -> Path:
    """Create a migrated database without rows. Return its path."""
    migrate(f"sqlite:///{path}")
    return path


def write_figures(quick: bool, selected: Callable[[str], bool]) -> Iterator[Figure]:
    """Yield the selected figures of writes on SQLite."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    creates = (
        ("creates-graphql", 1.0, 2.0, CREATE_REQUEST),
        ("creates-rest", 2.0, 4.0, Request("POST", "/sessions/create", REST_BODY)),
    )
    with temporary_folder() as folder:
        for name, goal, stretch_goal, request in creates:
            if selected(name):
                yield creates_per_second(folder / name, name, goal, stretch_goal, request, quick=quick)
        if selected("create-sessions-10000"):
            bare_file, our_file = empty_database(folder / "bare.db"), empty_database(folder / "ours.db")
            with bare_server(bare_file) as bare, netsessions_server(our_file) as server:
                requests = [graphql_request(CREATE_MANY, input=bulk_sessions())]
                yield compare("create-sessions-10000", 0.4, 0.7, [bare, server], requests, quick=quick)
    if selected("import"):
        yield import_sessions(200_000 if quick else 1_000_000)


def bulk_sessions() -> list[dict[str, str]]:
    """Return 10,000 sessions as the input of the bulk mutation."""

    def iso(microseconds: int) -> str:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    complete = (row for row in data.sessions_of_year() if row[3] is not None and row[4] is not None)
    return [
        {"mac": row[0], "ip": row[2], "startTime": iso(row[3]), "endTime": iso(row[4]), "info": row[7]}
        for row in islice(complete, BULK_SESSIONS)
    ]


def creates_per_second(
    folder: Path, name: str, goal: float, stretch_goal: float, request: Request, *, quick: bool
) -> Figure:
    """Compare durable creates per second, acknowledged ones only. All of them must be in the database afterwards."""
    folder.mkdir()
    rates: list[list[float]] = [[], []]
    files = [empty_database(folder / f"{server}.db") for server in ("bare", "ours")]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(run(file)) for run, file in zip((bare_server, netsessions_server), files, strict=True)
        ]
        acknowledged = [0, 0]
        for round_number in range(4 if quick else 6):
            for n, server in enumerate(servers):
                seconds = 3.0 if round_number else 1.0
                count = send_creates(server, request.encode(), seconds)
                acknowledged[n] += count
                if round_number:  # the first round warms up
                    rates[n].append(count / seconds)
    for file, expected in zip(files, acknowledged, strict=True):
        with closing(sqlite3.connect(file)) as connection:
            ((stored,),) = connection.execute("SELECT count(*) FROM session").fetchall()
        if stored < expected:
            raise AssertionError(f"{file.name} contains {stored} of {expected} acknowledged sessions")
    detail = f"bare {median(rates[0]):,.0f}/s, ours {median(rates[1]):,.0f}/s at {CLIENTS} clients"
    return Figure(name, median(ours / bare for bare, ours in zip(*rates, strict=True)), goal, stretch_goal, detail)


def send_creates(server: Server, request: bytes, seconds: float) -> int:
    """Keep one request in flight on each of 64 connections. Return the number of creates acknowledged in time.

    Raise RuntimeError at the first create that fails.
    """
    acknowledged = 0
    buffers: dict[socket, bytes] = {}
    with DefaultSelector() as selector:
        for _ in range(CLIENTS):
            connection = create_connection(("127.0.0.1", server.port), timeout=60)
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            selector.register(connection, EVENT_READ)
            connection.sendall(request)
        open_connections, end = CLIENTS, time.perf_counter() + seconds
        while open_connections:
            for key, _ in selector.select(60):
                connection = cast("socket", key.fileobj)
                buffers[connection] = buffers.get(connection, b"") + connection.recv(65536)
                if not is_complete(buffers[connection]):
                    continue
                response = buffers.pop(connection)
                if not response.startswith(b"HTTP/1.1 200") or b"Session created" not in response:
                    raise RuntimeError(response[:500])
                if time.perf_counter() < end:
                    acknowledged += 1
                    connection.sendall(request)
                else:
                    open_connections -= 1
                    selector.unregister(connection)
                    connection.close()
    return acknowledged


def is_complete(response: bytes) -> bool:
    """Return whether a response with a Content-Length has arrived completely."""
    head, _, body = response.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])


SOURCE_TABLE = """CREATE TABLE Sessions (sesMac STRING(50), sesIp STRING(50), sesEventTypeConnection STRING(30),
    sesDateTimeConnection DATETIME, sesEventTypeDisconnection STRING(30), sesDateTimeDisconnection DATETIME,
    sesStillConnected BOOLEAN, sesAdditionalInfo STRING(250))"""

BARE_IMPORT = """
import pickle, sqlite3, sys, time
from benchmarks.data import INSERT
rows = pickle.load(open(sys.argv[2], "rb"))
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA synchronous = FULL")
start = time.process_time()
connection.execute("BEGIN IMMEDIATE")
connection.executemany("INSERT INTO device (mac) VALUES (?)", ((mac,) for mac in {row[0] for row in rows}))
connection.executemany(INSERT, rows)
connection.execute("COMMIT")
print(time.process_time() - start)
"""


def import_sessions(count: int) -> Figure:
    """Compare the whole import command with `executemany` of the prepared rows into an empty database."""
    rows = list(islice(data.sessions_of_year(), count))
    times: list[list[float]] = [[], []]
    with temporary_folder() as folder:
        source, pickled_rows = folder / "app.db", folder / "rows"
        pickled_rows.write_bytes(pickle.dumps(rows))
        write_source(source, rows)
        del rows
        for repetition in range(2):
            bare_file, our_file = empty_database(folder / f"bare-{repetition}.db"), folder / f"ours-{repetition}.db"
            finished = subprocess.run(
                [sys.executable, "-c", BARE_IMPORT, str(bare_file), str(pickled_rows)],
                check=True,
                capture_output=True,
                text=True,
            )
            times[0].append(float(finished.stdout))
            times[1].append(run_import(source, our_file))
            assert_same_sessions(bare_file, our_file, count)
            for path in (bare_file, our_file):
                path.unlink()
    bare, ours = min(times[0]), min(times[1])
    detail = f"executemany {bare:.3g} s, import {ours:.3g} s of CPU for {count:,} sessions"
    return Figure("import", bare / ours, 0.4, 0.7, detail)


def write_source(path: Path, rows: list[data.Row]) -> None:
    """Write the rows into a new database of NetAlertX."""

    def local_time(microseconds: int | None) -> str | None:
        if microseconds is None:
            return None
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(SOURCE_TABLE)
        connection.executemany(
            "INSERT INTO Sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (row[0], row[2], row[5], local_time(row[3]), row[6], local_time(row[4]), int(row[6] is None), row[7])
                for row in rows
            ),
        )


def run_import(source: Path, target: Path) -> float:
    """Run `netsessions import` into a new database. Return its processor time in seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "netsessions", "import", str(source)],
        env=inherited_environment() | {"DATABASE_URL": f"sqlite:///{target}", "TIMEZONE": "UTC"},
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("the import failed")
    return usage.ru_utime + usage.ru_stime


def assert_same_sessions(bare_file: Path, our_file: Path, count: int) -> None:
    """Raise AssertionError unless our file contains exactly the sessions of the other."""
    columns = "mac, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    with closing(sqlite3.connect(bare_file)) as connection:
        connection.execute("ATTACH ? AS other", (str(our_file),))
        ((differing,),) = connection.execute(
            f"SELECT count(*) FROM (SELECT {columns} FROM session EXCEPT SELECT {columns} FROM other.session)"
        ).fetchall()
        ((stored,),) = connection.execute("SELECT count(*) FROM other.session").fetchall()
    if differing or stored != count:
        raise AssertionError(f"the import stored {stored} of {count} sessions, {differing} of them with differences")
