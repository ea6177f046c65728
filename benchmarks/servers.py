"""The measured servers, as processes on their own core, and a client that costs next to nothing."""

import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import orjson

from benchmarks import bare
from benchmarks.data import cache_folder

TOKEN = "a-token-for-the-benchmark"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # of /proc/PID/stat, per second
# The last ones shift the clocks of all processes equally if the benchmark runs under libfaketime.
INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LD_PRELOAD", "FAKETIME")


def inherited_environment() -> dict[str, str]:
    """Return the environment variables that every started process gets."""
    return {name: value for name, value in os.environ.items() if name in INHERITED_VARIABLES}


@dataclass(frozen=True)
class Request:
    """An HTTP request that both servers get."""

    method: str
    path: str
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes on the wire."""
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body


def graphql_request(query: str, **variables: object) -> Request:
    """Return a GraphQL request. The bare server dispatches by the operation name."""
    name = re.search(r"(?:query|mutation) (\w+)", query)
    assert name
    body = orjson.dumps({"query": query, "variables": variables, "operationName": name[1]})
    return Request("POST", "/graphql", body)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def request(self, request: bytes) -> bytes:
        """Send a request. Return the body of the response."""
        self.send(request)
        return b"".join(self.receive())

    def send(self, request: bytes) -> None:
        """Send a request without waiting for the response."""
        self._socket.sendall(request)

    def receive(self) -> Iterator[bytes]:
        """Yield the body of the next response as it arrives. Raise RuntimeError unless the status is 200."""
        head = self._read_until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head[:200]!r} {self._buffer[:300]!r}")
        if match := re.search(rb"content-length: *(\d+)", head, re.IGNORECASE):
            yield self._read_exactly(int(match[1]))
            return
        while size := int(self._read_until(b"\r\n"), 16):
            yield self._read_exactly(size)
            self._read_exactly(2)
        self._read_exactly(2)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read(self) -> bytes:
        data = self._socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def _read_until(self, end: bytes) -> bytes:
        while (position := self._buffer.find(end)) < 0:
            self._buffer += self._read()
        result, self._buffer = self._buffer[:position], self._buffer[position + len(end) :]
        return result

    def _read_exactly(self, size: int) -> bytes:
        chunks = [self._buffer]
        length = len(self._buffer)
        while length < size:
            chunks.append(self._read())
            length += len(chunks[-1])
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]


class Server:
    """A server process on the servers' core, with a connected client."""

    def __init__(
        self, command: list[str], port: int, environment: dict[str, str], database_cpu: Callable[[], float] = float
    ) -> None:
        """Start the process. `database_cpu` returns the processor time of its database server, to add to its own."""
        self.port = port
        self._database_cpu = database_cpu
        self._process = subprocess.Popen(
            command,
            env=inherited_environment() | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client = Client(port)
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{command} does not listen") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Terminate the process."""
        self._process.terminate()
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu(self) -> float:
        """Return the processor time so far, of all threads and of the database server, in seconds."""
        return processor_time(self._process.pid) + self._database_cpu()

    def memory(self, peak: bool = False) -> float:
        """Return the current or the peak resident memory, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:" if peak else "VmRSS:")[1].split()[0]) / 1024


def processor_time(pid: int, *, with_children: bool = False) -> float:
    """Return the processor time of a process so far, in seconds, optionally with that of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_children else 13])) / CLOCK_TICKS


def free_port() -> int:
    """Return a port that is not in use."""
    while True:
        port = random.randrange(21_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@contextmanager
def _running(
    command: list[str], port: int, environment: dict[str, str], database_cpu: Callable[[], float] = float
) -> Iterator[Server]:
    server = Server(command, port, environment, database_cpu)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def netsessions_server(
    database: Path | str, zone: str = "UTC", database_cpu: Callable[[], float] = float
) -> Iterator[Server]:
    """Run netsessions with default settings on a SQLite file or a database URL."""
    port = free_port()
    settings = {
        "API_TOKEN": TOKEN,
        "GRAPHQL_PORT": str(port),
        "DATABASE_URL": database if isinstance(database, str) else f"sqlite:///{database}",
        "TIMEZONE": zone,
    }
    with _running([sys.executable, "-m", "netsessions", "serve"], port, settings, database_cpu) as server:
        yield server


@contextmanager
def bare_server(database: Path, zone: str = "UTC") -> Iterator[Server]:
    """Run the bare server on SQLite."""
    port = free_port()
    with _running([sys.executable, "-m", "benchmarks.bare", str(database), str(port), zone], port, {}) as server:
        yield server


@contextmanager
def bare_pg_server(url: str, database_cpu: Callable[[], float]) -> Iterator[Server]:
    """Run the bare server on PostgreSQL."""
    port = free_port()
    with _running([sys.executable, "-m", "benchmarks.bare_pg", url, str(port)], port, {}, database_cpu) as server:
        yield server


@contextmanager
def postgraphile_server(folder: Path, url: str, database_cpu: Callable[[], float]) -> Iterator[Server]:
    """Run PostGraphile from its installation folder."""
    port = free_port()
    command = [str(folder / "node_modules/.bin/node"), str(folder / "server.js"), url, str(port)]
    environment = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
    with _running(command, port, environment, database_cpu) as server:
        yield server


def database_for_bare(database: Path) -> Path:
    """Return a copy of the database with the indexes of the bare server, from the cache if it exists."""
    copy = cache_folder() / f"bare-{database.name}"
    if not copy.exists():
        for outdated in cache_folder().glob("bare-*"):
            outdated.unlink()
        unfinished = copy.with_suffix(".unfinished")
        copyfile(database, unfinished)
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size = -500000")
            bare.create_indexes(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        unfinished.rename(copy)
    return copy
