"""The two servers as processes on a core of their own, and a client that costs next to nothing."""

import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import orjson

from benchmarks import bare
from benchmarks.data import cache

TOKEN = "a-token-for-the-benchmark"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Request:
    """What is asked of both servers."""

    method: str
    path: str
    body: bytes = b""

    def encoded(self) -> bytes:
        """The bytes on the wire."""
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body


def graphql(query: str, **variables: object) -> Request:
    """A GraphQL request; its operation's name tells the bare server what to do."""
    name = re.search(r"(?:query|mutation) (\w+)", query)
    assert name
    body = orjson.dumps({"query": query, "variables": variables, "operationName": name[1]})
    return Request("POST", "/graphql", body)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""

    def ask(self, request: bytes) -> bytes:
        """The body of an answer."""
        return b"".join(self.parts(request))

    def parts(self, request: bytes) -> Iterator[bytes]:
        """The body of an answer as it comes."""
        self._socket.sendall(request)
        head = self._until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head[:200]!r} {self._held[:300]!r}")
        if match := re.search(rb"content-length: *(\d+)", head, re.IGNORECASE):
            yield self._exactly(int(match[1]))
            return
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._exactly(2)
        self._exactly(2)

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def _until(self, end: bytes) -> bytes:
        while (at := self._held.find(end)) < 0:
            self._held += self._more()
        found, self._held = self._held[:at], self._held[at + len(end) :]
        return found

    def _exactly(self, size: int) -> bytes:
        held = [self._held]
        have = len(self._held)
        while have < size:
            held.append(self._more())
            have += len(held[-1])
        whole = b"".join(held)
        self._held = whole[size:]
        return whole[:size]


class Server:
    """A process that answers on a port."""

    def __init__(
        self, command: list[str], port: int, environment: dict[str, str], also: Callable[[], float] = float
    ) -> None:
        """Counts to its processor time what others take in its service, where told."""
        self.port = port
        self._also = also
        self._process = subprocess.Popen(
            command,
            env={k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")} | environment,
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
                    raise RuntimeError(f"{command} does not serve") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu(self) -> float:
        """Seconds of processor time so far, of all threads, and of those who serve it."""
        return processor_time(self._process.pid) + self._also()

    def memory(self, peak: bool = False) -> float:
        """Resident memory in MB, now or at its most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:" if peak else "VmRSS:")[1].split()[0]) / 1024


def processor_time(pid: int, *, of_ended: bool = False) -> float:
    """Seconds of processor time that a process took so far, and the children of it that ended, where told."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if of_ended else 13])) / TICK


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.randrange(21_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@contextmanager
def ours(database: Path | str, zone: str = "UTC", also: Callable[[], float] = float) -> Iterator[Server]:
    """The server as its users start it, with its settings as they are, on a file or an address."""
    port = free_port()
    settings = {
        "API_TOKEN": TOKEN,
        "GRAPHQL_PORT": str(port),
        "DATABASE_URL": database if isinstance(database, str) else f"sqlite:///{database}",
        "TIMEZONE": zone,
    }
    with ExitStack() as stack:
        server = Server([sys.executable, "-m", "netsessions", "serve"], port, settings, also)
        stack.callback(server.stop)
        yield server


@contextmanager
def the_bare(database: Path, zone: str = "UTC") -> Iterator[Server]:
    """The reference."""
    port = free_port()
    with ExitStack() as stack:
        server = Server([sys.executable, "-m", "benchmarks.bare", str(database), str(port), zone], port, {})
        stack.callback(server.stop)
        yield server


@contextmanager
def the_bare_pg(url: str, also: Callable[[], float]) -> Iterator[Server]:
    """The reference on PostgreSQL."""
    port = free_port()
    with ExitStack() as stack:
        server = Server([sys.executable, "-m", "benchmarks.bare_pg", url, str(port)], port, {}, also)
        stack.callback(server.stop)
        yield server


def bare_copy(database: Path) -> Path:
    """The same rows with the indexes of the reference, made once."""
    copy = cache() / f"bare-{database.name}"
    if not copy.exists():
        for old in cache().glob("bare-*"):
            old.unlink()
        making = copy.with_suffix(".making")
        copyfile(database, making)
        with closing(sqlite3.connect(making, isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size = -500000")
            bare.make(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        making.rename(copy)
    return copy
