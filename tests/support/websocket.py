"""A WebSocket client that speaks `graphql-transport-ws`."""

import json
from collections.abc import Callable
from typing import Any

import websockets.sync.client

from tests.support.server import Server

WATCH = """subscription($macs: [MAC!], $after: String) {
    sessionChanges(macs: $macs, after: $after) { kind mac sessionId cursor session { id state } } }"""


class WebSocketClient:
    """A WebSocket client that sends the token in `connection_init`, as browsers do."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def send(self, message: Any) -> None:
        self.socket.send(json.dumps(message))

    def receive(self) -> Any:
        text = self.socket.recv(timeout=20)
        assert isinstance(text, str), "browsers read text"
        return json.loads(text)

    def subscribe(self, name: str, **variables: Any) -> None:
        self.send({"id": name, "type": "subscribe", "payload": {"query": WATCH, "variables": variables}})

    def next_change(self) -> Any:
        """Receive an event, and return its change."""
        message = self.receive()
        assert message["type"] == "next", message
        return message["payload"]["data"]["sessionChanges"]


def open_websocket(server: Server, query: str = "", **options: Any) -> Any:
    """Open a WebSocket to `/graphql`."""
    address = server.url.replace("http", "ws") + f"/graphql{query}"
    return websockets.sync.client.connect(address, subprotocols=["graphql-transport-ws"], **options)  # type: ignore[list-item]


Connect = Callable[..., WebSocketClient]
