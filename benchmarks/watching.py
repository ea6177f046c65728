"""Watching: a thousand subscribers of one process, each told of every one of a hundred changes."""

import base64
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from selectors import EVENT_READ, DefaultSelector
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection
from statistics import median, quantiles

import orjson

from benchmarks.figures import Figure
from benchmarks.servers import CLIENT_CORE, TOKEN, Request, Server, ours
from benchmarks.writes import empty, folder

SUBSCRIBERS, CHANGES, PACE = 1000, 100, 0.1  # seconds between two changes
QUERY = "subscription { sessionChanges { kind mac cursor session { id ip state connectedAt } } }"


class Subscriber:
    """One WebSocket that counts what it is told, and how long that took since it was written."""

    def __init__(self, port: int) -> None:
        self.socket = create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._held = b""
        self.told: list[bytes] = []
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {TOKEN}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._held:
            self._held += self.socket.recv(65536)
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self._send({"type": "connection_init"})
        self._send({"id": "1", "type": "subscribe", "payload": {"query": QUERY}})
        while not self.frames():
            self.more()

    def _send(self, message: object) -> None:
        content = orjson.dumps(message)
        size = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + len(content).to_bytes(2)
        self.socket.sendall(b"\x81" + size + bytes(4) + content)  # a mask of zeros changes nothing

    def more(self) -> None:
        """What has come."""
        data = self.socket.recv(1 << 16)
        assert data, "the server closed the connection"
        self._held += data

    def frames(self) -> list[bytes]:
        """The messages that have come whole."""
        found = []
        while len(self._held) >= 2:
            size, start = self._held[1], 2
            if size == 126:
                size, start = (int.from_bytes(self._held[2:4]), 4) if len(self._held) >= 4 else (1 << 20, 4)
            if len(self._held) < start + size:
                break
            match self._held[0]:
                case 0x81:
                    found.append(self._held[start : start + size])
                case 0x89:  # a ping, which is answered with what it holds
                    content = self._held[start : start + size]
                    self.socket.sendall(b"\x8a" + bytes([0x80 | size]) + bytes(4) + content)
            self._held = self._held[start + size :]
        return found


def watching(quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """On a new database."""
    if not wanted("watching"):
        return
    os.sched_setaffinity(0, {CLIENT_CORE})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 8192), limit))
    with folder() as place, ours(empty(place / "watched.db")) as server:
        subscribers = [Subscriber(server.port) for _ in range(SUBSCRIBERS)]
        time.sleep(1)
        used = server.cpu()
        took = told(server, subscribers)
        each = (server.cpu() - used) / len(took) * 1e6
    cut = quantiles(took, n=100)
    detail = (
        f"{SUBSCRIBERS:,} subscribers, {CHANGES} changes, {len(took):,} received, none lost; "
        f"median {median(took) * 1000:.0f} ms, p99 {cut[98] * 1000:.0f} ms from the change to its receipt; "
        f"{each:.0f} µs of CPU each"
    )
    yield Figure("watching", cut[98] * 1000, 250, 100, detail, at_most=True)


def told(server: Server, subscribers: list[Subscriber]) -> list[float]:
    """Seconds from each change to its receipt by each subscriber; fails unless each was told of every one, once, in order."""
    expected: list[bytes] = []
    took: list[float] = []
    with DefaultSelector() as selector:
        for each in subscribers:
            selector.register(each.socket, EVENT_READ, each)
        began, deadline = time.perf_counter(), time.monotonic() + 120
        while len(took) < SUBSCRIBERS * CHANGES and time.monotonic() < deadline:
            if len(expected) < CHANGES and time.perf_counter() - began >= len(expected) * PACE:
                expected.append(create(server, len(expected)))
            for key, _ in selector.select(PACE / 10):
                each = key.data
                each.more()
                for message in each.frames():
                    now = time.time()
                    place = re.search(rb"CHANGE\.(\d+)\.", message)
                    address = re.search(rb'"mac":"([^"]+)"', message)
                    assert place, message
                    assert address, message
                    each.told.append(address[1])
                    took.append(now - int(place[1]) / 1e6)
    for each in subscribers:
        assert each.told == expected, f"{len(each.told)} of {len(expected)} changes"
    return took


def create(server: Server, n: int) -> bytes:
    """One more session; answers its device's address."""
    mac = f"02:00:5E:20:00:{n:02X}"
    body = orjson.dumps({"mac": mac, "ip": "10.0.0.1", "start_time": "2026-08-01T10:00:00Z"})
    server.client.ask(Request("POST", "/sessions/create", body).encoded())
    return mac.encode()
