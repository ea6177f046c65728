"""GraphQL WebSockets and responses of test clients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

PROTOCOL = ["graphql-transport-ws"]
CLIENT_ADDRESS, OTHER_ADDRESS = "192.0.2.1", "192.0.2.2"

MakeToken = Callable[..., str]
ClientFor = Callable[..., TestClient]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def open_socket(client: TestClient, token: str | None, *, in_header: bool = False, **headers: Any) -> Iterator[Any]:
    """Open a GraphQL WebSocket with a token in a header or in its first message."""
    authorization = bearer(token) if token and in_header else {}
    with client.websocket_connect("/graphql", subprotocols=PROTOCOL, headers=authorization | headers) as socket:
        socket.send_json({"type": "connection_init", "payload": {} if in_header or token is None else bearer(token)})
        yield socket


def closing_code(socket: Any) -> int:
    """Return the code with which the server closes a WebSocket."""
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    return closed.value.code


def error_code(answer: Any) -> str:
    """Return the code of a GraphQL response's only error, or an empty string."""
    errors = answer.json().get("errors", [])
    assert len(errors) <= 1
    return errors[0]["extensions"]["code"] if errors else ""


def graphql_data(client: TestClient, query: str, **variables: Any) -> Any:
    """Return the data of a GraphQL response. Fail if it has errors."""
    body = client.post("/", json={"query": query, "variables": variables}).json()
    assert "errors" not in body, body
    return body["data"]
