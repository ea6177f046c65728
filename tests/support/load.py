"""Concurrent creates through both APIs, with reads at the same time, and a record of each create's outcome."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx2 as httpx

from tests.support.server import Server, wait_until

CREATE = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"
READ = "{ sessions(first: 5) { nodes { mac info } } }"
KEYED = "keyed"  # the REST API with an Idempotency-Key


class Load:
    """The creates that were sent, identified by their `info`, and their outcome."""

    def __init__(self, text: str = "") -> None:
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.rejected: dict[str, httpx.Response] = {}
        self.reads: Counter[int] = Counter()  # number of reads by HTTP status
        self._text = text
        self._numbers = count()
        self._stopping = threading.Event()

    def create(self, client: httpx.Client, api: str) -> None:
        """Send one create with a new `info`, and record its outcome."""
        number = next(self._numbers)
        self.send(client, api, f"{api}-{number}{self._text}", number)

    def send(self, client: httpx.Client, api: str, info: str, number: int) -> None:
        """Send the create with this `info`, and record its outcome. Raise TransportError if there is no response."""
        session = {"mac": f"AA:BB:CC:DD:{number % 7:02X}:{number % 251:02X}", "ip": "192.168.1.10", "info": info}
        start = "2025-08-01T10:00:00"
        try:
            if api == "graphql":
                body: dict[str, Any] = {"query": CREATE, "variables": {"input": session | {"startTime": start}}}
                response = client.post("/graphql", json=body)
            else:
                headers = {"Idempotency-Key": f"{info[:20]}{info[-9:]}"} if api == KEYED else {}
                response = client.post("/sessions/create", json=session | {"start_time": start}, headers=headers)
        except httpx.TransportError:
            self.unanswered.add(info)
            raise
        self.unanswered.discard(info)
        if response.status_code == 200 and "errors" not in response.json():
            self.acknowledged.add(info)
        else:
            self.rejected[info] = response

    def retry_unanswered(self, client: httpx.Client) -> None:
        """Send the keyed creates without a response again, with the same key."""
        for info in sorted(info for info in self.unanswered if info.startswith(KEYED)):
            self.send(client, KEYED, info, int(info.removesuffix(self._text).partition("-")[2]))

    @contextmanager
    def running(self, server: Server, *, reconnect: bool = False) -> Iterator[None]:
        """Run eight threads of clients while the context is open. With `reconnect`, they survive lost connections."""
        self._stopping.clear()

        def repeat(send: Callable[[httpx.Client], None]) -> None:
            while not self._stopping.is_set():
                with server.client() as client:
                    try:
                        while not self._stopping.is_set():
                            send(client)
                    except httpx.TransportError:
                        if not reconnect:
                            return

        def read(client: httpx.Client) -> None:
            for response in (client.get("/sessions/list?limit=5"), client.post("/graphql", json={"query": READ})):
                self.reads[response.status_code] += 1

        senders: list[Callable[[httpx.Client], None]] = [read, read]
        apis = ("rest", "graphql", KEYED) * 2
        senders += [lambda client, api=api: self.create(client, api) for api in apis]  # type: ignore[misc]
        threads = [threading.Thread(target=repeat, args=(send,)) for send in senders]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(60)

    def wait_for_acknowledged(self, count: int, seconds: float = 30) -> None:
        """Wait until the server has acknowledged `count` more creates."""
        target = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= target, seconds)
