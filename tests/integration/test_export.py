"""CSV and NDJSON exports."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from resolvers import sessions
from resolvers.context import Context
from resolvers.validation.models import NewSession, validate
from rest_compat.app import rest_app
from tests.conftest import MAC, make_client, run, sql
from tests.support.server import running
from tests.support.sessions import GENERATE_ROWS

MISSING = "<missing event>"
OTHER = "00:00:00:00:00:02"
HOSTILE = '=HYPERLINK("http://x"), \r\n "quoted"; ünï \u2028 \x1b🛜'
COLUMNS = ["mac", "ip", "connected_at", "disconnected_at", "connection_event", "disconnection_event", "state", "info"]
SESSIONS: list[dict[str, Any]] = [
    {"mac": OTHER, "start_time": None, "end_time": "2025-07-01T10:00:00Z", "event_type_conn": MISSING},
    {"mac": MAC, "start_time": "2025-08-01T10:00:00Z", "end_time": "2025-08-01T12:00:00.25Z", "info": HOSTILE},
    {"mac": MAC, "start_time": "2025-08-02T10:00:00Z", "event_type_disc": MISSING, "event_type_conn": "New Device"},
    {"mac": MAC, "start_time": "2025-08-03T10:00:00Z"},
]
CELLS = [
    [MAC, "10.0.0.1", "2025-08-03T10:00:00Z", None, "Connected", None, "CONNECTED", ""],
    [MAC, "10.0.0.1", "2025-08-02T10:00:00Z", None, "New Device", MISSING, "MISSING_DISCONNECTION", ""],
    [MAC, "10.0.0.1", "2025-08-01T10:00:00Z", "2025-08-01T12:00:00.250000Z", "Connected", "Disconnected", "COMPLETE",
     HOSTILE],
    [OTHER, "10.0.0.1", None, "2025-07-01T10:00:00Z", MISSING, "Disconnected", "MISSING_CONNECTION", ""],
]  # fmt: skip


def create(context: Context, bodies: list[dict[str, Any]]) -> None:
    run(sessions.create(context, [validate(NewSession, {"ip": "10.0.0.1"} | body, context.clock) for body in bodies]))


@pytest.fixture
def client(context: Context) -> TestClient:
    """A client of the REST API on a store with a session in each state."""
    create(context, SESSIONS)
    return make_client(Starlette(routes=[Mount("/sessions", rest_app(context))]))


def read_export(client: TestClient, export_format: str, query: str = "") -> list[list[str | None]]:
    """Parse an export with another library. Check the keys and their order, and return the values."""
    response = client.get(f"/sessions/export?format={export_format}{query}")
    assert response.status_code == 200, response.text
    if export_format == "ndjson":
        objects = [json.loads(line) for line in response.text.removesuffix("\n").split("\n") if line]
        assert all(list(fields) == COLUMNS for fields in objects)
        return [list(fields.values()) for fields in objects]
    header, *rows = csv.reader(StringIO(response.text, newline=""), strict=True)
    assert header == COLUMNS
    return [[cell or (None if n in (2, 3, 5) else "") for n, cell in enumerate(row)] for row in rows]


FORMATS = ["csv", "ndjson"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("export_format", FORMATS)
def test_an_export_has_every_session(client: TestClient, export_format: str) -> None:
    """Newest first, with instants in UTC in any time zone, unchanged text and nothing for missing ends."""
    assert read_export(client, export_format) == CELLS


@pytest.mark.parametrize("export_format", FORMATS)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"&mac={OTHER.replace(':', '-')}", CELLS[3:]),
        ("&start_date=2025-08-02", CELLS[:2]),
        ("&end_date=2025-08-01", CELLS[2:]),
        ("&limit=2&offset=1", CELLS[1:3]),
        ("&limit=0", []),
        ("&_=1", CELLS),
    ],
)
def test_an_export_has_the_filters_of_the_list(
    client: TestClient, export_format: str, query: str, expected: list[Any]
) -> None:
    assert read_export(client, export_format, query) == expected


def test_the_default_format_is_csv(client: TestClient) -> None:
    """Format names are case-insensitive."""
    assert client.get("/sessions/export").content == client.get("/sessions/export?format=CSV").content


@pytest.mark.parametrize(
    ("export_format", "content_type", "name"),
    [
        ("csv", "text/csv; charset=utf-8; header=present", "sessions.csv"),
        ("ndjson", "application/x-ndjson", "sessions.ndjson"),
    ],
)
@pytest.mark.parametrize("count", [0, 2500])
def test_an_export_is_a_download(
    client: TestClient, context: Context, export_format: str, content_type: str, name: str, count: int
) -> None:
    """For HEAD and GET, whether it is short or streamed."""
    create(context, [SESSIONS[1]] * count)
    for method in ("GET", "HEAD"):
        response = client.request(method, f"/sessions/export?format={export_format}")
        assert response.status_code == 200
        assert response.headers["content-type"] == content_type
        assert response.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("export_format", FORMATS)
def test_a_long_export_is_complete(client: TestClient, context: Context, export_format: str) -> None:
    """The chunks export_format one file with one header."""
    create(context, [SESSIONS[1]] * 2500)
    assert read_export(client, export_format) == CELLS[:2] + [CELLS[2]] * 2501 + CELLS[3:]


def test_csv_follows_rfc_4180(client: TestClient) -> None:
    """A header, CRLF line ends, and doubled quotes within quotes."""
    response = client.get("/sessions/export?start_date=2025-08-01&end_date=2025-08-01")
    assert (
        response.content
        == (
            "mac,ip,connected_at,disconnected_at,connection_event,disconnection_event,state,info\r\n"
            f"{MAC},10.0.0.1,2025-08-01T10:00:00Z,2025-08-01T12:00:00.250000Z,Connected,Disconnected,COMPLETE,"
            '"=HYPERLINK(""http://x""), \r\n ""quoted""; ünï \u2028 \x1b🛜"\r\n'
        ).encode()
    )


@pytest.mark.parametrize(("export_format", "empty"), [("csv", ",".join(COLUMNS).encode() + b"\r\n"), ("ndjson", b"")])
def test_an_export_without_sessions_is_empty(client: TestClient, export_format: str, empty: bytes) -> None:
    """CSV has only the header."""
    assert client.get(f"/sessions/export?format={export_format}&mac=00:00:00:00:00:09").content == empty


@pytest.mark.parametrize(
    ("query", "field"), [("format=xlsx", "format"), ("format=", "format"), ("mac=x", "mac"), ("period=P1D", "period")]
)
def test_an_invalid_parameter_is_a_400_with_its_name(client: TestClient, query: str, field: str) -> None:
    """With the error body of all endpoints, and without a file name."""
    response = client.get(f"/sessions/export?{query}")
    assert response.status_code == 400
    assert response.json()["message"].startswith(f"{field}: ")
    assert "content-disposition" not in response.headers


def test_other_methods_get_405(client: TestClient) -> None:
    """The path is not read as a MAC address."""
    response = client.post("/sessions/export")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("export_format", "lines", "line_end"), [("csv", 200_001, b"\r\n"), ("ndjson", 200_000, b"\n")], ids=FORMATS
)
def test_an_export_of_200_000_sessions_streams_in_bounded_memory(
    tmp_path: Path, url: str, export_format: str, lines: int, line_end: bytes
) -> None:
    """The memory of the server grows by less than 64 MiB, and the file is complete."""
    row = "'AA:BB:CC:DD:EE:FF', n, '10.0.0.1', CAST(n AS BIGINT) * 60000000, NULL, 'Connected', NULL, ''"
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    rows = GENERATE_ROWS[url.partition(":")[0]].format(count=200_000, row=row)
    sql(url, f"INSERT INTO session ({columns}) {rows}")
    with running(tmp_path, DATABASE_URL=url) as server, server.client() as client:
        client.get("/sessions/export?limit=10")
        before = server.peak_memory()
        line_count, last = 0, b""
        with client.stream("GET", f"/sessions/export?format={export_format}") as response:
            for chunk in response.iter_bytes():
                line_count += chunk.count(b"\n")
                last = (last + chunk)[-2:]
        assert line_count == lines
        assert last.endswith(line_end)
        assert server.peak_memory() - before < 64 * 1024 * 1024
