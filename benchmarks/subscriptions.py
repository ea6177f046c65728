"""The figure `watching`: a thousand subscribers of one process receive a hundred changes each."""

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

from benchmarks.data import CREATE_START
from benchmarks.figures import Figure
from benchmarks.servers import CLIENT_CORE, TOKEN, Request, Server, netsessions_server
from benchmarks.writes import empty_database, temporary_folder

SUBSCRIBERS, CHANGES = 1000, 100
INTERVAL = 0.1  # seconds between two changes
QUERY = "subscription { sessionChanges { kind mac cursor session { id ip state connectedAt } } }"


class Subscriber:
    """A WebSocket with one subscription, and the MAC addresses of the changes that it received."""

    def __init__(self, port: int) -> None:
        """Connect, subscribe, and wait for the acknowledgement."""
        self.socket = create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._buffer = b""
        self.received: list[bytes] = []
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {TOKEN}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.socket.recv(65536)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self._send({"type": "connection_init"})
        self._send({"id": "1", "type": "subscribe", "payload": {"query": QUERY}})
        while not self.messages():
            self.read()

    def _send(self, message: object) -> None:
        content = orjson.dumps(message)
        size = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + len(content).to_bytes(2)
        self.socket.sendall(b"\x81" + size + bytes(4) + content)  # masked with zeros, which changes nothing

    def read(self) -> None:
        """Read available bytes into the buffer. Fails if the server closed the connection."""
        data = self.socket.recv(1 << 16)
        assert data, "the server closed the connection"
        self._buffer += data

    def messages(self) -> list[bytes]:
        """Return the text messages that have arrived completely. Answers pings."""
        messages = []
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size == 126:
                size, start = (int.from_bytes(self._buffer[2:4]), 4) if len(self._buffer) >= 4 else (1 << 20, 4)
            if len(self._buffer) < start + size:
                break
            match self._buffer[0]:
                case 0x81:
                    messages.append(self._buffer[start : start + size])
                case 0x89:  # a ping: answer with a pong of the same content
                    content = self._buffer[start : start + size]
                    self.socket.sendall(b"\x8a" + bytes([0x80 | size]) + bytes(4) + content)
            self._buffer = self._buffer[start + size :]
        return messages


def subscription_figures(quick: bool, selected: Callable[[str], bool]) -> Iterator[Figure]:
    """Yield the figure `watching` if it is selected."""
    if not selected("watching"):
        return
    os.sched_setaffinity(0, {CLIENT_CORE})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 8192), limit))
    with temporary_folder() as folder, netsessions_server(empty_database(folder / "watched.db")) as server:
        subscribers = [Subscriber(server.port) for _ in range(SUBSCRIBERS)]
        time.sleep(1)  # the server finishes the subscriptions before its processor time is read
        cpu_before = server.cpu()
        latencies = measure_latencies(server, subscribers)
        cpu_per_message = (server.cpu() - cpu_before) / len(latencies) * 1e6
    p99 = quantiles(latencies, n=100)[98]
    detail = (
        f"{SUBSCRIBERS:,} subscribers, {CHANGES} changes, {len(latencies):,} received, none lost; "
        f"median {median(latencies) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms from the change to its receipt; "
        f"{cpu_per_message:.0f} µs of CPU each"
    )
    yield Figure("watching", p99 * 1000, 250, 100, detail, at_most=True)


def measure_latencies(server: Server, subscribers: list[Subscriber]) -> list[float]:
    """Create the sessions, and return the seconds from each change to each receipt.

    Raise AssertionError unless every subscriber receives every change once and in order.
    """
    expected: list[bytes] = []
    latencies: list[float] = []
    with DefaultSelector() as selector:
        for subscriber in subscribers:
            selector.register(subscriber.socket, EVENT_READ, subscriber)
        start, deadline = time.perf_counter(), time.monotonic() + 120
        while len(latencies) < SUBSCRIBERS * CHANGES and time.monotonic() < deadline:
            if len(expected) < CHANGES and time.perf_counter() - start >= len(expected) * INTERVAL:
                expected.append(create_session(server, len(expected)))
            for key, _ in selector.select(INTERVAL / 10):
                subscriber = key.data
                subscriber.read()
                for message in subscriber.messages():
                    now = time.time()
                    cursor = re.search(rb"CHANGE\.(\d+)\.", message)
                    mac = re.search(rb'"mac":"([^"]+)"', message)
                    assert cursor, message
                    assert mac, message
                    subscriber.received.append(mac[1])
                    latencies.append(now - int(cursor[1]) / 1e6)
    for subscriber in subscribers:
        assert subscriber.received == expected, f"{len(subscriber.received)} of {len(expected)} changes"
    return latencies


def create_session(server: Server, number: int) -> bytes:
    """Create a session of a new device. Return its MAC address."""
    mac = f"02:00:5E:20:00:{number:02X}"
    body = orjson.dumps({"mac": mac, "ip": "10.0.0.1", "start_time": CREATE_START})
    server.client.request(Request("POST", "/sessions/create", body).encode())
    return mac.encode()
