"""The REST door answers as its document and the contract say."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from resolvers import devices, sessions
from resolvers.context import Context
from resolvers.limits import DEFAULT
from resolvers.validation.clock import Clock
from resolvers.validation.models import DeviceNames, NewSession, read
from rest_compat import serializers as rows_of
from rest_compat.app import rest_door
from rest_compat.openapi import document
from rest_compat.serializers import duration
from storage.errors import StoreUnavailableError
from storage.queries.events import EventRow
from storage.queries.sessions import SessionRow
from storage.tables import SHORT
from tests.conftest import MAC, at, client_of, run

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
MISSING = "<missing event>"
Rows = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def client(context: Context) -> TestClient:
    """Speaks to the door where the program mounts it."""
    return client_of(Starlette(routes=[Mount("/sessions", rest_door(context))]))


def create(client: TestClient, **changed: Any) -> None:
    """Creates the document's session with some fields changed; one set to ... is left out."""
    wanted = {name: value for name, value in (EXAMPLE | changed).items() if value is not ...}
    answer = client.post("/sessions/create", json=wanted)
    assert answer.status_code == 200, answer.text


def get(client: TestClient, where: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/sessions/{where}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert next(iter(body)) == "success"
    assert body["success"] is True
    return body


def refused(answer: Any, status: int, error: str) -> str:
    """The message of a failure, which is exactly the error body."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["success", "message", "error"]
    assert (body["success"], body["error"]) == (False, error)
    message: str = body["message"]
    return message


def test_the_documents_examples_answer_what_it_prints(client: TestClient) -> None:
    """Executed literally one after the other, with their keys in the printed order."""
    answer = client.post("/sessions/create", json=EXAMPLE)
    assert answer.content == b'{"success":true,"message":"Session created for MAC AA:BB:CC:DD:EE:FF"}'
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
    answer = client.request("DELETE", "/sessions/delete", json={"mac": "AA:BB:CC:DD:EE:FF"})
    assert answer.content == b'{"success":true,"message":"Deleted sessions for MAC AA:BB:CC:DD:EE:FF"}'
    assert get(client, "list")["sessions"] == []


@pytest.mark.parametrize("where", ["list", "calendar?start=2025-08-01&end=2025-08-02", MAC])
def test_an_empty_store_answers_an_empty_list(client: TestClient, where: str) -> None:
    """Valid JSON with no rows in it, for a device that is not known too."""
    assert client.get(f"/sessions/{where}").content == b'{"success":true,"sessions":[]}'


def test_empty_events_carry_their_totals(client: TestClient) -> None:
    """Zero rows are zero in both counts."""
    expected = b'{"success":true,"data":[],"total":0,"recordsFiltered":0}'
    assert client.get("/sessions/session-events").content == expected


def test_deleting_nothing_answers_the_same(client: TestClient) -> None:
    """A delete can be sent twice."""
    answer = client.request("DELETE", "/sessions/delete", json={"mac": "aabb.ccdd.eeff"})
    assert answer.json() == {"success": True, "message": f"Deleted sessions for MAC {MAC}"}


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
def test_a_mistaken_field_of_create_is_named_and_nothing_is_stored(
    client: TestClient, rows: Rows, field: str, value: Any
) -> None:
    """400, the field's name first in a short message, and an unchanged store."""
    wanted = {name: v for name, v in (EXAMPLE | {field: value}).items() if v is not ...}
    message = refused(client.post("/sessions/create", json=wanted), 400, "invalid_input")
    # The two times are judged together; the later one is then the mistaken one, and so is one of a contradiction.
    named = "end_time" if value in (MISSING, "2025-08-01T12:00:01") else field[:99]
    assert message.startswith(named)
    assert len(message) < 400
    assert rows() == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("content", "words"),
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
def test_a_body_that_is_no_json_object_is_refused(
    client: TestClient, rows: Rows, method: str, content: bytes, words: str
) -> None:
    """Whatever is sent, the answer says that it is the body, and the store is as it was."""
    create(client)
    path = "/sessions/create" if method == "POST" else "/sessions/delete"
    answer = client.request(method, path, content=content)
    assert words in refused(answer, 400, "invalid_input")
    assert len(rows()) == 1


@pytest.mark.parametrize("body", [{}, {"mac": "x"}, {"mac": None}, {"mac": MAC, "ip": "10.0.0.1"}, {"macs": MAC}])
def test_a_mistaken_delete_deletes_nothing(client: TestClient, rows: Rows, body: dict[str, Any]) -> None:
    """A field too much or too little, or no address: the sessions stay."""
    create(client)
    message = refused(client.request("DELETE", "/sessions/delete", json=body), 400, "invalid_input")
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
def test_a_mistaken_parameter_is_named(client: TestClient, where: str, field: str) -> None:
    """400 with the parameter's name first; never an answer to another question."""
    message = refused(client.get(f"/sessions/{where}"), 400, "invalid_input")
    assert message.startswith(f"{field}: ")
    assert len(message) < 400


@pytest.mark.parametrize(("method", "where"), [("POST", "create"), ("DELETE", "delete")])
def test_a_parameter_beside_a_body_is_refused(client: TestClient, rows: Rows, method: str, where: str) -> None:
    """What stands in the query string by mistake is not silently dropped."""
    answer = client.request(method, f"/sessions/{where}?mac=x", json=EXAMPLE)
    assert refused(answer, 400, "invalid_input").startswith("mac: ")
    assert rows() == []


def test_a_cache_buster_is_ignored(client: TestClient) -> None:
    """Browser libraries add `_`, even twice."""
    create(client)
    assert get(client, "list?_=1&_=2")["sessions"] == [ROW]
    assert client.post("/sessions/create?_=1", json=EXAMPLE).status_code == 200


def test_the_value_echoed_is_short(client: TestClient) -> None:
    """A refused value comes back with at most 100 characters."""
    message = refused(client.post("/sessions/create", json=EXAMPLE | {"mac": "x" * 5000}), 400, "invalid_input")
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
def test_a_wrong_method_is_405_and_says_which_is_right(
    client: TestClient, method: str, where: str, allow: set[str]
) -> None:
    """Also where the name could be taken for a MAC."""
    answer = client.request(method, f"/sessions/{where}")
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize("where", ["/sessions/", "/sessions/list/", f"/sessions/{MAC}/", "/sessions/a/b"])
def test_an_unknown_path_is_404(client: TestClient, where: str) -> None:
    """As the error body, and without a redirect."""
    refused(client.get(where, follow_redirects=False), 404, "not_found")


def test_too_large_a_body_is_413(client: TestClient, rows: Rows) -> None:
    """By its announced length, and while it is read where none is announced."""
    large = b'{"info": "' + b"x" * DEFAULT.body + b'"}'
    refused(client.post("/sessions/create", content=large), 413, "too_large")
    refused(client.post("/sessions/create", content=iter([large[:600_000], large[600_000:]])), 413, "too_large")
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
def test_a_body_is_json_by_its_content_type(client: TestClient, content_type: str, status: int) -> None:
    """Another type is 415; parameters and case do not matter."""
    content = b'{"mac": "AA:BB:CC:DD:EE:FF"}'
    answer = client.request("DELETE", "/sessions/delete", content=content, headers={"content-type": content_type})
    assert answer.status_code == status
    if status == 415:
        refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "mac",
    [MAC, "aa:bb:cc:dd:ee:ff", "AA-BB-CC-DD-EE-FF", "aabb.ccdd.eeff", "aabbccddeeff", "AA%3ABB%3ACC%3ADD%3AEE%3AFF"],
)
def test_every_notation_of_a_mac_is_one_device(client: TestClient, mac: str) -> None:
    """In the path and in the query string."""
    create(client, mac="aabb.ccdd.eeff")
    assert client.get(f"/sessions/{mac}?period=P1M").json()["sessions"] == [ROW]
    assert client.get(f"/sessions/list?mac={mac}").json()["sessions"] == [ROW]
    assert client.head(f"/sessions/{mac}").status_code == 200


def test_missing_ends_are_named(client: TestClient) -> None:
    """`<missing event>` in place of the end, no duration, and an estimate only in the calendar."""
    create(client, end_time=..., event_type_disc=MISSING)
    create(client, mac="00:00:00:00:00:02", start_time=None, event_type_conn=MISSING)
    start, end = (
        get(client, "list", mac="00:00:00:00:00:02")["sessions"][0],
        get(client, "list", mac=MAC)["sessions"][0],
    )
    assert (start["ses_Connection"], start["ses_Disconnection"]) == (MISSING, "2025-08-01 12:00")
    assert (end["ses_Connection"], end["ses_Disconnection"]) == ("2025-08-01 10:00", MISSING)
    assert start["ses_Duration"] == end["ses_Duration"] == "..."
    first, second = get(client, "calendar", start="2025-08-01", end="2025-08-01")["sessions"]
    assert (first["start"], first["end"], first["color"]) == ("2025-08-01T10:00:00", "2025-08-01T11:00:00", "#f39c12")
    assert (second["start"], second["end"], second["color"]) == (
        "2025-08-01T11:00:00",
        "2025-08-01T12:00:00",
        "#f39c12",
    )
    assert first["tooltip"] == f"Connection: 2025-08-01 10:00\nDisconnection: {MISSING}\nIP: 192.168.1.10"
    assert second["tooltip"] == f"Connection: {MISSING}\nDisconnection: 2025-08-01 12:00\nIP: 192.168.1.10"


def test_a_device_still_connected_lasts_until_now(client: TestClient) -> None:
    """`...` for its end, and in the calendar it ends now."""
    create(client, start_time="2025-08-19T10:00:00", end_time=None)
    row = get(client, MAC)["sessions"][0]
    assert (row["ses_Disconnection"], row["ses_Duration"]) == ("...", "1d 2h 0m")
    entry = get(client, "calendar", start="2025-08-19", end="2025-08-25")["sessions"][0]
    assert (entry["end"], entry["color"]) == ("2025-08-20T12:00:00", "#0073b7")
    assert "\nDisconnection: <still connected>\n" in entry["tooltip"]
    assert get(client, "list", end_date="2025-08-25")["sessions"] == []


@pytest.mark.parametrize(("info", "shown"), [("", "New Device"), ("by the door", "New Device, by the door")])
def test_a_new_device_is_marked(client: TestClient, info: str, shown: str) -> None:
    """At the front of the info, in sessions and events alike."""
    create(client, event_type_conn="New Device", info=info)
    assert get(client, "list")["sessions"][0]["ses_Info"] == shown
    events = get(client, "session-events", type="new", period="1 month")["data"]
    assert [e["ses_Info"] for e in events] == [shown]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0h 0m"), (59, "0h 0m"), (60, "0h 1m"), (86_399, "23h 59m"), (86_400, "1d 0h 0m"), (None, "...")],
)
def test_durations(seconds: int | None, text: str) -> None:
    """Whole minutes; days from one day on."""
    assert duration(None if seconds is None else seconds * 1_000_000) == text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_day_goes_from_midnight_to_midnight_of_the_zone(client: TestClient) -> None:
    """And what was written without an offset is read back as it was written."""
    create(client, start_time="2025-08-01T00:00:00", end_time="2025-08-01T23:59:59")
    assert get(client, "list")["sessions"][0]["ses_Connection"] == "2025-08-01 00:00"
    for day, found in (("2025-07-31", 0), ("2025-08-01", 1), ("2025-08-02", 0)):
        assert len(get(client, "list", start_date=day, end_date=day)["sessions"]) == found
        assert len(get(client, "calendar", start=day, end=day)["sessions"]) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_a_time_with_an_offset_is_answered_in_the_zone(client: TestClient) -> None:
    """It is converted, and a skipped wall-clock time is refused."""
    create(client, start_time="2025-08-01T08:00:00Z", end_time="2025-08-01T12:00:00+02:00")
    assert get(client, "list")["sessions"] == [ROW]
    skipped = EXAMPLE | {"start_time": "2025-03-30T02:30:00"}
    assert refused(client.post("/sessions/create", json=skipped), 400, "invalid_input") == (
        "start_time: '2025-03-30T02:30:00' is not a time that exists: "
        "the clocks of Europe/Berlin skip it; add an offset"
    )


def test_a_calendar_draws_what_spans_it(client: TestClient) -> None:
    """A session around the whole range is drawn, one that starts after it is not."""
    create(client, start_time="2025-07-01T00:00:00", end_time="2025-08-15T00:00:00")
    create(client, start_time="2025-08-04T00:00:00", end_time="2025-08-05T00:00:00")
    drawn = get(client, "calendar", start="2025-08-02", end="2025-08-03")["sessions"]
    assert [entry["start"] for entry in drawn] == ["2025-07-01T00:00:00"]


def test_a_list_is_newest_first_and_can_be_cut(client: TestClient) -> None:
    """`limit` and `offset` cut it; more rows than one chunk holds come whole."""
    for minute in range(5):
        create(client, start_time=f"2025-08-01T10:0{minute}:00")
    starts = [row["ses_Connection"][-2:] for row in get(client, "list")["sessions"]]
    assert starts == ["04", "03", "02", "01", "00"]
    cut = get(client, "list", limit="2", offset="1")["sessions"]
    assert [row["ses_Connection"][-2:] for row in cut] == ["03", "02"]
    assert get(client, "list", limit="0")["sessions"] == []
    short = get(client, "list", limit="2")["sessions"]
    assert [row["ses_Connection"][-2:] for row in short] == ["04", "03"]


def test_a_list_can_be_begun_later_and_have_no_end(client: TestClient, context: Context) -> None:
    """Whatever is left, however much that is."""
    new = [read(NewSession, EXAMPLE | {"ip": f"10.0.{n // 250}.{n % 250}"}, context.clock) for n in range(300)]
    run(sessions.create(context, new))
    whole = get(client, "list")["sessions"]
    assert len({row["ses_IP"] for row in whole}) == len(whole) == 300
    for offset in (1, 2, 299, 300):
        assert get(client, "list", offset=str(offset))["sessions"] == whole[offset:]
    for limit in (1, SHORT, SHORT + 1, 250, 301):
        assert get(client, "list", limit=str(limit))["sessions"] == whole[:limit]


def _many(client: TestClient) -> None:
    for n, ip in enumerate(["10.0.0.10", "10.0.0.9", "2001:db8::1", "9.255.255.255"]):
        start, end = f"2025-08-19T1{n}:00:00", f"2025-08-19T1{n}:30:00"
        create(client, mac=f"00:00:00:00:00:0{n}", ip=ip, start_time=start, end_time=end, info=f"100{'%_x'[n % 3]}")


@pytest.mark.parametrize("column", ["ses_IP", "9", "10"])
def test_addresses_sort_by_number(client: TestClient, column: str) -> None:
    """As text 10.0.0.10 would come before 10.0.0.9."""
    _many(client)
    found = get(client, "session-events", type="sessions", sortCol=column, sortDir="asc")["data"]
    assert [row["ses_IP"] for row in found] == ["9.255.255.255", "10.0.0.9", "10.0.0.10", "2001:db8::1"]


@pytest.mark.parametrize("column", [*ROW, "eve_DateTime", "eve_EventType", *map(str, range(15))])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_every_column_sorts(client: TestClient, column: str, direction: str) -> None:
    """By key or by position, nothing is lost."""
    _many(client)
    assert len(get(client, "session-events", sortCol=column, sortDir=direction)["data"]) == 8


def test_pages_part_the_whole(client: TestClient) -> None:
    """One after the other they are the unpaged answer, each with the same totals."""
    _many(client)
    whole = get(client, "session-events")
    assert (len(whole["data"]), whole["total"], whole["recordsFiltered"]) == (8, 8, 8)
    pages = [get(client, "session-events", page=str(n), limit="3") for n in (1, 2, 3, 4)]
    assert [row for page in pages for row in page["data"]] == whole["data"]
    assert [len(page["data"]) for page in pages] == [3, 3, 2, 0]
    assert {(page["total"], page["recordsFiltered"]) for page in pages} == {(8, 8)}
    assert get(client, "session-events", page="1")["data"] == whole["data"]
    assert get(client, "session-events", page=str(10**15), limit="1000")["data"] == []


@pytest.mark.parametrize(
    ("search", "found"),
    [("", 4), ("%", 2), ("_", 1), ("100", 4), ("KÜCHE", 1), ("küche", 1), ("10.0.0.9", 1), ("\\", 0)],
)
def test_search_takes_its_text_literally_and_in_any_case(
    client: TestClient, context: Context, search: str, found: int
) -> None:
    """`%` and `_` are themselves; umlauts match in the other case; the total stays that of everything."""
    _many(client)
    names = DeviceNames.model_validate({"mac": "00:00:00:00:00:00", "name": "Küche"}, context=context.clock)
    run(devices.name(context, names))
    body = get(client, "session-events", type="sessions", search=search, page="1", limit="1")
    assert (body["total"], body["recordsFiltered"]) == (4, found)
    assert len(body["data"]) == min(found, 1)


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("all", ["Disconnected", "Device Down", "New Device", "VOIDED - Connected"]),
        ("down", ["Device Down"]),
        ("new", ["New Device"]),
        ("voided", ["VOIDED - Connected"]),
        ("sessions", [None, None, None]),
        ("missing", [None]),
    ],
)
def test_each_type_answers_its_rows(client: TestClient, kind: str, types: list[str | None]) -> None:
    """Events by their type, newest first; sessions with a null event."""
    create(
        client, start_time="2025-08-19T10:00:00", end_time="2025-08-19T13:00:00", event_type_conn="VOIDED - Connected"
    )
    create(
        client,
        start_time="2025-08-19T11:00:00",
        end_time="2025-08-19T12:00:00",
        event_type_conn="New Device",
        event_type_disc="Device Down",
    )
    create(client, start_time="2025-08-01T11:00:00")
    create(client, start_time=None, end_time="2025-08-19T09:00:00", event_type_conn=MISSING, event_type_disc="Down!")
    body = get(client, "session-events", type=kind)
    found = [row["eve_EventType"] for row in body["data"]]
    expected = [*types, "Down!"] if kind == "all" else types
    assert found == expected
    assert body["total"] == len(expected)


def test_datatables_rows_have_their_15_positions(client: TestClient, context: Context) -> None:
    """Numbers where the table sorts by numbers, an IPv6 address among them whole."""
    create(client, start_time="2025-08-19T10:00:00", end_time="2025-08-19T12:00:00")
    create(client, ip="2001:db8::1", start_time="2025-08-19T13:00:00", end_time=..., event_type_conn="New Device")
    names = DeviceNames.model_validate({"mac": MAC, "name": "Printer", "owner": "Ada"}, context=context.clock)
    run(devices.name(context, names))
    found = get(client, "session-events", format="datatables")["data"]
    assert found[0] == [
        "2025-08-19 13:00", "Printer", "Ada", "2025-08-19 13:00", "New Device", "2025-08-19 13:00", "...", "23h 0m",
        82_800, "2001:db8::1", int(ip_address("2001:db8::1")), "New Device", 1, MAC, 0,
    ]  # fmt: skip
    assert found[1] == [
        "2025-08-19 12:00", "Printer", "Ada", "2025-08-19 12:00", "Disconnected", "2025-08-19 10:00",
        "2025-08-19 12:00", "2h 0m", 7200, "192.168.1.10", 3_232_235_786, "", 0, MAC, 0,
    ]  # fmt: skip
    assert all(len(row) == 15 for row in found)


PATHS = ["list", "export", "calendar?start=2025-08-01&end=2025-08-02", "session-events", MAC]


@pytest.mark.parametrize("where", PATHS)
def test_a_store_that_cannot_serve_is_503(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Before the answer begins, also where the answer is streamed."""

    async def fetch(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("locked at /secret")

    async def stream(*_: Any) -> Any:
        raise StoreUnavailableError("locked at /secret")
        yield []

    monkeypatch.setattr(context.store, "fetch", fetch)
    monkeypatch.setattr(context.store, "stream", stream)
    answer = client.get(f"/sessions/{where}")
    assert "secret" not in refused(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"


def test_an_unforeseen_failure_is_500_and_its_cause_is_in_the_log(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller is told nothing of the inside."""

    async def record_one(*_: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(context.store, "record_one", record_one)
    caplog.set_level("ERROR", "netsessions")
    assert "secret" not in refused(client.post("/sessions/create", json=EXAMPLE), 500, "internal")
    assert "secret" in caplog.text


def test_a_long_list_comes_whole(client: TestClient, context: Context) -> None:
    """Chunk after chunk is one valid JSON document."""
    new = read(NewSession, EXAMPLE, context.clock)
    run(sessions.create(context, [new] * 2500))
    assert get(client, "list")["sessions"] == [ROW] * 2500
    assert get(client, "session-events", period="1 month")["total"] == 5000


def test_the_description_covers_the_door() -> None:
    """All paths with their methods, their parameters, and only references that lead somewhere."""
    described = document()
    assert {path: list(methods) for path, methods in described["paths"].items()} == {
        "/sessions/create": ["post"],
        "/sessions/start": ["post"],
        "/sessions/stop": ["post"],
        "/sessions/delete": ["delete"],
        "/sessions/list": ["get"],
        "/sessions/export": ["get"],
        "/sessions/calendar": ["get"],
        "/sessions/calendar.ics": ["get"],
        "/sessions/session-events": ["get"],
        "/sessions/{mac}": ["get"],
    }
    events = described["paths"]["/sessions/session-events"]["get"]
    names = ["type", "period", "page", "limit", "search", "sortCol", "sortDir", "format"]
    assert [p["name"] for p in events["parameters"]] == names
    assert all("anyOf" not in p["schema"] for p in events["parameters"])
    schemas = described["components"]["schemas"]
    references = str(described).split("'#/components/schemas/")[1:]
    assert {reference.partition("'")[0] for reference in references} <= set(schemas)


def test_the_description_tells_what_a_parameter_may_be() -> None:
    """Its names, its bounds, or an example of its form."""
    paths = document()["paths"]
    told = {
        p["name"]: p["schema"]
        for path in ("list", "session-events")
        for p in paths[f"/sessions/{path}"]["get"]["parameters"]
    }
    assert told["sortDir"] == {"type": "string", "enum": ["asc", "desc"], "default": "desc"}
    assert told["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert told["start_date"] == {"type": "string", "format": "date", "examples": ["2025-08-01"]}


@given(st.text(), st.sampled_from(["Connected", "New Device"]), st.text(min_size=1))
@example('"\\\x00\x1f\x7f\u2028\U0001f6dc', "New Device", "</script>")
def test_rows_are_written_as_an_encoder_would(info: str, event: str, end_event: str) -> None:
    """Whatever the texts hold."""
    clock, now = Clock(ZoneInfo("UTC")), at("2025-08-20T12:00:00Z")
    row = SessionRow("AA:BB:CC:DD:EE:FF", 1, "10.0.0.1", 0, 7_200_000_000, event, end_event, info, "COMPLETE")
    mark = "New Device" if event == "New Device" else ""
    six = {
        "ses_MAC": row.mac,
        "ses_Connection": "1970-01-01 00:00",
        "ses_Disconnection": "1970-01-01 02:00",
        "ses_Duration": "2h 0m",
        "ses_IP": row.ip,
        "ses_Info": ", ".join(filter(None, (mark, info))),
    }
    found = EventRow(row, 7_200_000_000, end_event, 7_200_000_000, 1, info, None)
    with_event = six | {"eve_DateTime": "1970-01-01 02:00", "eve_EventType": end_event}
    assert rows_of.session(row, clock, now) == orjson.dumps(six).decode()
    assert rows_of.event(found, clock, now) == orjson.dumps(with_event).decode()
    assert orjson.loads(rows_of.table(found, clock, now))[:5] == [
        "1970-01-01 02:00",
        info,
        None,
        "1970-01-01 02:00",
        end_event,
    ]
