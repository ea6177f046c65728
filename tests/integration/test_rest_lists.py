"""Lists of sessions and the calendar of the REST API."""

import pytest
from starlette.testclient import TestClient

from resolvers import sessions
from resolvers.context import Context
from resolvers.validation.models import NewSession, validate
from rest_compat.serializers import format_duration
from storage.tables import INLINE_ROWS
from tests.conftest import MAC, run
from tests.support.rest import EXAMPLE, MISSING, ROW, create, error_message, get, rest_client


@pytest.fixture
def client(context: Context) -> TestClient:
    return rest_client(context)


@pytest.mark.parametrize("where", ["list", "calendar?start=2025-08-01&end=2025-08-02", MAC])
def test_empty_database_returns_empty_lists(client: TestClient, where: str) -> None:
    """Also for a device that does not exist."""
    assert client.get(f"/sessions/{where}").content == b'{"success":true,"sessions":[]}'


@pytest.mark.parametrize(
    "mac",
    [MAC, "aa:bb:cc:dd:ee:ff", "AA-BB-CC-DD-EE-FF", "aabb.ccdd.eeff", "aabbccddeeff", "AA%3ABB%3ACC%3ADD%3AEE%3AFF"],
)
def test_all_notations_of_a_mac_address_are_the_same_device(client: TestClient, mac: str) -> None:
    """In the path and in the query string."""
    create(client, mac="aabb.ccdd.eeff")
    assert client.get(f"/sessions/{mac}?period=P1M").json()["sessions"] == [ROW]
    assert client.get(f"/sessions/list?mac={mac}").json()["sessions"] == [ROW]
    assert client.head(f"/sessions/{mac}").status_code == 200


def test_session_with_a_missing_end_shows_so(client: TestClient) -> None:
    """`<missing event>` for the end, no duration, and an estimate in the calendar only."""
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


def test_duration_of_an_open_session_counts_until_now(client: TestClient) -> None:
    """Its end is `...`, and now in the calendar."""
    create(client, start_time="2025-08-19T10:00:00", end_time=None)
    row = get(client, MAC)["sessions"][0]
    assert (row["ses_Disconnection"], row["ses_Duration"]) == ("...", "1d 2h 0m")
    entry = get(client, "calendar", start="2025-08-19", end="2025-08-25")["sessions"][0]
    assert (entry["end"], entry["color"]) == ("2025-08-20T12:00:00", "#0073b7")
    assert "\nDisconnection: <still connected>\n" in entry["tooltip"]
    assert get(client, "list", end_date="2025-08-25")["sessions"] == []


@pytest.mark.parametrize(("info", "shown"), [("", "New Device"), ("by the door", "New Device, by the door")])
def test_new_device_is_shown_in_the_info(client: TestClient, info: str, shown: str) -> None:
    """At the front, in sessions and in events."""
    create(client, event_type_conn="New Device", info=info)
    assert get(client, "list")["sessions"][0]["ses_Info"] == shown
    events = get(client, "session-events", type="new", period="1 month")["data"]
    assert [e["ses_Info"] for e in events] == [shown]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0h 0m"), (59, "0h 0m"), (60, "0h 1m"), (86_399, "23h 59m"), (86_400, "1d 0h 0m"), (None, "...")],
)
def test_format_duration(seconds: int | None, text: str) -> None:
    """Whole minutes, with days from 24 hours on."""
    assert format_duration(None if seconds is None else seconds * 1_000_000) == text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_days_start_at_midnight_of_the_time_zone(client: TestClient) -> None:
    """A time without an offset is returned as it was sent."""
    create(client, start_time="2025-08-01T00:00:00", end_time="2025-08-01T23:59:59")
    assert get(client, "list")["sessions"][0]["ses_Connection"] == "2025-08-01 00:00"
    for day, count in (("2025-07-31", 0), ("2025-08-01", 1), ("2025-08-02", 0)):
        assert len(get(client, "list", start_date=day, end_date=day)["sessions"]) == count
        assert len(get(client, "calendar", start=day, end=day)["sessions"]) == count


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_time_with_an_offset_is_converted_to_the_time_zone(client: TestClient) -> None:
    """A wall-clock time that the zone skips is rejected."""
    create(client, start_time="2025-08-01T08:00:00Z", end_time="2025-08-01T12:00:00+02:00")
    assert get(client, "list")["sessions"] == [ROW]
    skipped = EXAMPLE | {"start_time": "2025-03-30T02:30:00"}
    assert error_message(client.post("/sessions/create", json=skipped), 400, "invalid_input") == (
        "start_time: '2025-03-30T02:30:00' is not a valid time: the clocks in Europe/Berlin skip it; add an offset"
    )


def test_calendar_includes_sessions_around_the_whole_range(client: TestClient) -> None:
    """But no session that starts after it."""
    create(client, start_time="2025-07-01T00:00:00", end_time="2025-08-15T00:00:00")
    create(client, start_time="2025-08-04T00:00:00", end_time="2025-08-05T00:00:00")
    drawn = get(client, "calendar", start="2025-08-02", end="2025-08-03")["sessions"]
    assert [entry["start"] for entry in drawn] == ["2025-07-01T00:00:00"]


def test_list_is_newest_first_and_has_limit_and_offset(client: TestClient) -> None:
    for minute in range(5):
        create(client, start_time=f"2025-08-01T10:0{minute}:00")
    starts = [row["ses_Connection"][-2:] for row in get(client, "list")["sessions"]]
    assert starts == ["04", "03", "02", "01", "00"]
    middle = get(client, "list", limit="2", offset="1")["sessions"]
    assert [row["ses_Connection"][-2:] for row in middle] == ["03", "02"]
    assert get(client, "list", limit="0")["sessions"] == []
    short = get(client, "list", limit="2")["sessions"]
    assert [row["ses_Connection"][-2:] for row in short] == ["04", "03"]


def test_offset_without_limit_returns_all_remaining_sessions(client: TestClient, context: Context) -> None:
    """And limits around the size of a chunk."""
    new = [validate(NewSession, EXAMPLE | {"ip": f"10.0.{n // 250}.{n % 250}"}, context.clock) for n in range(300)]
    run(sessions.create(context, new))
    whole = get(client, "list")["sessions"]
    assert len({row["ses_IP"] for row in whole}) == len(whole) == 300
    for offset in (1, 2, 299, 300):
        assert get(client, "list", offset=str(offset))["sessions"] == whole[offset:]
    for limit in (1, INLINE_ROWS, INLINE_ROWS + 1, 250, 301):
        assert get(client, "list", limit=str(limit))["sessions"] == whole[:limit]


def test_list_of_several_chunks_is_one_json_document(client: TestClient, context: Context) -> None:
    new = validate(NewSession, EXAMPLE, context.clock)
    run(sessions.create(context, [new] * 2500))
    assert get(client, "list")["sessions"] == [ROW] * 2500
    assert get(client, "session-events", period="1 month")["total"] == 5000
