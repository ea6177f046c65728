"""Changes: durable creates of many clients, a large mutation, and an import, against the same by hand on sqlite3."""

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
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from shutil import rmtree
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from statistics import median
from tempfile import mkdtemp
from typing import cast

import orjson

from benchmarks import data
from benchmarks.data import cache, today
from benchmarks.figures import Figure
from benchmarks.reads import compared
from benchmarks.servers import CLIENT_CORE, SERVER_CORE, Request, Server, graphql, ours, the_bare
from storage.migrations import migrate

CLIENTS, MANY = 64, 10_000
CREATE = (
    "mutation Create($input: CreateSessionInput!) { createSession(input: $input) { session { id mac state } message } }"
)
CREATE_MANY = "mutation CreateMany($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder on the disk of the cache."""
    path = Path(mkdtemp(dir=cache()))
    try:
        yield path
    finally:
        rmtree(path)


def empty(path: Path) -> Path:
    """A migrated database without rows."""
    migrate(f"sqlite:///{path}")
    return path


def writes(quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """On new databases, in turns."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    one = {"mac": "02:00:5E:10:00:01", "ip": "10.0.0.1"}
    times = ("2026-08-01T10:00:00Z", "2026-08-01T12:00:00Z")
    creates = (
        (
            "creates-graphql",
            1.0,
            2.0,
            graphql(CREATE, input=one | dict(zip(("startTime", "endTime"), times, strict=True))),
        ),
        (
            "creates-rest",
            2.0,
            4.0,
            Request(
                "POST",
                "/sessions/create",
                data_of(one | dict(zip(("start_time", "end_time"), times, strict=True))),
            ),
        ),
    )
    with folder() as place:
        for name, goal, beyond, request in creates:
            if wanted(name):
                yield created(place / name, name, goal, beyond, request, quick=quick)
        if wanted("create-sessions-10000"):
            with the_bare(empty(place / "bare.db")) as bare, ours(empty(place / "ours.db")) as server:
                yield compared(
                    "create-sessions-10000", 0.4, 0.7, [bare, server], [graphql(CREATE_MANY, input=many())], quick=quick
                )
    if wanted("import"):
        yield imported(200_000 if quick else 1_000_000)


def data_of(body: dict[str, str]) -> bytes:
    """A body of JSON."""
    return orjson.dumps(body)


def many() -> list[dict[str, str]]:
    """10,000 sessions as a client writes them."""

    def text(microseconds: int) -> str:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    rows = (row for row in data.year(0, today()) if row[3] is not None and row[4] is not None)
    return [
        {"mac": row[0], "ip": row[2], "startTime": text(row[3]), "endTime": text(row[4]), "info": row[7]}
        for row, _ in zip(rows, range(MANY), strict=False)
    ]


def created(place: Path, name: str, goal: float, beyond: float, request: Request, *, quick: bool) -> Figure:
    """Creates a second, each acknowledged when it is durable, and each of them there afterwards."""
    place.mkdir()
    rates: list[list[float]] = [[], []]
    files = [empty(place / f"{which}.db") for which in ("bare", "ours")]
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(file)) for serve, file in zip((the_bare, ours), files, strict=True)]
        acknowledged = [0, 0]
        for turn in range(4 if quick else 6):
            for n, server in enumerate(servers):
                seconds = 3.0 if turn else 1.0
                answered = load(server, request.encoded(), seconds)
                acknowledged[n] += answered
                if turn:
                    rates[n].append(answered / seconds)
    for file, expected in zip(files, acknowledged, strict=True):
        with closing(sqlite3.connect(file)) as connection:
            ((kept,),) = connection.execute("SELECT count(*) FROM session").fetchall()
        if kept < expected:
            raise AssertionError(f"{file.name} holds {kept} of {expected} acknowledged sessions")
    detail = f"bare {median(rates[0]):,.0f}/s, ours {median(rates[1]):,.0f}/s at {CLIENTS} clients"
    return Figure(name, median(b / a for a, b in zip(*rates, strict=True)), goal, beyond, detail)


def load(server: Server, request: bytes, seconds: float) -> int:
    """Keeps one request of each of 64 connections under way; answers how many were answered with success."""
    answered = 0
    held: dict[socket, bytes] = {}
    with DefaultSelector() as selector:
        for _ in range(CLIENTS):
            each = create_connection(("127.0.0.1", server.port), timeout=60)
            each.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            selector.register(each, EVENT_READ)
            each.sendall(request)
        waiting, end = CLIENTS, time.perf_counter() + seconds
        while waiting:
            for key, _ in selector.select(60):
                each = cast("socket", key.fileobj)
                held[each] = held.get(each, b"") + each.recv(65536)
                if not complete(held[each]):
                    continue
                answer = held.pop(each)
                if not answer.startswith(b"HTTP/1.1 200") or b"Session created" not in answer:
                    raise RuntimeError(answer[:500])
                if time.perf_counter() < end:
                    answered += 1
                    each.sendall(request)
                else:
                    waiting -= 1
                    selector.unregister(each)
                    each.close()
    return answered


def complete(answer: bytes) -> bool:
    """Whether an answer, which has a length, has come whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])


SOURCE = """CREATE TABLE Sessions (sesMac STRING(50), sesIp STRING(50), sesEventTypeConnection STRING(30),
    sesDateTimeConnection DATETIME, sesEventTypeDisconnection STRING(30), sesDateTimeDisconnection DATETIME,
    sesStillConnected BOOLEAN, sesAdditionalInfo STRING(250))"""

BY_HAND = """
import pickle, sqlite3, sys, time
from benchmarks.data import INSERT
rows = pickle.load(open(sys.argv[2], "rb"))
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA synchronous = FULL")
began = time.process_time()
connection.execute("BEGIN IMMEDIATE")
connection.executemany("INSERT INTO device (mac) VALUES (?)", ((mac,) for mac in {row[0] for row in rows}))
connection.executemany(INSERT, rows)
connection.execute("COMMIT")
print(time.process_time() - began)
"""


def imported(count: int) -> Figure:
    """An import as its user runs it, from start to end, against ready rows put into an empty database of ours by hand."""

    def text(microseconds: int | None) -> str | None:
        if microseconds is None:
            return None
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")

    rows = [row for row, _ in zip(data.year(0, today()), range(count), strict=False)]
    with folder() as place:
        source, ready = place / "app.db", place / "rows"
        ready.write_bytes(pickle.dumps(rows))
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute(SOURCE)
            connection.executemany(
                "INSERT INTO Sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((r[0], r[2], r[5], text(r[3]), r[6], text(r[4]), int(r[6] is None), r[7]) for r in rows),
            )
        del rows
        times: list[list[float]] = [[], []]
        for turn in range(2):
            hand, file = empty(place / f"hand-{turn}.db"), place / f"import-{turn}.db"
            # S603: our own commands, on files of our own.
            done = subprocess.run(
                [sys.executable, "-c", BY_HAND, str(hand), str(ready)], check=True, capture_output=True, text=True
            )
            times[0].append(float(done.stdout))
            process = subprocess.Popen(
                [sys.executable, "-m", "netsessions", "import", str(source)],
                env={k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
                | {"DATABASE_URL": f"sqlite:///{file}", "TIMEZONE": "UTC"},
                stdout=subprocess.DEVNULL,
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
            )
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise RuntimeError("the import failed")
            times[1].append(usage.ru_utime + usage.ru_stime)
            with closing(sqlite3.connect(hand)) as connection:
                connection.execute("ATTACH ? AS other", (str(file),))
                columns = "mac, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
                ((differing,),) = connection.execute(
                    f"SELECT count(*) FROM (SELECT {columns} FROM session EXCEPT SELECT {columns} FROM other.session)"
                ).fetchall()
                ((held,),) = connection.execute("SELECT count(*) FROM other.session").fetchall()
            if differing or held != count:
                raise AssertionError(f"the import holds {held} sessions, {differing} are not as written by hand")
            for path in (hand, file):
                path.unlink()
    by_hand, ours_ = min(times[0]), min(times[1])
    detail = f"executemany {by_hand:.3g} s, import {ours_:.3g} s of CPU for {count:,} sessions"
    return Figure("import", by_hand / ours_, 0.4, 0.7, detail)
