"""The calendar over GraphQL."""

from tests.conftest import MAC, Execute
from tests.support.graphql_sessions import create_session


def test_calendar_estimates_missing_ends(execute: Execute) -> None:
    """The estimate uses the neighboring session of the device, at most one hour away."""
    create_session(execute, startTime="2025-08-01T08:00", endTime="2025-08-01T09:30")
    create_session(execute, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-01T10:00")
    create_session(execute, startTime="2025-08-01T11:00", endTime=..., eventTypeDisc="<missing event>")
    create_session(execute, startTime="2025-08-01T11:20", endTime="2025-08-01T11:30")
    create_session(execute, startTime="2025-08-01T15:00", endTime=..., eventTypeDisc="<missing event>")
    query = '{ sessionCalendar(start: "2025-08-01", end: "2025-08-01") { start end color tooltip className title } }'
    entries = execute(query)["data"]["sessionCalendar"]
    assert [(e["start"][11:16], e["end"][11:16], e["color"]) for e in entries] == [
        ("08:00", "09:30", "#00a659"),
        ("09:30", "10:00", "#f39c12"),
        ("11:00", "11:20", "#f39c12"),
        ("11:20", "11:30", "#00a659"),
        ("15:00", "16:00", "#f39c12"),
    ]
    assert entries[1]["tooltip"] == "Connection: <missing event>\nDisconnection: 2025-08-01 10:00\nIP: 192.168.1.10"


def test_calendar_of_one_device_and_of_a_reversed_range(execute: Execute) -> None:
    """A range that ends before its start is an error."""
    for mac, hour in ((MAC, 8), ("AA:BB:CC:DD:EE:00", 9)):
        create_session(execute, mac=mac, startTime=f"2025-08-01T{hour:02}:00", endTime=f"2025-08-01T{hour + 1:02}:00")
    query = 'query($m: MAC, $e: Date!) { sessionCalendar(start: "2025-08-01", end: $e, mac: $m) { session { mac } } }'
    for device, macs in ((None, ["AA:BB:CC:DD:EE:00", MAC]), (MAC, [MAC]), ("AA:BB:CC:DD:EE:11", [])):
        entries = execute(query, m=device, e="2025-08-01")["data"]["sessionCalendar"]
        assert sorted(entry["session"]["mac"] for entry in entries) == macs
    [error] = execute(query, e="2025-07-31")["errors"]
    assert error["message"] == "end: is before start"


def test_calendar_rejects_times(execute: Execute) -> None:
    """The range consists of days."""
    [error] = execute('{ sessionCalendar(start: "2025-08-01T11:00:00", end: "2025-08-02") { start } }')["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "start"}
    assert "is not a day; write it as 2025-08-01" in error["message"]


def test_calendar_of_a_day_contains_the_entries_drawn_on_it(execute: Execute) -> None:
    """Also the estimated part of an entry, and no entry that only touches the edge of the day."""
    create_session(execute, startTime="2025-08-01T23:30", endTime=..., eventTypeDisc="<missing event>")
    create_session(execute, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-04T00:20")
    create_session(execute, startTime="2025-08-05T10:00", endTime="2025-08-06T00:00")
    drawn = {
        day: [
            f"{entry['start'][8:16]} {entry['end'][8:16]}"
            for entry in execute(
                "query($d: Date!) { sessionCalendar(start: $d, end: $d) { start end } }", d=f"2025-08-0{day}"
            )["data"]["sessionCalendar"]
        ]
        for day in range(1, 7)
    }
    assert drawn == {
        1: ["01T23:30 02T00:30"],
        2: ["01T23:30 02T00:30"],
        3: ["03T23:20 04T00:20"],
        4: ["03T23:20 04T00:20"],
        5: ["05T10:00 06T00:00"],
        6: [],
    }
