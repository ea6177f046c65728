"""A client of the REST API alone, and a session with what the API returns for it."""

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from resolvers.context import Context
from rest_compat.app import rest_app
from tests.conftest import make_client

MISSING = "<missing event>"
EXAMPLE = {
    "mac": "AA:BB:CC:DD:EE:FF",
    "ip": "192.168.1.10",
    "start_time": "2025-08-01T10:00:00",
    "end_time": "2025-08-01T12:00:00",
    "event_type_conn": "Connected",
    "event_type_disc": "Disconnected",
}
ROW = {
    "ses_MAC": "AA:BB:CC:DD:EE:FF",
    "ses_Connection": "2025-08-01 10:00",
    "ses_Disconnection": "2025-08-01 12:00",
    "ses_Duration": "2h 0m",
    "ses_IP": "192.168.1.10",
    "ses_Info": "",
}
ENTRY = {
    "resourceId": "AA:BB:CC:DD:EE:FF",
    "title": "",
    "start": "2025-08-01T10:00:00",
    "end": "2025-08-01T12:00:00",
    "color": "#00a659",
    "tooltip": "Connection: 2025-08-01 10:00\nDisconnection: 2025-08-01 12:00\nIP: 192.168.1.10",
    "className": "no-border",
}


def rest_client(context: Context) -> TestClient:
    """Return a client of the REST API at the path where the program mounts it."""
    return make_client(Starlette(routes=[Mount("/sessions", rest_app(context))]))


def create(client: TestClient, **changes: Any) -> None:
    """Create `EXAMPLE` with changed fields. A field set to ... is left out."""
    body = {name: value for name, value in (EXAMPLE | changes).items() if value is not ...}
    response = client.post("/sessions/create", json=body)
    assert response.status_code == 200, response.text


def create_many(client: TestClient) -> None:
    """Create four sessions with different addresses and infos."""
    for n, ip in enumerate(["10.0.0.10", "10.0.0.9", "2001:db8::1", "9.255.255.255"]):
        start, end = f"2025-08-19T1{n}:00:00", f"2025-08-19T1{n}:30:00"
        create(client, mac=f"00:00:00:00:00:0{n}", ip=ip, start_time=start, end_time=end, info=f"100{'%_x'[n % 3]}")


def get(client: TestClient, where: str, **params: str) -> dict[str, Any]:
    """Return the body of a successful response."""
    response = client.get(f"/sessions/{where}", params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert next(iter(body)) == "success"
    assert body["success"] is True
    return body


def error_message(response: Any, status: int, error: str) -> str:
    """Return the message of an error response, after checking its status and its exact keys."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["success", "message", "error"]
    assert (body["success"], body["error"]) == (False, error)
    message: str = body["message"]
    return message
