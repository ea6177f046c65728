"""The documented examples of the REST API, and what its endpoints have in common."""

import pytest
from starlette.testclient import TestClient

from resolvers.context import Context
from tests.conftest import MAC
from tests.support.rest import ENTRY, EXAMPLE, ROW, create, get, rest_client


@pytest.fixture
def client(context: Context) -> TestClient:
    return rest_client(context)


def test_documented_examples_get_the_documented_responses(client: TestClient) -> None:
    """Requests run literally one after the other. The keys come in the documented order."""
    response = client.post("/sessions/create", json=EXAMPLE)
    assert response.content == b'{"success":true,"message":"Session created for MAC AA:BB:CC:DD:EE:FF"}'
    listed = client.get("/sessions/list?mac=AA:BB:CC:DD:EE:FF&start_date=2025-08-01&end_date=2025-08-21").json()
    drawn = client.get("/sessions/calendar?start=2025-08-01&end=2025-08-21").json()
    of_device = client.get("/sessions/AA:BB:CC:DD:EE:FF?period=30%20days").json()
    summary = client.get("/sessions/session-events?type=all&period=30%20days").json()
    for body, row in ((listed, ROW), (drawn, ENTRY), (of_device, ROW)):
        assert list(body) == ["success", "sessions"]
        assert [list(r.items()) for r in body["sessions"]] == [list(row.items())]
    assert list(summary) == ["success", "data", "total", "recordsFiltered"]
    assert [list(r.items()) for r in summary["data"]] == [
        [*ROW.items(), ("eve_DateTime", "2025-08-01 12:00"), ("eve_EventType", "Disconnected")],
        [*ROW.items(), ("eve_DateTime", "2025-08-01 10:00"), ("eve_EventType", "Connected")],
    ]
    response = client.request("DELETE", "/sessions/delete", json={"mac": "AA:BB:CC:DD:EE:FF"})
    assert response.content == b'{"success":true,"message":"Deleted sessions for MAC AA:BB:CC:DD:EE:FF"}'
    assert get(client, "list")["sessions"] == []


def test_deleting_a_device_without_sessions_succeeds(client: TestClient) -> None:
    """So a delete can be repeated."""
    response = client.request("DELETE", "/sessions/delete", json={"mac": "aabb.ccdd.eeff"})
    assert response.json() == {"success": True, "message": f"Deleted sessions for MAC {MAC}"}


def test_cache_buster_parameter_is_ignored(client: TestClient) -> None:
    """Browser libraries add `_`, even twice."""
    create(client)
    assert get(client, "list?_=1&_=2")["sessions"] == [ROW]
    assert client.post("/sessions/create?_=1", json=EXAMPLE).status_code == 200
