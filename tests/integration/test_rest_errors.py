"""Invalid requests to the REST API, and failures of the server."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from resolvers.context import Context
from resolvers.limits import DEFAULT_LIMITS
from storage.errors import StoreUnavailableError
from tests.conftest import MAC
from tests.support.rest import EXAMPLE, MISSING, create, error_message, rest_client

Rows = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def client(context: Context) -> TestClient:
    return rest_client(context)


BAD_BODIES = [
    ("mac", ...), ("mac", "AA:BB"), ("mac", None), ("mac", 5), ("mac", ["x"]), ("mac", "GG:BB:CC:DD:EE:FF"),
    ("ip", ...), ("ip", "1.2.3"), ("ip", "300.1.1.1"), ("ip", "fe80::1%eth0"), ("ip", None),
    ("start_time", ...), ("start_time", None), ("start_time", "yesterday"), ("start_time", "2025-02-30T10:00:00"),
    ("start_time", 1754042400), ("start_time", "2025-08-01T10:00:00+99:00"), ("start_time", "2025-08-01T12:00:01"),
    ("end_time", "2025-08-01T09:59:59"), ("end_time", ""), ("end_time", {}), ("end_time", "9999-12-31T23:59:59"),
    ("event_type_conn", ""), ("event_type_conn", "x" * 101), ("event_type_conn", 1), ("event_type_conn", "\0"),
    ("event_type_disc", " "), ("event_type_disc", MISSING), ("info", 7), ("info", "x" * 10_001),
    ("start_tiem", "2025-08-01T10:00:00"), ("x" * 5000, 1),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_BODIES)
def test_invalid_field_of_create_is_named_and_nothing_is_stored(
    client: TestClient, rows: Rows, field: str, value: Any
) -> None:
    body = {name: v for name, v in (EXAMPLE | {field: value}).items() if v is not ...}
    message = error_message(client.post("/sessions/create", json=body), 400, "invalid_input")
    # `end_time` is named if the fields contradict each other.
    expected = "end_time" if value in (MISSING, "2025-08-01T12:00:01") else field[:99]
    assert message.startswith(expected)
    assert len(message) < 400
    assert rows() == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "body: is not JSON"),
        (b"{", "body: is not JSON"),
        (b'{"mac": "\xff"}', "body: is not JSON"),
        (b'{"mac": NaN}', "body: is not JSON"),
        (b'{"mac": "\\ud800"}', "body: is not JSON"),
        (b"[]", "body: is not a JSON object"),
        (b'"mac"', "body: is not a JSON object"),
        (b"null", "body: is not a JSON object"),
        (b'{"mac": ' + b"[" * 1000 + b"]" * 1000 + b"}", ""),
        (b'{"mac": ' + b"[" * 100_000, "body: is not JSON"),
    ],
)
def test_body_that_is_not_a_json_object_is_rejected_and_nothing_changes(
    client: TestClient, rows: Rows, method: str, content: bytes, text: str
) -> None:
    create(client)
    path = "/sessions/create" if method == "POST" else "/sessions/delete"
    response = client.request(method, path, content=content)
    assert text in error_message(response, 400, "invalid_input")
    assert len(rows()) == 1


@pytest.mark.parametrize("body", [{}, {"mac": "x"}, {"mac": None}, {"mac": MAC, "ip": "10.0.0.1"}, {"macs": MAC}])
def test_invalid_delete_deletes_nothing(client: TestClient, rows: Rows, body: dict[str, Any]) -> None:
    """An unknown, missing or invalid field."""
    create(client)
    message = error_message(client.request("DELETE", "/sessions/delete", json=body), 400, "invalid_input")
    assert message.startswith("ip" if "ip" in body else "mac")
    assert len(rows()) == 1


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("list?mac=AA", "mac"),
        ("list?mac=", "mac"),
        ("list?mac=%FF%FE", "mac"),
        ("list?start_date=01.08.2025", "start_date"),
        ("list?start_date=2025-02-29", "start_date"),
        ("list?end_date=2025-08-01T10:00:00", "end_date"),
        ("list?limit=-1", "limit"),
        ("list?limit=ten", "limit"),
        ("list?limit=9223372036854775808", "limit"),
        ("list?offset=1.5", "offset"),
        ("list?Mac=AA:BB:CC:DD:EE:FF", "Mac"),
        ("list?%FF=1", "\ufffd"),
        ("list?mac=AA:BB:CC:DD:EE:FF&mac=AA:BB:CC:DD:EE:FF", "mac"),
        ("export?limit=-1", "limit"),
        ("export?format=xml", "format"),
        ("EXPORT", "mac"),
        ("calendar", "start"),
        ("calendar?start=2025-08-01", "end"),
        ("calendar?start=x&end=2025-08-01", "start"),
        ("calendar?start=2025-08-01&end=2025-13-01", "end"),
        ("calendar?start=2025-08-02&end=2025-08-01", "end"),
        ("calendar?start=2025-08-01&end=2025-08-02&mac=q", "mac"),
        ("calendar?start=2025-08-01&end=2025-08-02&resource=q", "resource"),
        ("AA:BB:CC:DD:EE", "mac"),
        ("LIST", "mac"),
        (f"{MAC}?period=7", "period"),
        (f"{MAC}?period=7%20fortnights", "period"),
        (f"{MAC}?period=0%20days", "period"),
        (f"{MAC}?period=500%20years", "period"),
        (f"{MAC}?mac={MAC}", "mac"),
        (f"{MAC}?days=7", "days"),
        ("session-events?type=every", "type"),
        ("session-events?period=soon", "period"),
        ("session-events?period=999999999%20years", "period"),
        ("session-events?page=0", "page"),
        ("session-events?page=99999999999999999", "page"),
        ("session-events?limit=0", "limit"),
        ("session-events?limit=1001", "limit"),
        ("session-events?sortCol=15", "sortCol"),
        ("session-events?sortCol=mac", "sortCol"),
        ("session-events?sortDir=up", "sortDir"),
        ("session-events?format=csv", "format"),
        ("session-events?search=%00", "search"),
        ("session-events?search=" + "x" * 201, "search"),
        ("session-events?serach=x", "serach"),
    ],
)
def test_invalid_parameter_is_named(client: TestClient, where: str, field: str) -> None:
    """The message is short and starts with the name."""
    message = error_message(client.get(f"/sessions/{where}"), 400, "invalid_input")
    assert message.startswith(f"{field}: ")
    assert len(message) < 400


@pytest.mark.parametrize(("method", "where"), [("POST", "create"), ("DELETE", "delete")])
def test_query_parameter_of_a_request_with_a_body_is_rejected(
    client: TestClient, rows: Rows, method: str, where: str
) -> None:
    """It is not silently ignored."""
    response = client.request(method, f"/sessions/{where}?mac=x", json=EXAMPLE)
    assert error_message(response, 400, "invalid_input").startswith("mac: ")
    assert rows() == []


def test_error_message_repeats_at_most_100_characters_of_a_value(client: TestClient) -> None:
    message = error_message(client.post("/sessions/create", json=EXAMPLE | {"mac": "x" * 5000}), 400, "invalid_input")
    assert len(message) < 200


@pytest.mark.parametrize(
    ("method", "where", "allow"),
    [
        ("GET", "create", {"POST"}),
        ("GET", "delete", {"DELETE"}),
        ("POST", "delete", {"DELETE"}),
        ("POST", "list", {"GET", "HEAD"}),
        ("POST", "export", {"GET", "HEAD"}),
        ("DELETE", "calendar", {"GET", "HEAD"}),
        ("PUT", "session-events", {"GET", "HEAD"}),
        ("DELETE", MAC, {"GET", "HEAD"}),
    ],
)
def test_wrong_method_gets_405_with_the_allowed_methods(
    client: TestClient, method: str, where: str, allow: set[str]
) -> None:
    """Also for a name that could be a MAC address."""
    response = client.request(method, f"/sessions/{where}")
    error_message(response, 405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize("where", ["/sessions/", "/sessions/list/", f"/sessions/{MAC}/", "/sessions/a/b"])
def test_unknown_path_gets_404_without_a_redirect(client: TestClient, where: str) -> None:
    error_message(client.get(where, follow_redirects=False), 404, "not_found")


def test_too_large_body_gets_413(client: TestClient, rows: Rows) -> None:
    """By its Content-Length, or while it is read if there is none."""
    large = b'{"info": "' + b"x" * DEFAULT_LIMITS.body + b'"}'
    error_message(client.post("/sessions/create", content=large), 413, "too_large")
    error_message(client.post("/sessions/create", content=iter([large[:600_000], large[600_000:]])), 413, "too_large")
    assert rows() == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
    ],
)
def test_body_with_another_content_type_gets_415(client: TestClient, content_type: str, status: int) -> None:
    """Parameters and case of the type do not matter."""
    content = b'{"mac": "AA:BB:CC:DD:EE:FF"}'
    response = client.request("DELETE", "/sessions/delete", content=content, headers={"content-type": content_type})
    assert response.status_code == status
    if status == 415:
        error_message(response, 415, "unsupported_media_type")


PATHS = ["list", "export", "calendar?start=2025-08-01&end=2025-08-02", "session-events", MAC]


@pytest.mark.parametrize("where", PATHS)
def test_unavailable_store_gets_503(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Before the response starts, also where it is streamed."""

    async def fetch(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("locked at /secret")

    async def stream(*_: Any) -> Any:
        raise StoreUnavailableError("locked at /secret")
        yield []

    monkeypatch.setattr(context.store, "fetch", fetch)
    monkeypatch.setattr(context.store, "stream", stream)
    response = client.get(f"/sessions/{where}")
    assert "secret" not in error_message(response, 503, "unavailable")
    assert response.headers["retry-after"] == "5"


def test_unexpected_exception_gets_500_and_is_only_in_the_log(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def insert_session(*_: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(context.store, "insert_session", insert_session)
    caplog.set_level("ERROR", "netsessions")
    assert "secret" not in error_message(client.post("/sessions/create", json=EXAMPLE), 500, "internal")
    assert "secret" in caplog.text
