"""The calendar feed has the entries of the JSON calendar, as parsed by the icalendar library."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from icalendar import Calendar
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from resolvers import devices
from resolvers.context import Context
from resolvers.validation.clock import Clock
from resolvers.validation.models import DeviceUpdate
from rest_compat import ical
from rest_compat.app import rest_app
from storage.queries.sessions import CalendarRow
from storage.store import Store
from storage.tables import DAY, SessionRow
from tests.conftest import MAC, at, make_client, run, sql
from tests.support.rest import EXAMPLE, MISSING, create, error_message

OTHER = "00:00:00:00:00:02"


@pytest.fixture
def client(context: Context) -> TestClient:
    """Return a client of the REST API under its mount path."""
    return make_client(Starlette(routes=[Mount("/sessions", rest_app(context))]))


def parsed(body: bytes) -> Any:
    """Parse a calendar. Its properties may have any of the library's types."""
    return Calendar.from_ical(body)


def read(client: TestClient, **query: str) -> Any:
    """Request and parse the calendar."""
    answer = client.get("/sessions/calendar.ics", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private"
    lines = answer.content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 75 for line in lines)
    return parsed(answer.content)


def events(client: TestClient, **query: str) -> list[tuple[str, datetime, datetime, str]]:
    """Return summary, start, end and state of each event."""
    vevents = read(client, **query).walk("VEVENT")
    return [(str(e["SUMMARY"]), e["DTSTART"].dt, e["DTEND"].dt, str(e["CATEGORIES"].cats[0])) for e in vevents]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def name(context: Context, mac: str, new_name: str) -> None:
    run(devices.update_device(context, DeviceUpdate(mac=mac, name=new_name)))


def test_a_session_is_an_event_with_the_name_of_its_device(client: TestClient, context: Context) -> None:
    """It has both ends in UTC, the tooltip and the state. The MAC replaces a missing name."""
    create(client)
    create(client, mac=OTHER)
    name(context, MAC, "Ada's phone")
    calendar = read(client)
    assert (calendar["VERSION"], calendar["X-WR-CALNAME"]) == ("2.0", "Sessions")
    first, second = sorted(calendar.walk("VEVENT"), key=lambda event: str(event["SUMMARY"]), reverse=True)
    assert (str(first["SUMMARY"]), str(second["SUMMARY"])) == ("Ada's phone", OTHER)
    assert (first["DTSTART"].dt, first["DTEND"].dt) == (utc("2025-08-01T10:00:00"), utc("2025-08-01T12:00:00"))
    tooltip = "Connection: 2025-08-01 10:00\nDisconnection: 2025-08-01 12:00\nIP: 192.168.1.10"
    assert (str(first["DESCRIPTION"]), first["CATEGORIES"].to_ical()) == (tooltip, b"COMPLETE")
    assert first["DTSTAMP"].dt == first["DTEND"].dt
    # Calendar clients must not show their user as busy during a session.
    assert first["TRANSP"] == "TRANSPARENT"


def test_a_calendar_suggests_an_hourly_refresh(client: TestClient) -> None:
    """With the property of RFC 7986 and with its older form."""
    body = client.get("/sessions/calendar.ics").content
    assert b"\r\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in body
    assert b"\r\nX-PUBLISHED-TTL:PT1H\r\n" in body


def test_an_empty_store_has_an_empty_calendar(client: TestClient) -> None:
    """It is valid and has no events."""
    assert events(client) == []


def test_missing_ends_are_estimated_as_in_the_json_calendar(client: TestClient, context: Context) -> None:
    """From adjacent sessions of the device, or as an hour. A connected session ends now."""
    create(client, end_time=..., event_type_disc=MISSING)
    create(client, start_time="2025-08-01T10:20:00", end_time="2025-08-01T10:30:00")
    create(client, mac=OTHER, start_time=None, event_type_conn=MISSING)
    create(client, mac=OTHER, start_time="2025-08-19T10:00:00", end_time=None)
    drawn = client.get("/sessions/calendar?start=2025-08-01&end=2025-08-20").json()["sessions"]
    expected = [(e["resourceId"], utc(e["start"]), utc(e["end"])) for e in drawn]
    assert [event[:3] for event in events(client)] == expected
    assert [event[3] for event in events(client)] == [
        "MISSING_DISCONNECTION",
        "COMPLETE",
        "MISSING_CONNECTION",
        "CONNECTED",
    ]
    assert expected[0][2] == utc("2025-08-01T10:20:00")
    assert expected[3][2] == utc("2025-08-20T12:00:00")
    descriptions = [str(event["DESCRIPTION"]) for event in read(client).walk("VEVENT")]
    assert f"\nDisconnection: {MISSING}\n" in descriptions[0]
    assert "\nDisconnection: <still connected>\n" in descriptions[3]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_ends_are_in_utc_and_texts_in_the_servers_zone(client: TestClient, zone: str) -> None:
    """Local times become the same instants in the calendar, before and after a clock change."""
    create(client)
    create(client, start_time="2025-03-30T01:30:00", end_time="2025-03-30T03:30:00")
    found = read(client, period="1 year").walk("VEVENT")
    for event, written in zip(found, ("2025-03-30T01:30:00", "2025-08-01T10:00:00"), strict=True):
        assert event["DTSTART"].dt == datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone))
        assert event["DTSTART"].to_ical().endswith(b"Z")
        assert f"Connection: {written[:16].replace('T', ' ')}" in event["DESCRIPTION"]


def test_the_calendar_is_restricted_by_period_and_device(client: TestClient, context: Context) -> None:
    """The default is 30 days. Sessions that span the period are included. A device's calendar has its name."""
    create(client)
    create(client, start_time="2025-06-01T10:00:00", end_time="2025-06-01T12:00:00")
    create(client, mac=OTHER, start_time="2025-05-01T10:00:00", end_time="2025-08-20T11:59:00")
    name(context, OTHER, "Ben's laptop")
    assert [event[0] for event in events(client)] == ["Ben's laptop", MAC]
    assert [event[0] for event in events(client, period="P1D")] == ["Ben's laptop"]
    assert len(events(client, period="1 year")) == 3
    one = read(client, mac="00-00-00-00-00-02")
    assert (str(one["X-WR-CALNAME"]), len(one.walk("VEVENT"))) == ("Sessions: Ben's laptop", 1)
    assert [event[0] for event in events(client, mac=MAC)] == [MAC]


def test_an_event_keeps_its_uid(client: TestClient, context: Context) -> None:
    """The UID is unique and does not depend on the name of the device."""
    for minute in range(3):
        create(client, start_time=f"2025-08-01T10:0{minute}:00")
        create(client, mac=OTHER, start_time=f"2025-08-01T10:0{minute}:00")
    before = [str(event["UID"]) for event in read(client).walk("VEVENT")]
    name(context, MAC, "Ada's phone")
    assert [str(event["UID"]) for event in read(client).walk("VEVENT")] == before
    assert len(set(before)) == 6


def test_a_session_without_duration_ends_after_it_starts(client: TestClient) -> None:
    """RFC 5545 requires that an event ends after its start."""
    create(client, end_time=EXAMPLE["start_time"])
    assert events(client)[0][1:3] == (utc("2025-08-01T10:00:00"), utc("2025-08-01T10:00:01"))


HOSTILE = [
    "a;b,c:d\\e\"f", "x" * 200, "ü" * 200, "👩‍👩‍👧" * 30, "\\", "\\n", "\\\\,", "=?utf-8?", "Wi-Fi\u2028\x85end",
]  # fmt: skip


@pytest.mark.parametrize("device_name", HOSTILE)
def test_a_name_is_escaped_and_folded_without_loss(client: TestClient, context: Context, device_name: str) -> None:
    """For all characters, wherever the line is folded."""
    create(client)
    name(context, MAC, device_name)
    assert [event[0] for event in events(client)] == [device_name]
    assert str(read(client, mac=MAC)["X-WR-CALNAME"]) == f"Sessions: {device_name}"


def test_a_name_cannot_add_lines(client: TestClient, context: Context) -> None:
    """Control characters become spaces. A name of nothing else counts as missing."""
    create(client)
    name(context, MAC, "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\nUID:y\x1b\x7f\tz")
    assert [event[0] for event in events(client)] == ["x END:VEVENT BEGIN:VEVENT UID:y z"]
    name(context, MAC, "\r\n ")
    assert [event[0] for event in events(client)] == [MAC]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(0, 10**12))
def test_any_name_makes_one_valid_event(device_name: str, identity: int) -> None:
    """The event is complete, its lines are short, and the parsed name has one line."""
    assume("\\N" not in device_name)  # which the library takes for the end of a line
    session = SessionRow(MAC, identity, "2001:db8::1", DAY, None, "Connected", None, "", "CONNECTED")
    written = ical.write_event(CalendarRow(session, DAY, DAY + 1, device_name), Clock(ZoneInfo("UTC")))
    assert all(len(line) <= 75 for line in written.encode().split(b"\r\n"))
    [event] = parsed(f"BEGIN:VCALENDAR\r\n{written}END:VCALENDAR\r\n".encode()).walk("VEVENT")
    assert len(event) == 8
    assert str(event["SUMMARY"]) == re.sub("[\\x00-\\x1f\\x7f]+", " ", device_name).strip() or MAC


def test_an_unchanged_calendar_gets_304(client: TestClient) -> None:
    """The ETag may be one of several, or weak. A change makes another."""
    create(client)
    first = client.get("/sessions/calendar.ics")
    tag = first.headers["etag"]
    for etags in (tag, f"W/{tag}", f'"x", {tag}'):
        again = client.get("/sessions/calendar.ics", headers={"If-None-Match": etags})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "private"
    create(client, mac=OTHER)
    again = client.get("/sessions/calendar.ics", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


@pytest.mark.parametrize("count", [2_500, 12_000])
def test_many_sessions_are_complete(
    client: TestClient, context: Context, url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each session occurs once, also if streamed. Names are read by the same statement."""
    start = at("2025-08-10T00:00:00")
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    values = (
        f"('{MAC}', {n}, '10.0.0.1', {start + n}, {start + n + 1}, 'Connected', 'Disconnected', '')"
        for n in range(count)
    )
    sql(url, f"INSERT INTO session ({columns}) VALUES {','.join(values)}")
    sql(url, f"INSERT INTO device (mac, name) VALUES ('{MAC}', 'Ada')")
    statements: list[Any] = []
    stream = type(context.store).stream

    def recorded(store: Store, statement: Any, parameters: Any) -> Any:
        statements.append(statement)
        return stream(store, statement, parameters)

    async def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a second statement")

    monkeypatch.setattr(type(context.store), "stream", recorded)
    monkeypatch.setattr(type(context.store), "fetch", fail)
    answer = client.get("/sessions/calendar.ics")
    assert ("etag" in answer.headers) == (count < ical.EVENTS_PER_PART * ical.MAX_BUFFERED_PARTS)
    assert len(statements) == 1
    assert set(re.findall("SUMMARY:(.*)\r\n", answer.text)) == {"Ada"}
    assert len(set(re.findall("UID:(.*)\r\n", answer.text))) == answer.text.count("BEGIN:VEVENT") == count
    assert answer.text.endswith("END:VEVENT\r\nEND:VCALENDAR\r\n")


@pytest.mark.parametrize(
    ("query", "field"),
    [("mac=AA", "mac"), ("period=soon", "period"), ("period=500%20years", "period"), ("start=2025-08-01", "start")],
)
def test_an_invalid_parameter_is_rejected(client: TestClient, query: str, field: str) -> None:
    """The JSON message begins with the name of the parameter."""
    message = error_message(client.get(f"/sessions/calendar.ics?{query}"), 400, "invalid_input")
    assert message.startswith(f"{field}: ")


def test_the_path_is_not_parsed_as_a_mac(client: TestClient) -> None:
    """Other methods get 405. HEAD returns the headers of GET."""
    error_message(client.post("/sessions/calendar.ics"), 405, "method_not_allowed")
    answer = client.head("/sessions/calendar.ics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
