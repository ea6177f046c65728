"""An hour of a busy network in ten minutes: the server is as small and as quick at the end as it was at the beginning."""

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
WARM = 5.0  # seconds at the beginning that are not compared: everything is done for the first time then
FIRST = min(60.0, SECONDS / 4)  # seconds that the rest is compared to
CLIENTS, PAUSE = 6, 0.03  # and seconds that each client waits after an answer: some 150 requests a second
MOST_MEMORY = 48 * 2**20  # bytes that the resident memory may grow by after the first minute
MOST_FILES = 12  # handles that may be open more than in the first minute
MOST_SLOWER = 1.5  # times the p99 of the first minute

WATCH = "subscription { sessionChanges { kind sessionId cursor session { mac state } } }"
UPDATE = 'mutation ($id: ID!) { updateSession(id: $id, info: "seen") { id } }'
READ = "{ sessions(first: 50) { totalCount nodes { id mac ip state connectedAt device { name } } pageInfo { endCursor } } }"
PRESENCE = "query ($day: Date!) { presence(start: $day, end: $day, bucket: HOUR) { onlineSeconds devices peak } }"


class Client:
    """One of many: each request is another, and what it took is kept."""

    def __init__(self, server: Server, number: int) -> None:
        self.took: list[tuple[float, float]] = []  # seconds since the beginning, seconds
        self.bad: list[str] = []
        self._server = server
        self._number = number
        self._turns = itertools.count()

    def go(self, begun: float, until: float) -> None:
        with self._server.client() as client:
            while time.monotonic() < until:
                n = next(self._turns)
                asked = time.monotonic()
                answer = self._ask(client, n)
                self.took.append((asked - begun, time.monotonic() - asked))
                if answer.status_code != 200 or "errors" in answer.text[:10]:
                    self.bad.append(f"{answer.request.url} {answer.status_code} {answer.text[:200]}")
                time.sleep(PAUSE)

    def _ask(self, client: httpx.Client, n: int) -> httpx.Response:
        mac = f"02:00:00:00:{self._number:02X}:{n % 200:02X}"
        device = {"mac": mac, "ip": "192.0.2.1"}
        day = time.strftime("%Y-%m-%d", time.gmtime())

        def graphql(query: str, **variables: Any) -> httpx.Response:
            return client.post("/graphql", json={"query": query, "variables": variables})

        turns: list[Callable[[], httpx.Response]] = [
            lambda: client.post("/sessions/start", json=device),
            lambda: graphql(READ),
            lambda: client.get(f"/sessions/{mac}"),
            lambda: client.post("/sessions/create", json=device | {"start_time": f"{day}T00:00:00Z"}),
            lambda: client.get("/sessions/session-events", params={"period": "1 hour", "limit": "100"}),
            lambda: graphql(PRESENCE, day=day),
            lambda: client.post("/sessions/stop", json=device),
            lambda: client.get("/sessions/list", params={"mac": mac}),
            # Another text each time: what is kept of queries is bounded.
            lambda: graphql(f'{{ a{n}: device(mac: "{mac}") {{ lastSeen }} }}'),
            lambda: client.get("/sessions/export", params={"mac": mac, "format": "ndjson"}),
            lambda: client.request("DELETE", "/sessions/delete", json={"mac": mac}),
            lambda: client.get("/metrics"),
        ]
        return turns[(n + self._number) % len(turns)]()


def watch(server: Server, until: float, seen: list[int]) -> None:
    """One subscriber after the other, each for a second."""
    while time.monotonic() < until:
        with connect(f"{server.url.replace('http', 'ws')}/graphql", subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            socket.send(f'{{"type": "connection_init", "payload": {{"Authorization": "Bearer {TOKEN}"}}}}')
            assert "connection_ack" in str(socket.recv(30))
            socket.send(f'{{"id": "1", "type": "subscribe", "payload": {{"query": "{WATCH}"}}}}')
            leaving = time.monotonic() + 1
            while time.monotonic() < leaving:
                try:
                    socket.recv(0.5)
                    seen.append(1)
                except TimeoutError:
                    continue


class Sampler(threading.Thread):
    """Looks every second at what the server's process holds."""

    def __init__(self, server: Server, begun: float) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int, int]] = []  # seconds since the beginning, bytes, open files
        self.over = threading.Event()
        self._process = Path(f"/proc/{server.process.pid}")
        self._begun = begun

    def run(self) -> None:
        while not self.over.wait(1):
            status = (self._process / "status").read_text(encoding="ascii")
            resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
            files = len(list((self._process / "fd").iterdir()))
            self.samples.append((time.monotonic() - self._begun, resident, files))


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


@pytest.mark.soak
def test_it_neither_grows_nor_slows_down(
    tmp_path: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    """Six clients of every kind of request, and subscribers that come and go."""
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="warning") as server:
        begun = time.monotonic()
        until = begun + SECONDS
        sampler, clients = Sampler(server, begun), [Client(server, n) for n in range(CLIENTS)]
        seen: list[int] = []
        sampler.start()
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            watching = [pool.submit(watch, server, until, seen) for _ in range(2)]
            for done in [*(pool.submit(client.go, begun, until) for client in clients), *watching]:
                done.result()
        sampler.over.set()
        assert server.stop() == 0
    took = [one for client in clients for one in client.took]
    first = p99([took for at, took in took if WARM <= at < FIRST])
    rest = p99([took for at, took in took if at >= FIRST])
    early = [sample for sample in sampler.samples if WARM <= sample[0] < FIRST]
    late = [sample for sample in sampler.samples if sample[0] >= SECONDS - FIRST]
    memory = [statistics.median(sample[1] for sample in part) / 2**20 for part in (early, late)]
    files = [max(sample[2] for sample in part) for part in (early, late)]
    figures = {
        "requests": len(took),
        "changes told of": len(seen),
        "p99 of the first minute, ms": round(first * 1000, 1),
        "p99 of the rest, ms": round(rest * 1000, 1),
        "memory of the first and the last minute, MiB": [round(each, 1) for each in memory],
        "open files of the first and the last minute": files,
    }
    print(figures)  # noqa: T201, for whoever runs it with -s
    record_property("figures", figures)
    assert [bad for client in clients for bad in client.bad] == []
    assert len(took) > SECONDS * 50
    assert len(seen) > SECONDS
    assert memory[1] - memory[0] < MOST_MEMORY / 2**20, figures
    assert files[1] - files[0] <= MOST_FILES, figures
    assert rest <= MOST_SLOWER * first, figures
    assert "Traceback" not in server.output.read_text()
