"""Ten minutes of heavy load: memory, open files and latency of the server do not grow."""

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from websockets.sync.client import connect

from tests.support.server import TOKEN, Server, running

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
WARMUP = 5.0  # seconds at the start that are not compared
FIRST_PERIOD = min(60.0, SECONDS / 4)  # seconds that the rest is compared with
CLIENTS = 6
PAUSE = 0.03  # seconds between two requests of a client: together about 150 requests a second
MAX_MEMORY_GROWTH = 48 * 2**20  # bytes of resident memory, from the first minute to the last
MAX_FILE_GROWTH = 12  # open files, from the first minute to the last
MAX_SLOWDOWN = 1.5  # p99 latency of the rest divided by that of the first minute

SUBSCRIPTION = "subscription { sessionChanges { kind sessionId cursor session { mac state } } }"
READ = "{ sessions(first: 50) { totalCount nodes { id mac ip state connectedAt device { name } } pageInfo { endCursor } } }"
PRESENCE = "query ($day: Date!) { presence(start: $day, end: $day, bucket: HOUR) { onlineSeconds devices peak } }"


class Client:
    """A client that sends every kind of request in turn, and records the latencies and the failures."""

    def __init__(self, server: Server, number: int) -> None:
        self.latencies: list[tuple[float, float]] = []  # seconds since the start of the test, latency in seconds
        self.failures: list[str] = []
        self._server = server
        self._number = number
        self._numbers = itertools.count()

    def run(self, start: float, end: float) -> None:
        """Send requests until `end`, in monotonic seconds like `start`."""
        with self._server.client() as client:
            while time.monotonic() < end:
                sent_at = time.monotonic()
                response = self._send(client, next(self._numbers))
                self.latencies.append((sent_at - start, time.monotonic() - sent_at))
                if response.status_code != 200 or "errors" in response.text[:10]:
                    self.failures.append(f"{response.request.url} {response.status_code} {response.text[:200]}")
                time.sleep(PAUSE)

    def _send(self, client: httpx.Client, number: int) -> httpx.Response:
        mac = f"02:00:00:00:{self._number:02X}:{number % 200:02X}"
        device = {"mac": mac, "ip": "192.0.2.1"}
        day = time.strftime("%Y-%m-%d", time.gmtime())

        def graphql(query: str, **variables: Any) -> httpx.Response:
            return client.post("/graphql", json={"query": query, "variables": variables})

        requests: list[Callable[[], httpx.Response]] = [
            lambda: client.post("/sessions/start", json=device),
            lambda: graphql(READ),
            lambda: client.get(f"/sessions/{mac}"),
            lambda: client.post("/sessions/create", json=device | {"start_time": f"{day}T00:00:00Z"}),
            lambda: client.get("/sessions/session-events", params={"period": "1 hour", "limit": "100"}),
            lambda: graphql(PRESENCE, day=day),
            lambda: client.post("/sessions/stop", json=device),
            lambda: client.get("/sessions/list", params={"mac": mac}),
            # A different query text each time: the query cache must stay bounded.
            lambda: graphql(f'{{ a{number}: device(mac: "{mac}") {{ lastSeen }} }}'),
            lambda: client.get("/sessions/export", params={"mac": mac, "format": "ndjson"}),
            lambda: client.request("DELETE", "/sessions/delete", json={"mac": mac}),
            lambda: client.get("/metrics"),
        ]
        return requests[(number + self._number) % len(requests)]()


def subscribe_repeatedly(server: Server, end: float, received: list[int]) -> None:
    """Subscribe for a second at a time until `end`, and append to `received` for each message."""
    while time.monotonic() < end:
        with connect(f"{server.url.replace('http', 'ws')}/graphql", subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            socket.send(f'{{"type": "connection_init", "payload": {{"Authorization": "Bearer {TOKEN}"}}}}')
            assert "connection_ack" in str(socket.recv(30))
            socket.send(f'{{"id": "1", "type": "subscribe", "payload": {{"query": "{SUBSCRIPTION}"}}}}')
            disconnect_at = time.monotonic() + 1
            while time.monotonic() < disconnect_at:
                try:
                    socket.recv(0.5)
                    received.append(1)
                except TimeoutError:
                    continue


class Sampler(threading.Thread):
    """A thread that samples the memory and the open files of the server every second."""

    def __init__(self, server: Server, start: float) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int, int]] = []  # seconds since the start, bytes, open files
        self.stopping = threading.Event()
        self._process = Path(f"/proc/{server.process.pid}")
        self._test_start = start

    def run(self) -> None:
        while not self.stopping.wait(1):
            status = (self._process / "status").read_text(encoding="ascii")
            resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
            files = len(list((self._process / "fd").iterdir()))
            self.samples.append((time.monotonic() - self._test_start, resident, files))


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


@pytest.mark.soak
def test_memory_files_and_latency_do_not_grow(
    tmp_path: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    """Six clients send every kind of request, and subscribers come and go."""
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="warning") as server:
        start = time.monotonic()
        end = start + SECONDS
        sampler, clients = Sampler(server, start), [Client(server, number) for number in range(CLIENTS)]
        received: list[int] = []
        sampler.start()
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            subscribers = [pool.submit(subscribe_repeatedly, server, end, received) for _ in range(2)]
            for future in [*(pool.submit(client.run, start, end) for client in clients), *subscribers]:
                future.result()
        sampler.stopping.set()
        assert server.stop() == 0
    latencies = [latency for client in clients for latency in client.latencies]
    first = p99([seconds for at, seconds in latencies if WARMUP <= at < FIRST_PERIOD])
    rest = p99([seconds for at, seconds in latencies if at >= FIRST_PERIOD])
    early = [sample for sample in sampler.samples if WARMUP <= sample[0] < FIRST_PERIOD]
    late = [sample for sample in sampler.samples if sample[0] >= SECONDS - FIRST_PERIOD]
    memory = [statistics.median(sample[1] for sample in part) / 2**20 for part in (early, late)]
    files = [max(sample[2] for sample in part) for part in (early, late)]
    figures = {
        "requests": len(latencies),
        "changes received": len(received),
        "p99 of the first minute, ms": round(first * 1000, 1),
        "p99 of the rest, ms": round(rest * 1000, 1),
        "memory of the first and the last minute, MiB": [round(size, 1) for size in memory],
        "open files of the first and the last minute": files,
    }
    print(figures)  # noqa: T201, shown by pytest -s
    record_property("figures", figures)
    assert [failure for client in clients for failure in client.failures] == []
    assert len(latencies) > SECONDS * 50
    assert len(received) > SECONDS
    assert memory[1] - memory[0] < MAX_MEMORY_GROWTH / 2**20, figures
    assert files[1] - files[0] <= MAX_FILE_GROWTH, figures
    assert rest <= MAX_SLOWDOWN * first, figures
    assert "Traceback" not in server.output.read_text()
