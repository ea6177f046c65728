"""A load of creates at both doors and of reads beside them, which remembers what became of each."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx2 as httpx

from tests.support.server import Server

CREATE = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"
READ = "{ sessions(first: 5) { nodes { mac info } } }"
KEYED = "keyed"  # in the names of those that carry an Idempotency-Key


class Load:
    """What was sent, by the text that each create carries as its info, and what came of it."""

    def __init__(self, text: str = "") -> None:
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.refused: dict[str, httpx.Response] = {}
        self.read: Counter[int] = Counter()
        self._text = text
        self._numbers = count()
        self._over = threading.Event()

    def create(self, client: httpx.Client, door: str) -> None:
        """Sends one create and notes what it is answered."""
        n = next(self._numbers)
        info = f"{door}-{n}{self._text}"
        self.send(client, door, info, n)

    def send(self, client: httpx.Client, door: str, info: str, n: int) -> None:
        """Sends the create of this info."""
        given = {"mac": f"AA:BB:CC:DD:{n % 7:02X}:{n % 251:02X}", "ip": "192.168.1.10", "info": info}
        start = "2025-08-01T10:00:00"
        try:
            if door == "graphql":
                body: dict[str, Any] = {"query": CREATE, "variables": {"input": given | {"startTime": start}}}
                answer = client.post("/graphql", json=body)
            else:
                headers = {"Idempotency-Key": f"{info[:20]}{info[-9:]}"} if door == KEYED else {}
                answer = client.post("/sessions/create", json=given | {"start_time": start}, headers=headers)
        except httpx.TransportError:
            self.unanswered.add(info)
            raise
        self.unanswered.discard(info)
        if answer.status_code == 200 and "errors" not in answer.json():
            self.acknowledged.add(info)
        else:
            self.refused[info] = answer

    def send_again(self, client: httpx.Client) -> None:
        """Those that got no answer and carried a key, under the same key."""
        for info in sorted(info for info in self.unanswered if info.startswith(KEYED)):
            self.send(client, KEYED, info, int(info.removesuffix(self._text).partition("-")[2]))

    @contextmanager
    def on(self, server: Server, *, tries: bool = False) -> Iterator[None]:
        """Runs for as long as this is open; where told, threads whose connection is lost connect anew."""
        self._over.clear()

        def repeat(work: Callable[[httpx.Client], None]) -> None:
            while not self._over.is_set():
                with server.client() as client:
                    try:
                        while not self._over.is_set():
                            work(client)
                    except httpx.TransportError:
                        if not tries:
                            return

        def look(client: httpx.Client) -> None:
            for answer in (client.get("/sessions/list?limit=5"), client.post("/graphql", json={"query": READ})):
                self.read[answer.status_code] += 1

        work: list[Callable[[httpx.Client], None]] = [look, look]
        doors = ("rest", "graphql", KEYED) * 2
        work += [lambda client, door=door: self.create(client, door) for door in doors]  # type: ignore[misc]
        threads = [threading.Thread(target=repeat, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)

    def wait_for_more(self, wanted: int, within: float = 30) -> None:
        """Until so many more were acknowledged."""
        upto = len(self.acknowledged) + wanted
        wait_until(lambda: len(self.acknowledged) >= upto, within)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Until it holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
