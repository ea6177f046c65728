"""The calendar to subscribe to is what the JSON calendar draws, as the library that others read it with takes it apart."""

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
from resolvers.validation.models import DeviceNames
from rest_compat import ical
from rest_compat.app import rest_door
from storage.queries.sessions import SessionRow, SpannedRow
from storage.store import Store
from storage.tables import DAY
from tests.conftest import MAC, at, client_of, run, sql
from tests.integration.test_rest import EXAMPLE, MISSING, create, refused

OTHER = "00:00:00:00:00:02"


@pytest.fixture
def client(context: Context) -> TestClient:
    """Speaks to the door where the program mounts it."""
    return client_of(Starlette(routes=[Mount("/sessions", rest_door(context))]))


def parsed(body: bytes) -> Any:
    """A calendar whose properties may be of any of the library's types."""
    return Calendar.from_ical(body)


def read(client: TestClient, **query: str) -> Any:
    """The calendar, taken apart by the library."""
    answer = client.get("/sessions/calendar.ics", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private"
    lines = answer.content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 75 for line in lines)
    return parsed(answer.content)


def events(client: TestClient, **query: str) -> list[tuple[str, datetime, datetime, str]]:
    """Of each event the summary, both ends and the state."""
    found = read(client, **query).walk("VEVENT")
    return [(str(e["SUMMARY"]), e["DTSTART"].dt, e["DTEND"].dt, str(e["CATEGORIES"].cats[0])) for e in found]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def name(context: Context, mac: str, given: str) -> None:
    run(devices.name(context, DeviceNames(mac=mac, name=given)))


def test_a_session_is_an_event_under_the_name_of_its_device(client: TestClient, context: Context) -> None:
    """With both ends in UTC, the tooltip's text and the state; MACs stand in for devices that have no name."""
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
    # Whoever looks at the calendar is not busy while a device is there.
    assert first["TRANSP"] == "TRANSPARENT"


def test_a_calendar_says_to_ask_again_after_an_hour(client: TestClient) -> None:
    """In the way of RFC 7986, and in the one that was there before."""
    body = client.get("/sessions/calendar.ics").content
    assert b"\r\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in body
    assert b"\r\nX-PUBLISHED-TTL:PT1H\r\n" in body


def test_an_empty_store_answers_an_empty_calendar(client: TestClient) -> None:
    """Valid, and without an event."""
    assert events(client) == []


def test_missing_ends_are_drawn_as_in_the_json_calendar(client: TestClient, context: Context) -> None:
    """Estimated from the device's neighbours, or an hour away; whoever is still connected ends now."""
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
    """What was written in the zone is the same instant in the calendar, on both sides of a change of the clocks."""
    create(client)
    create(client, start_time="2025-03-30T01:30:00", end_time="2025-03-30T03:30:00")
    found = read(client, period="1 year").walk("VEVENT")
    for event, written in zip(found, ("2025-03-30T01:30:00", "2025-08-01T10:00:00"), strict=True):
        assert event["DTSTART"].dt == datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone))
        assert event["DTSTART"].to_ical().endswith(b"Z")
        assert f"Connection: {written[:16].replace('T', ' ')}" in event["DESCRIPTION"]


def test_the_period_and_the_device_say_what_is_in_it(client: TestClient, context: Context) -> None:
    """30 days unless told; a session that spans the whole period is in it, and one device's calendar has its name."""
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


def test_an_event_keeps_its_identity(client: TestClient, context: Context) -> None:
    """Read again it has the same UID, whatever its device is called by then; and no other event has it."""
    for minute in range(3):
        create(client, start_time=f"2025-08-01T10:0{minute}:00")
        create(client, mac=OTHER, start_time=f"2025-08-01T10:0{minute}:00")
    before = [str(event["UID"]) for event in read(client).walk("VEVENT")]
    name(context, MAC, "Ada's phone")
    assert [str(event["UID"]) for event in read(client).walk("VEVENT")] == before
    assert len(set(before)) == 6


def test_an_instant_ends_after_it_starts(client: TestClient) -> None:
    """RFC 5545 knows no event that ends where it starts."""
    create(client, end_time=EXAMPLE["start_time"])
    assert events(client)[0][1:3] == (utc("2025-08-01T10:00:00"), utc("2025-08-01T10:00:01"))


HOSTILE = [
    "a;b,c:d\\e\"f", "x" * 200, "ü" * 200, "👩‍👩‍👧" * 30, "\\", "\\n", "\\\\,", "=?utf-8?", "Wi-Fi\u2028\x85end",
]  # fmt: skip


@pytest.mark.parametrize("given", HOSTILE)
def test_a_name_is_read_back_as_it_was_given(client: TestClient, context: Context, given: str) -> None:
    """Whatever characters it is of, folded in whichever place."""
    create(client)
    name(context, MAC, given)
    assert [event[0] for event in events(client)] == [given]
    assert str(read(client, mac=MAC)["X-WR-CALNAME"]) == f"Sessions: {given}"


def test_a_name_cannot_write_lines_of_its_own(client: TestClient, context: Context) -> None:
    """What a text may not hold becomes a blank, so that a name is one line; one of nothing else is as none."""
    create(client)
    name(context, MAC, "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\nUID:y\x1b\x7f\tz")
    assert [event[0] for event in events(client)] == ["x END:VEVENT BEGIN:VEVENT UID:y z"]
    name(context, MAC, "\r\n ")
    assert [event[0] for event in events(client)] == [MAC]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(0, 10**12))
def test_every_name_leaves_one_event_that_can_be_read(given: str, identity: int) -> None:
    """Generated names: the event is whole, its lines are short, and the name is read back in one line."""
    assume("\\N" not in given)  # which the library takes for the end of a line
    stay = SessionRow(MAC, identity, "2001:db8::1", DAY, None, "Connected", None, "", "CONNECTED")
    written = ical.event(SpannedRow(stay, DAY, DAY + 1, given), Clock(ZoneInfo("UTC")))
    assert all(len(line) <= 75 for line in written.encode().split(b"\r\n"))
    [event] = parsed(f"BEGIN:VCALENDAR\r\n{written}END:VCALENDAR\r\n".encode()).walk("VEVENT")
    assert len(event) == 8
    assert str(event["SUMMARY"]) == re.sub("[\\x00-\\x1f\\x7f]+", " ", given).strip() or MAC


def test_what_has_not_changed_is_304(client: TestClient) -> None:
    """By the tag of the answer before, also among others and as a weak one; after a change it is another."""
    create(client)
    first = client.get("/sessions/calendar.ics")
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        again = client.get("/sessions/calendar.ics", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "private"
    create(client, mac=OTHER)
    again = client.get("/sessions/calendar.ics", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


@pytest.mark.parametrize("count", [2_500, 12_000])
def test_many_sessions_come_whole(
    client: TestClient, context: Context, url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each once, also where they are streamed; their names come in the same statement."""
    start = at("2025-08-10T00:00:00")
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    made = (
        f"('{MAC}', {n}, '10.0.0.1', {start + n}, {start + n + 1}, 'Connected', 'Disconnected', '')"
        for n in range(count)
    )
    sql(url, f"INSERT INTO session ({columns}) VALUES {','.join(made)}")
    sql(url, f"INSERT INTO device (mac, name) VALUES ('{MAC}', 'Ada')")
    asked: list[Any] = []
    stream = type(context.store).stream

    def counted(store: Store, question: Any, parameters: Any) -> Any:
        asked.append(question)
        return stream(store, question, parameters)

    async def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a second statement")

    monkeypatch.setattr(type(context.store), "stream", counted)
    monkeypatch.setattr(type(context.store), "fetch", refuse)
    answer = client.get("/sessions/calendar.ics")
    assert ("etag" in answer.headers) == (count < ical.FEW * ical.WHOLE)
    assert len(asked) == 1
    assert set(re.findall("SUMMARY:(.*)\r\n", answer.text)) == {"Ada"}
    assert len(set(re.findall("UID:(.*)\r\n", answer.text))) == answer.text.count("BEGIN:VEVENT") == count
    assert answer.text.endswith("END:VEVENT\r\nEND:VCALENDAR\r\n")


@pytest.mark.parametrize(
    ("query", "field"),
    [("mac=AA", "mac"), ("period=soon", "period"), ("period=500%20years", "period"), ("start=2025-08-01", "start")],
)
def test_a_mistaken_parameter_is_refused_as_everywhere(client: TestClient, query: str, field: str) -> None:
    """JSON with the parameter's name first."""
    message = refused(client.get(f"/sessions/calendar.ics?{query}"), 400, "invalid_input")
    assert message.startswith(f"{field}: ")


def test_the_path_is_never_taken_for_an_address(client: TestClient) -> None:
    """Another method is 405, and HEAD answers as GET does, without the body."""
    refused(client.post("/sessions/calendar.ics"), 405, "method_not_allowed")
    answer = client.head("/sessions/calendar.ics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
