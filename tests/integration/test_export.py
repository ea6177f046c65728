"""What is exported is all that the store holds of a session, in files that other programs read."""

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
from resolvers.validation.models import NewSession, read
from rest_compat.app import rest_door
from tests.conftest import MAC, client_of, run, sql
from tests.integration.test_server import NUMBERS
from tests.support.server import running

MISSING = "<missing event>"
OTHER = "00:00:00:00:00:02"
HOSTILE = '=HYPERLINK("http://x"), \r\n "quoted"; ünï \u2028 \x1b🛜'
COLUMNS = ["mac", "ip", "connected_at", "disconnected_at", "connection_event", "disconnection_event", "state", "info"]
NEW: list[dict[str, Any]] = [
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


def create(context: Context, new: list[dict[str, Any]]) -> None:
    run(sessions.create(context, [read(NewSession, {"ip": "10.0.0.1"} | one, context.clock) for one in new]))


@pytest.fixture
def client(context: Context) -> TestClient:
    """Speaks to the door over a store that holds a session in each state."""
    create(context, NEW)
    return client_of(Starlette(routes=[Mount("/sessions", rest_door(context))]))


def exported(client: TestClient, form: str, query: str = "") -> list[list[str | None]]:
    """The sessions of an export, read by another program: the keys of each in their order, then the values."""
    answer = client.get(f"/sessions/export?format={form}{query}")
    assert answer.status_code == 200, answer.text
    if form == "ndjson":
        found = [json.loads(line) for line in answer.text.removesuffix("\n").split("\n") if line]
        assert all(list(one) == COLUMNS for one in found)
        return [list(one.values()) for one in found]
    head, *rows = csv.reader(StringIO(answer.text, newline=""), strict=True)
    assert head == COLUMNS
    return [[cell or (None if n in (2, 3, 5) else "") for n, cell in enumerate(row)] for row in rows]


FORMS = ["csv", "ndjson"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("form", FORMS)
def test_an_export_holds_every_session_whole(client: TestClient, form: str) -> None:
    """Newest first, instants in UTC whatever the zone is, texts as they were stored, nothing where there is no end."""
    assert exported(client, form) == CELLS


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"&mac={OTHER.replace(':', '-')}", CELLS[3:]),
        ("&start_date=2025-08-02", CELLS[:2]),
        ("&end_date=2025-08-01", CELLS[2:]),
        ("&limit=2&offset=1", CELLS[1:3]),
        ("&limit=0", []),
        ("&_=1", CELLS),
    ],
)
def test_the_filters_are_those_of_the_list(client: TestClient, form: str, query: str, found: list[Any]) -> None:
    """The same words leave the same sessions."""
    assert exported(client, form, query) == found


def test_csv_is_what_is_exported_unless_told(client: TestClient) -> None:
    """The name of a format is taken in any case."""
    assert client.get("/sessions/export").content == client.get("/sessions/export?format=CSV").content


@pytest.mark.parametrize(
    ("form", "content_type", "name"),
    [
        ("csv", "text/csv; charset=utf-8; header=present", "sessions.csv"),
        ("ndjson", "application/x-ndjson", "sessions.ndjson"),
    ],
)
@pytest.mark.parametrize("many", [0, 2500])
def test_an_export_is_a_file_to_be_kept(
    client: TestClient, context: Context, form: str, content_type: str, name: str, many: int
) -> None:
    """Its headers say so, for HEAD as for GET, whether it is short or streamed."""
    create(context, [NEW[1]] * many)
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/sessions/export?format={form}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == content_type
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("form", FORMS)
def test_a_long_export_comes_whole(client: TestClient, context: Context, form: str) -> None:
    """Chunk after chunk is one file, with one header."""
    create(context, [NEW[1]] * 2500)
    assert exported(client, form) == CELLS[:2] + [CELLS[2]] * 2501 + CELLS[3:]


def test_csv_follows_its_standard(client: TestClient) -> None:
    """RFC 4180: a header, CRLF at the end of each line, quotes doubled within quotes."""
    answer = client.get("/sessions/export?start_date=2025-08-01&end_date=2025-08-01")
    assert (
        answer.content
        == (
            "mac,ip,connected_at,disconnected_at,connection_event,disconnection_event,state,info\r\n"
            f"{MAC},10.0.0.1,2025-08-01T10:00:00Z,2025-08-01T12:00:00.250000Z,Connected,Disconnected,COMPLETE,"
            '"=HYPERLINK(""http://x""), \r\n ""quoted""; ünï \u2028 \x1b🛜"\r\n'
        ).encode()
    )


@pytest.mark.parametrize(("form", "empty"), [("csv", ",".join(COLUMNS).encode() + b"\r\n"), ("ndjson", b"")])
def test_an_empty_export_is_an_empty_file(client: TestClient, form: str, empty: bytes) -> None:
    """Of CSV the header is left."""
    assert client.get(f"/sessions/export?format={form}&mac=00:00:00:00:00:09").content == empty


@pytest.mark.parametrize(
    ("query", "field"), [("format=xlsx", "format"), ("format=", "format"), ("mac=x", "mac"), ("period=P1D", "period")]
)
def test_a_mistaken_parameter_is_named(client: TestClient, query: str, field: str) -> None:
    """In the error body of all paths, without a file name."""
    answer = client.get(f"/sessions/export?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field}: ")
    assert "content-disposition" not in answer.headers


def test_export_is_never_taken_for_a_mac(client: TestClient) -> None:
    """Another method than GET is a wrong method, and not an odd address."""
    answer = client.post("/sessions/export")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("form", "lines", "line_end"), [("csv", 200_001, b"\r\n"), ("ndjson", 200_000, b"\n")], ids=FORMS
)
def test_an_export_of_200_000_sessions_streams_in_bounded_memory(
    tmp_path: Path, url: str, form: str, lines: int, line_end: bytes
) -> None:
    """The server's memory grows by less than 64 MB, and the file is whole."""
    row = "'AA:BB:CC:DD:EE:FF', n, '10.0.0.1', CAST(n AS BIGINT) * 60000000, NULL, 'Connected', NULL, ''"
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    made = NUMBERS[url.partition(":")[0]].format(count=200_000, row=row)
    sql(url, f"INSERT INTO session ({columns}) {made}")
    with running(tmp_path, DATABASE_URL=url) as server, server.client() as client:
        client.get("/sessions/export?limit=10")
        before = server.memory()
        found, last = 0, b""
        with client.stream("GET", f"/sessions/export?format={form}") as answer:
            for chunk in answer.iter_bytes():
                found += chunk.count(b"\n")
                last = (last + chunk)[-2:]
        assert found == lines
        assert last.endswith(line_end)
        assert server.memory() - before < 64 * 1024 * 1024
